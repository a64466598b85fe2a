"""Loss by epoch."""

from collections import defaultdict

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae import plots, tracking
from lit_ae.tracking.logger import run_logger


class LossCurves(Callback):
    """Figure `loss`: every `*loss` of training and validation by epoch (of both networks for a GAN)."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def _collect(self, trainer: Trainer, stage: str, epoch: int) -> None:
        for key, value in trainer.callback_metrics.items():
            if key.startswith(stage) and key.endswith("loss"):
                earlier = [point for point in self.series[key] if point[0] != epoch]
                self.series[key] = [*earlier, (epoch, float(value))]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new figure, with the values of the epochs before if this training goes on in its run."""
        self.series.clear()
        logger = run_logger(trainer)
        if logger and logger.run_id and logger.resumed_after:
            run = tracking.get_run(logger.run_id)
            for key in sorted(run.metrics):
                if key.endswith("loss") and key.startswith(("train/", "val/")):
                    values = run.history(key)
                    self.series[key] = [(epoch, value) for epoch, value in values if epoch <= logger.resumed_after]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the values of the epoch before: at its own end the module has not logged them yet."""
        if self.series or trainer.current_epoch > 0:
            self._collect(trainer, "train/", trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the values of this validation: epochs may be without one."""
        if not trainer.sanity_checking:
            self._collect(trainer, "val/", trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the values of the last epoch and draw."""
        self._collect(trainer, "train/", trainer.current_epoch)
        logger = run_logger(trainer)
        if logger and self.series and logger.draws("loss"):
            logger.log_figure(plots.curves(self.series, "epoch", "loss", "Loss by epoch"), "loss")
