"""The checkpoint from which a training can go on."""

import math
import time

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Writes a checkpoint at the end of an epoch, at most one a second, and at the end of the last epoch.

    To write one takes as long as several steps of a small network. A training that is killed loses a second at most, or
    an epoch that takes longer.

    Args:
        filename: without `.ckpt`.
        save_top_k: 1, or 0 for no checkpoint at all.
        enable_version_counter: whether a file that exists already is kept beside the new one.
        seconds: least time between two checkpoints, in s; 0: one at the end of every epoch.
    """

    per_step = False  # it acts at the end of epochs alone

    def __init__(
        self, filename: str = "last", save_top_k: int = 1, enable_version_counter: bool = False, seconds: float = 1.0
    ) -> None:
        super().__init__(
            filename=filename,
            save_top_k=save_top_k,
            enable_version_counter=enable_version_counter,
            save_on_train_epoch_end=True,
        )
        self.seconds = seconds
        self.written = -math.inf

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint if it is time, or if no epoch follows."""
        limits = ((trainer.current_epoch + 1, trainer.max_epochs), (trainer.global_step, trainer.max_steps))
        is_last = trainer.should_stop or any(limit is not None and 0 <= limit <= done for done, limit in limits)
        if is_last or self._is_time(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same after a validation within an epoch, at whose end the epoch's own checkpoint follows."""
        within = not trainer.is_last_batch and not self._should_skip_saving_checkpoint(trainer)
        # of several processes, each has gathered gradients of its own, which one file does not hold
        within &= trainer.world_size == 1 or not trainer.fit_loop.epoch_loop._should_accumulate()
        if within and self._is_time(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _is_time(self, trainer: Trainer) -> bool:
        now = time.monotonic()
        due = now - self.written >= self.seconds
        if trainer.world_size > 1:
            due = bool(trainer.strategy.broadcast(due))  # all processes write together
        if due:
            self.written = now
        return due
