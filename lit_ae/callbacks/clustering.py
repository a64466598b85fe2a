"""Do the codes fall into the classes?"""

from lightning.pytorch import Trainer

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule
from lit_ae.metrics.clustering import clustering_scores


class Clustering(ScoreCallback):
    """Silhouette, ARI, NMI and accuracy of KMeans on the mean codes, as many clusters as classes.

    Beside them `code_std`, the codes' mean standard deviation: unbounded codes outgrow fixed noise.

    Args:
        seed: of KMeans.
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
            f"KMeans, {classes} clusters, best of 10 starts, on {len(codes):,} mean codes"
        )
        return {
            **clustering_scores(codes, labels, classes, self.seed),
            "code_std": codes.std(0).mean().item(),
        }
