"""Stochastic autoencoder: fixed Gaussian noise on the code."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule


def noisy_code(mu: Tensor, sigma: float) -> Latent:
    """N(μ, σ² I) around codes μ [B, D] and a draw from it."""
    logvar = torch.full_like(mu, 2 * torch.log(torch.tensor(sigma)).item())
    return Latent(mu, logvar, mu + sigma * torch.randn_like(mu))


class SAE(ReconstructionModule):
    """z = μ(x) + ε, ε ~ N(0, σ² I), and no penalty.

    Without one the codes may outgrow the noise: read `test/code_std` beside any score of it.

    Args:
        sigma: standard deviation σ of the code's noise.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `sigma` not positive.
    """

    def __init__(self, sigma: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sigma <= 0:
            raise SettingError(f"model.sigma is {sigma}: it must be positive (σ = 0 is the AE)")
        self.sigma = sigma

    def encode(self, x: Tensor) -> Latent:
        """Mean code and a draw around it, both [B, D]."""
        return noisy_code(self.encoder(x), self.sigma)
