"""Variational autoencoder."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.divergences import kl_standard_normal
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule


class VAE(ReconstructionModule):
    """Gaussian posterior with diagonal covariance; penalty β KL(q(z|x) ‖ N(0, I)).

    Kingma & Welling 2014, equation 10; β-VAE with β ≠ 1: Higgins et al. 2017, equation 4.

    Args:
        beta: weight β of the KL term.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `beta` negative.
    """

    heads = 2

    def __init__(self, beta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if beta < 0:
            raise SettingError(f"model.beta is {beta}: it must not be negative")
        self.beta = beta

    def encode(self, x: Tensor) -> Latent:
        """μ(x), log σ²(x) and z = μ + σ ε, all [B, D]."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return Latent(mu, logvar, mu + (0.5 * logvar).exp() * torch.randn_like(mu))

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """β KL of each sample, [B]."""
        assert latent.logvar is not None
        return self.beta * kl_standard_normal(latent.mu, latent.logvar)
