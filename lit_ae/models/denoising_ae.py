"""Denoising autoencoder."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import finite_range
from lit_ae.models.base import ReconstructionModule
from lit_ae.objectives.corruptions import Corruption, GaussianNoise


class DenoisingAE(ReconstructionModule):
    """Denoising autoencoder: the encoder sees a corrupted x, and the loss compares x_hat with the clean x.

    Vincent et al. 2010, section 3.1. Terms, codes and scores of validation and test are those of clean inputs, as for
    any other family; `mse_corrupted` is the error of what is reconstructed from corrupted inputs. The noise of
    validation and test is the same in every pass, for every model and for every seed of training.

    Args:
        corruption: the noise that is applied to x; null: Gaussian noise with σ = 0.3.
        noise_seed: seed of the noise in validation and test.
        kwargs: as for `ReconstructionModule`.
    """

    version = 2  # codes and errors of clean inputs

    def __init__(self, corruption: Corruption | None = None, noise_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.corruption, self.noise_seed = corruption or GaussianNoise(), noise_seed
        self._noise: torch.Generator | None = None

    def setup(self, stage: str) -> None:
        """Refuse data that the noise does not fit; those of a plain loader are checked batch by batch."""
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, BaseDataModule) and stage == "fit":
            self.corruption.check_range(*data.split("train").value_range())

    def check_input(self, x: Tensor) -> None:
        """Refuse samples [B, *shape] that do not fit, or that the noise does not fit."""
        super().check_input(x)
        if len(x):
            self.corruption.check_range(*finite_range(x))

    def on_validation_epoch_start(self) -> None:
        """Restart the noise of the evaluation from its seed."""
        self._noise = torch.Generator(self.device).manual_seed(self.noise_seed + self.global_rank)

    on_test_epoch_start = on_validation_epoch_start

    def corrupt(self, x: Tensor) -> Tensor:
        """Noisy x [B, *shape]."""
        return self.corruption(x, None if self.training else self._noise)
