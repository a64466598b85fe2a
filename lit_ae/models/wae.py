"""Wasserstein autoencoder with an MMD penalty; with noise on the code it is the AE + MMD of the shapes report."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, ReconstructionModule, noisy_code
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.objectives.divergences import Kernel, mmd


class WAE(ReconstructionModule):
    """Wasserstein autoencoder (WAE-MMD): penalty λ MMD² between the codes of a batch and as many draws from N(0, I).

    Tolstikhin et al. 2018, algorithm 2. The term of a sample is its row of the estimate, so that the mean over the
    batch is the unbiased estimate of MMD², which may be negative.

    Args:
        weight: weight λ of the penalty; the shapes report calls it β.
        kernel: `rbf` exp(-d² / h) or `imq` (inverse multiquadratic) h / (h + d²).
        bandwidth: h, a squared distance; 2 latent_dim in the paper; null: the median of the batch.
        sigma: standard deviation of noise on the code; 0: no noise.
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
        require_at_least(0, "model.{}", weight=weight, sigma=sigma)
        if bandwidth is not None and bandwidth <= 0:
            raise SettingError(f"model.bandwidth is {bandwidth}: it must be positive, or null for the batch's median")
        self.weight, self.kernel, self.bandwidth, self.sigma = weight, kernel, bandwidth, sigma

    def on_train_start(self) -> None:
        """Refuse a batch size of 1."""
        super().on_train_start()
        refuse_batches_of_one(self)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Codes [B, D], with noise unless `sigma` is 0."""
        return noisy_code(self.encoder(x), self.sigma) if self.sigma else super().encode(x, y)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """λ times each sample's part of MMD², [B]; 0 for a single sample, which the last batch of an epoch may hold."""
        if len(latent.z) < 2:
            return latent.z.new_zeros(len(latent.z))
        return self.weight * mmd(latent.z, torch.randn_like(latent.z), self.kernel, self.bandwidth)
