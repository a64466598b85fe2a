"""Accuracy of a model's own clusters."""

from collections.abc import Callable

from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.evaluation.access import generative_module, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_split
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.clustering import clustering_accuracy, require_classes
from lit_ae.models.capabilities import AssignsClusters
from lit_ae.models.chunks import in_chunks


class ClusterAssignments(ScoreCallback):
    """`assignment_accuracy` of a model's own clusters, `assignment_accuracy_initial` of its clusters before training.

    For DEC the latter are those of KMeans on the codes of the plain autoencoder, so that the difference is what
    training the clusters gains. Both use the best one-to-one assignment of clusters to classes; higher is better.
    Logs nothing for models without clusters of their own.
    """

    needs_labels = True

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Both accuracies."""
        module = generative_module(trainer)
        if not isinstance(module, AssignsClusters):
            return {}
        data = labelled_split(trainer, evaluation, split_name(trainer))
        require_classes(data.y)

        def accuracy(assign: Callable[[Tensor], Tensor]) -> float:
            clusters = in_chunks(module, lambda x, _: assign(x), data.x).argmax(1)
            return clustering_accuracy(clusters.numpy(), data.y.numpy())

        return {
            "assignment_accuracy": accuracy(module.assign),
            "assignment_accuracy_initial": accuracy(module.assign_initially),
        }
