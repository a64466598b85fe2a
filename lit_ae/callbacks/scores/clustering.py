"""Agreement of clusters of the codes with the classes."""

from lightning.pytorch import Trainer

from lit_ae.evaluation.access import datamodule
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.clustering import clustering_scores


class Clustering(ScoreCallback):
    """`silhouette`, `ari`, `nmi` and `clustering_accuracy` of KMeans on the mean codes, and `code_std`.

    KMeans has as many clusters as there are classes. What each value is: see `clustering_scores`; higher is better.
    `code_std` is the mean standard deviation of the code dimensions: if codes are unbounded, training with noise of a
    fixed size can make them so large that the noise no longer matters.

    Args:
        seed: seed of KMeans.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_labels = True

    def __init__(self, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.seed = seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        codes, labels = evaluation.codes(trainer)
        classes = datamodule(trainer).num_classes
        evaluation.protocol["clustering"] = (
            f"KMeans with {classes} clusters, best of 10 starts, on {len(codes):,} mean codes"
        )
        return {
            **clustering_scores(codes, labels, classes, self.seed),
            "code_std": codes.std(0).mean().item(),
        }
