"""Loss by epoch."""

from collections import defaultdict

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae import plots
from lit_ae.run_logger import run_logger


class LossCurves(Callback):
    """Figure `loss`: every `*loss` of training and validation by epoch (both players' for a GAN)."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def _collect(self, trainer: Trainer, epoch: int) -> None:
        for key, value in trainer.callback_metrics.items():
            if key.endswith("loss"):
                self.series[key].append((epoch, float(value)))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new figure."""
        self.series.clear()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the epoch before: its own end hook comes too early for the module's values."""
        if self.series or trainer.current_epoch > 0:
            self._collect(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the last epoch and draw."""
        self._collect(trainer, trainer.current_epoch)
        logger = run_logger(trainer)
        if logger and self.series:
            logger.log_figure(plots.curves(self.series, "epoch", "loss", "Loss by epoch"), "loss")
