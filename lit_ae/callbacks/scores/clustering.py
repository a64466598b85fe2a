"""Agreement of clusters of the codes with the classes."""

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.scores.code_scores import require_codes
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import datamodule, generative_module, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_codes, labelled_split
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.clustering import agreement, kmeans, silhouette
from lit_ae.models.capabilities import AssignsClusters
from lit_ae.models.chunks import in_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGREEMENT = ("ari", "nmi", "clustering_accuracy")


class Clustering(ScoreCallback):
    """`silhouette`, `ari`, `nmi` and `clustering_accuracy` of KMeans on the mean codes, and `code_std`.

    KMeans on the codes of labelled samples has as many clusters as there are classes. What each value is: see
    `silhouette` and `agreement`; higher is better. `code_std` is the mean standard deviation of the code dimensions: if
    codes are unbounded, training with noise of a fixed size can make them so large that the noise no longer matters.

    Args:
        seed: seed of KMeans.
        own_clusters: for a model that assigns samples to clusters itself, such as DEC, score these clusters instead.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, seed: int = 0, own_clusters: bool = False, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "Clustering.{}", seed=seed)
        self.seed, self.own_clusters = seed, own_clusters

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        values: dict[str, float] = {}
        with evaluation.leaving_out("silhouette", *AGREEMENT):
            codes, labels = labelled_codes(trainer, evaluation)
            clusters, how = self._clusters(trainer, evaluation, codes)
            evaluation.protocol["clustering"] = how
            with evaluation.leaving_out("silhouette"):
                values["silhouette"] = silhouette(codes, clusters, self.seed)
            with evaluation.leaving_out(*AGREEMENT):
                values |= agreement(clusters, labels)
        with evaluation.leaving_out("code_std"):
            codes, _ = evaluation.codes(trainer)
            require_codes(codes, 2)
            values["code_std"] = codes.std(0).mean().item()
        return values

    def _clusters(self, trainer: Trainer, evaluation: Evaluation, codes: Tensor) -> tuple["NDArray[Any]", str]:
        """The cluster [N] of each labelled sample with codes [N, D], and the words of the protocol for it."""
        module = generative_module(trainer)
        if self.own_clusters and isinstance(module, AssignsClusters):
            x = labelled_split(trainer, evaluation, split_name(trainer)).x
            own = in_chunks(module, lambda part, _: module.assign(part), x).argmax(1)
            return own.numpy(), f"the model's own clusters of {len(codes):,} samples"
        classes = datamodule(trainer).num_classes
        how = f"KMeans with {classes} clusters, best of 10 starts, on {len(codes):,} mean codes"
        return kmeans(codes, classes, self.seed), how
