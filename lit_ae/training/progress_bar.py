"""Lightning's progress bar for training in which a call of `training_step` may take several steps."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class StepsBar(TQDMProgressBar):
    """Counts calls of `training_step`, says so if a call takes several steps, and shows the number of steps."""

    per_step = False  # shows the state after a call

    def init_train_tqdm(self) -> Tqdm:
        """The bar of an epoch of training."""
        bar = super().init_train_tqdm()
        if getattr(self.trainer.datamodule, "steps_a_call", 1) > 1:  # type: ignore[attr-defined]
            bar.unit = " calls"
        return bar

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What is shown after the bar: the steps, and the losses of the last epoch that has ended."""
        losses = {key: value.item() for key, value in trainer.callback_metrics.items() if key.endswith("loss")}
        return {**super().get_metrics(trainer, pl_module), "step": trainer.global_step, **losses}
