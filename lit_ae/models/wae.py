"""Wasserstein autoencoder with an MMD penalty; with a noisy code, the shapes report's AE + MMD."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.divergences import Kernel, mmd
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.models.stochastic import noisy_code


class WAE(ReconstructionModule):
    """Penalty λ MMD²(codes of the batch, as many draws from N(0, I)) (Tolstikhin et al. 2018, algorithm 2).

    Each sample carries its row of the estimate, so that the batch's mean is the unbiased one; it may be negative.

    Args:
        weight: λ, β in the shapes report.
        kernel: `rbf` exp(-d² / h) or `imq` (inverse multiquadratic) h / (h + d²).
        bandwidth: h, a squared distance: the paper's is 2 latent_dim; null: the batch's median.
        sigma: standard deviation of noise on the code; 0 for none.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` or `sigma` negative, `bandwidth` not positive, or a batch size of 1.
    """

    def __init__(
        self,
        weight: float = 10.0,
        kernel: Kernel = "imq",
        bandwidth: float | None = None,
        sigma: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in {"weight": weight, "sigma": sigma}.items():
            if value < 0:
                raise SettingError(f"model.{name} is {value}: it must not be negative")
        if bandwidth is not None and bandwidth <= 0:
            raise SettingError(f"model.bandwidth is {bandwidth}: it must be positive, or null for the batch's median")
        self.weight, self.kernel, self.bandwidth, self.sigma = weight, kernel, bandwidth, sigma

    def on_fit_start(self) -> None:
        """Refuse batches of 1."""
        if getattr(self.trainer.datamodule, "batch_size", 2) < 2:  # type: ignore[attr-defined]
            raise SettingError("data.batch_size is 1, and MMD compares samples of a batch: set it to at least 2")

    def encode(self, x: Tensor) -> Latent:
        """Codes [B, D], with noise where `sigma` says so."""
        return noisy_code(self.encoder(x), self.sigma) if self.sigma else super().encode(x)

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """λ times each sample's part in MMD², [B]; 0 for a sample alone, as an epoch's last batch may hold."""
        if len(latent.z) < 2:
            return super().penalty(x_in, latent)
        return self.weight * mmd(latent.z, torch.randn_like(latent.z), self.kernel, self.bandwidth)
