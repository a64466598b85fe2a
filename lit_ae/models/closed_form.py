"""Families that are computed from the training data rather than trained by gradient."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from lit_ae.data.base import Batch
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.training_pass import training_batches


class ClosedFormModule(ReconstructionModule, ABC):
    """Solved in one pass before the first epoch, which then scores the training data and is the last."""

    automatic_optimization = False

    @abstractmethod
    def solve(self, batches: Iterator[Batch]) -> None:
        """Set the weights from one pass over the training split."""

    def on_train_start(self) -> None:
        """Solve, whatever the weights were."""
        with torch.no_grad():
            self.solve(training_batches(self))

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """The terms alone."""
        with torch.no_grad():
            self._step(batch, "train")
        self.optimizers().step()  # type: ignore[union-attr]

    def on_train_epoch_end(self) -> None:
        """Stop: further epochs would change nothing."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One with nothing to move: it counts the steps, without which Lightning writes no checkpoint."""
        return torch.optim.SGD([torch.zeros(())], lr=0.0)
