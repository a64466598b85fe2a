"""What a denoising autoencoder is to undo: small parts that take clean x [B, *shape] in [0, 1] and damage it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lit_ae.errors import SettingError


class Corruption(ABC):
    """q(x_in | x), each component of x by itself (Vincent et al. 2010, section 3.5)."""

    @abstractmethod
    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A corrupted copy of x [B, *shape]; noise from `generator`, else from torch's own."""


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise SettingError(f"model.corruption.share is {share}: it must be above 0 and at most 1")


class GaussianNoise(Corruption):
    """x + ε, ε ~ N(0, σ² I); not clipped, so x_in may leave [0, 1].

    Args:
        sigma: standard deviation σ, in units of the pixel range.

    Raises:
        SettingError: `sigma` not positive.
    """

    def __init__(self, sigma: float = 0.3) -> None:
        if sigma <= 0:
            raise SettingError(f"model.corruption.sigma is {sigma}: it must be positive")
        self.sigma = sigma

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy x [B, *shape]."""
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.sigma * noise


class SaltAndPepper(Corruption):
    """A share of the components is set to 0 or 1, either with the same chance.

    Args:
        share: expected share of the components.

    Raises:
        SettingError: `share` not in (0, 1].
    """

    def __init__(self, share: float = 0.2) -> None:
        _check_share(share)
        self.share = share

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x [B, *shape] with pixels at either end."""
        u = _uniform(x, generator)
        return torch.where(u < self.share, (u < self.share / 2).to(x.dtype), x)


class Masking(Corruption):
    """A share of the components is set to 0.

    Args:
        share: expected share of the components.

    Raises:
        SettingError: `share` not in (0, 1].
    """

    def __init__(self, share: float = 0.3) -> None:
        _check_share(share)
        self.share = share

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x [B, *shape] with pixels missing."""
        return x * (_uniform(x, generator) >= self.share)
