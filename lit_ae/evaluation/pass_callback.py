"""What every callback shares that reads the model's outputs batch by batch."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae.models.base import Reconstruction


class PassCallback(Callback):
    """Receives each `Reconstruction` of the test pass, and of a validation pass after which a score is due."""

    every_n_epochs = 0  # also after each Nth epoch's validation; 0: only at test
    _reading = False  # the validation pass under way

    def due(self, trainer: Trainer) -> bool:
        """Whether this validation pass is followed by a score."""
        return is_due(self, trainer)

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""

    def read(self, trainer: Trainer, outputs: Reconstruction) -> None:
        """Take in one batch."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self.begin(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin if a score is due after this pass."""
        self._reading = self.due(trainer)
        if self._reading:
            self.begin(trainer, pl_module)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Take in one batch."""
        if isinstance(outputs, Reconstruction):
            self.read(trainer, outputs)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Take in one batch if a score is due after this pass."""
        if self._reading and isinstance(outputs, Reconstruction):
            self.read(trainer, outputs)


def is_due(callback: Callback, trainer: Trainer) -> bool:
    """Whether a callback scores the validation of this epoch, by its `every_n_epochs`."""
    every = getattr(callback, "every_n_epochs", 0)
    return bool(every) and not trainer.sanity_checking and (trainer.current_epoch + 1) % every == 0
