"""The first report's error on standardised pixels."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from lit_ae.callbacks.evaluation import CHUNK, as_images, datamodule, reconstruction_module
from lit_ae.metrics.standardised import mse_standardised
from lit_ae.models.base import Reconstruction


class StandardisedMSE(Callback):
    """`{val,test}/mse_standardised`, and `test/mse_standardised_floor`, what a perfect reconstruction would leave.

    The published networks fitted (x - mean) / std under a sigmoid output, so their error has a floor of its own;
    see `mse_standardised`. The validation split is measured with the tested model, too.
    """

    test_only = True

    def __init__(self) -> None:
        self.error, self.floor = MeanMetric(), MeanMetric()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in one batch."""
        if not isinstance(outputs, Reconstruction):
            return
        data = datamodule(trainer)
        x, x_hat = outputs.x, outputs.x_hat
        self.error.to(x.device).update(mse_standardised(x, x_hat, data.pixel_mean, data.pixel_std))
        self.floor.to(x.device).update(mse_standardised(x, x, data.pixel_mean, data.pixel_std))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means."""
        if self.error.update_called:
            values: dict[str, Tensor | float] = {
                "test/mse_standardised": self.error.compute(),
                "test/mse_standardised_floor": self.floor.compute(),
                "val/mse_standardised": self._validation(trainer),
            }
            pl_module.log_dict(values)
        self.error.reset()
        self.floor.reset()

    @staticmethod
    def _validation(trainer: Trainer) -> float:
        module, data = reconstruction_module(trainer), datamodule(trainer)
        errors = []
        val = data.split("val")
        for part, y in zip(val.x.split(CHUNK), val.y.split(CHUNK), strict=True):
            x = as_images(part, module)
            with torch.no_grad(), module.given(y.to(module.device)):
                errors.append(mse_standardised(x, module(x), data.pixel_mean, data.pixel_std))
        return torch.cat(errors).mean().item()
