"""The error on standardised pixels, as the figures on stochastic autoencoders were published."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_ae.evaluation.access import datamodule, reconstruction_module
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.pass_callback import PassCallback
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.kept_rows import KeptRows
from lit_ae.metrics.reconstruction.standardised import mse_standardised, vary
from lit_ae.models.base import Reconstruction
from lit_ae.models.chunks import in_chunks


class StandardisedMSE(PassCallback, ScoreCallback):
    """`{val,test}/mse_standardised`, and `test/mse_standardised_floor`, the error of a perfect reconstruction.

    The published networks fitted (x - mean) / std with a sigmoid output, so that their error cannot reach 0; see
    `mse_standardised`. Lower is better. The validation split, all of it, is scored with the tested model as well.
    """

    version = 2  # keeps the values of each test sample
    rank_zero = False

    def __init__(self) -> None:
        super().__init__()
        self._errors = KeptRows()  # the error and its floor [n, 2]

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        self._errors = KeptRows()

    def read(self, trainer: Trainer, outputs: Reconstruction) -> None:
        """Take in one batch, unless all pixels are equal."""
        data = datamodule(trainer)
        if vary(data.pixel_mean, data.pixel_std):
            x = outputs.x
            errors = [mse_standardised(x, found, data.pixel_mean, data.pixel_std) for found in (outputs.x_hat, x)]
            self._errors.add(torch.stack(errors, 1))

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """The means; that of the validation split is logged as such."""
        module, data = reconstruction_module(trainer), datamodule(trainer)
        val = data.split("val")

        def errors(x: Tensor, y: Tensor | None) -> Tensor:
            return mse_standardised(x, module(x, y), data.pixel_mean, data.pixel_std)

        validation = in_chunks(module, errors, val.x, val.y).mean().item()
        module.log("val/mse_standardised", validation)
        found = gather_in_order(self._errors.all(), trainer)
        values = {"mse_standardised": found[:, 0], "mse_standardised_floor": found[:, 1]}
        for name, each in values.items():
            evaluation.keep_samples(name, each)
        return {name: each.double().mean().item() for name, each in values.items()}
