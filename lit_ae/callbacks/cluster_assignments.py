"""Does training the clusters beat clustering what an autoencoder gives?"""

from collections.abc import Callable

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import CHUNK, Evaluation, ScoreCallback, as_images, datamodule
from lit_ae.metrics.clustering import clustering_accuracy
from lit_ae.models.dec import DEC


class ClusterAssignments(ScoreCallback):
    """`assignment_accuracy` of a DEC's own clusters, `assignment_accuracy_initial` of KMeans on its initial AE's codes.

    Both by the best one-to-one assignment to classes; other families have no clusters of their own.
    """

    needs_labels = True

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Both accuracies."""
        module = trainer.lightning_module
        if not isinstance(module, DEC):
            return {}
        data = datamodule(trainer).split("test" if trainer.testing else "val")

        def accuracy(assign: Callable[[Tensor], Tensor]) -> float:
            with torch.no_grad():
                parts = [assign(as_images(part, module)).argmax(1).cpu() for part in data.x.split(CHUNK)]
            return clustering_accuracy(torch.cat(parts).numpy(), data.y.numpy())

        return {
            "assignment_accuracy": accuracy(module.assign),
            "assignment_accuracy_initial": accuracy(module.initial),
        }
