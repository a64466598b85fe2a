"""Agreement of clusters of the codes with the classes."""

from lightning.pytorch import Trainer

from lit_ae.callbacks.scores.code_scores import require_codes
from lit_ae.evaluation.access import datamodule
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_codes
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.clustering import agreement, kmeans, silhouette

AGREEMENT = ("ari", "nmi", "clustering_accuracy")


class Clustering(ScoreCallback):
    """`silhouette`, `ari`, `nmi` and `clustering_accuracy` of KMeans on the mean codes, and `code_std`.

    KMeans on the codes of labelled samples has as many clusters as there are classes. What each value is: see
    `silhouette` and `agreement`; higher is better. `code_std` is the mean standard deviation of the code dimensions: if
    codes are unbounded, training with noise of a fixed size can make them so large that the noise no longer matters.

    Args:
        seed: seed of KMeans.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.seed = seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        values: dict[str, float] = {}
        with evaluation.leaving_out("silhouette", *AGREEMENT):
            codes, labels = labelled_codes(trainer, evaluation)
            classes = datamodule(trainer).num_classes
            clusters = kmeans(codes, classes, self.seed)
            evaluation.protocol["clustering"] = (
                f"KMeans with {classes} clusters, best of 10 starts, on {len(codes):,} mean codes"
            )
            with evaluation.leaving_out("silhouette"):
                values["silhouette"] = silhouette(codes, clusters, self.seed)
            with evaluation.leaving_out(*AGREEMENT):
                values |= agreement(clusters, labels)
        with evaluation.leaving_out("code_std"):
            codes, _ = evaluation.codes(trainer)
            require_codes(codes, 2)
            values["code_std"] = codes.std(0).mean().item()
        return values
