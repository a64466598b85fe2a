"""Stochastic autoencoder: fixed Gaussian noise on the code."""

from typing import Any

from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule, noisy_code


class SAE(ReconstructionModule):
    """Stochastic autoencoder: z = μ(x) + ε with ε ~ N(0, σ² I), no penalty.

    Without a penalty the codes may grow until the noise has no effect: compare `test/code_std` with σ.

    Args:
        sigma: standard deviation σ of the noise on the code.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `sigma` not positive.
    """

    def __init__(self, sigma: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sigma <= 0:
            raise SettingError(f"model.sigma is {sigma}: it must be positive (σ = 0 is the AE)")
        self.sigma = sigma

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Mean code and a draw around it, both [B, D]."""
        return noisy_code(self.encoder(x), self.sigma)
