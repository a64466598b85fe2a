"""The noise of denoising autoencoders: small parts that take clean x [B, *shape] in [0, 1] and corrupt it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lit_ae.errors import SettingError


class Corruption(ABC):
    """q(x_in | x), independent for each component of x (Vincent et al. 2010, section 3.5).

    Random numbers are drawn in float32, so that the noise of a seed is the same in every precision.
    """

    def check_range(self, low: float, high: float) -> None:  # noqa: B027 - most kinds of noise take any values
        """Refuse data with values from `low` to `high` that the noise has no meaning for; none by default.

        Raises:
            SettingError: naming the range, this setting and what to do.
        """

    @abstractmethod
    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A corrupted copy of x [B, *shape]; the noise comes from `generator`, or from torch's default generator."""


class GaussianNoise(Corruption):
    """x + ε with ε ~ N(0, σ² I), not clipped, so that x_in may leave [0, 1].

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
        return x + self.sigma * torch.randn(x.shape, generator=generator, device=x.device).to(x)


class ShareCorruption(Corruption):
    """Changes a random share of the components."""

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise SettingError(f"model.corruption.share is {share}: it must be above 0 and at most 1")
        self.share = share

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Corrupted x [B, *shape]."""
        return self.corrupted(x, torch.rand(x.shape, generator=generator, device=x.device))

    @abstractmethod
    def corrupted(self, x: Tensor, u: Tensor) -> Tensor:
        """x [B, *shape] with new values where u, uniform in [0, 1) and of the same shape, is below the share."""


class SaltAndPepper(ShareCorruption):
    """Sets a random share of the components to 0 or to 1, each with probability ½.

    Args:
        share: expected share of the components.

    Raises:
        SettingError: `share` not in (0, 1].
    """

    def __init__(self, share: float = 0.2) -> None:
        super().__init__(share)

    def check_range(self, low: float, high: float) -> None:
        """Refuse values outside [0, 1], of which 0 and 1 are not the lowest and the highest."""
        if low < 0 or high > 1:
            raise SettingError(
                f"the data (--data) have values from {low:g} to {high:g}, and model.corruption is SaltAndPepper, which "
                "sets some to 0 and some to 1: scale the data to [0, 1], or choose GaussianNoise"
            )

    def corrupted(self, x: Tensor, u: Tensor) -> Tensor:
        """x [B, *shape] with some components at 0 or 1."""
        return torch.where(u < self.share, (u < self.share / 2).to(x.dtype), x)


class Masking(ShareCorruption):
    """Sets a random share of the components to 0.

    Args:
        share: expected share of the components.

    Raises:
        SettingError: `share` not in (0, 1].
    """

    def __init__(self, share: float = 0.3) -> None:
        super().__init__(share)

    def corrupted(self, x: Tensor, u: Tensor) -> Tensor:
        """x [B, *shape] with some components at 0."""
        return x * (u >= self.share)
