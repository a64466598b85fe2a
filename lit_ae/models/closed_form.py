"""Families that are computed directly from the training data instead of being trained by gradient descent."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.training_pass import training_batches


class ClosedFormModule(ReconstructionModule, ABC):
    """Solved in one pass before the first epoch, which then only scores the training data and is the last epoch."""

    automatic_optimization = False

    def setup(self, stage: str) -> None:
        """Refuse a scaled loss, which needs gradients.

        Raises:
            SettingError: `trainer.precision` is 16-mixed.
        """
        super().setup(stage)
        if stage == "fit" and str(self.trainer.precision) == "16-mixed":
            raise SettingError(
                f"trainer.precision is 16-mixed, which scales a loss, and {type(self).__name__} has none to be trained "
                "by: choose 32-true or bf16-mixed"
            )

    @abstractmethod
    def solve(self, batches: Iterator[Batch]) -> None:
        """Set the weights from one pass over the training split."""

    def on_train_start(self) -> None:
        """Solve, whatever the weights are before, unless they are those of a checkpoint of this training."""
        if self.trainer.ckpt_path:
            return
        with torch.no_grad():
            self.solve(training_batches(self))

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Track the terms of the loss; nothing is trained."""
        with torch.no_grad():
            self._step(batch, "train")
        self.optimizers().step()  # type: ignore[union-attr]

    def on_train_epoch_end(self) -> None:
        """Stop training, since further epochs would change nothing."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """An optimiser without real parameters: it counts the steps, without which Lightning writes no checkpoint."""
        return torch.optim.SGD([torch.zeros(())], lr=0.0)
