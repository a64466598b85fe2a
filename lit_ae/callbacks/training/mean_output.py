"""The output that a decoder starts with."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import as_float
from lit_ae.data.rows import PART
from lit_ae.errors import SettingError
from lit_ae.models.base import ReconstructionModule


class MeanOutput(Callback):
    """Starts the decoder's output at the mean of the training samples, so that no code is needed to learn it.

    The bias of its last layer becomes the raw output that stands for the mean, as in the program of Burda et al. 2016.
    A VAE that starts at grey images instead learns the mean first, and its codes meanwhile fall to the prior. A run
    that goes on from a checkpoint, or begins with the weights of another one (`model.pretrained`), keeps these.

    Raises:
        SettingError: the model has no decoder that ends in a linear layer with a bias, as large as a sample.
    """

    per_step = False  # it acts before the first step alone

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the bias."""
        if trainer.ckpt_path:
            return
        last = None
        if isinstance(pl_module, ReconstructionModule):
            last = next(
                (part for part in reversed([*pl_module.decoder.modules()]) if isinstance(part, nn.Linear)), None
            )
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, BaseDataModule)
        x = data.split("train").x
        if last is None or last.bias is None or last.out_features != x[:1].numel():
            raise SettingError(
                f"MeanOutput needs a decoder whose last layer is linear, with a bias, and as large as a sample, and "
                f"{type(pl_module).__name__} has none: choose MLPDecoder, or leave MeanOutput out of trainer.callbacks"
            )
        assert isinstance(pl_module, ReconstructionModule)
        with torch.no_grad():
            sums = torch.stack([as_float(part).sum(0, dtype=torch.float64) for part in x.split(PART)])
            last.bias.copy_(pl_module.likelihood.raw(sums.sum(0, keepdim=True) / len(x)).flatten())
