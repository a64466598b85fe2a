"""One Gaussian."""

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.samplers.base import Sampler, symmetric_root


class Gaussian(Sampler):
    """Gaussian with the codes' mean and full covariance (divisor N - 1).

    Dead or dependent dimensions need no jitter: the symmetric root of a singular covariance is drawn through.

    Raises:
        SettingError: fitted to fewer than 2 codes.
    """

    name = "gaussian"
    parameter_names = frozenset({"mean", "root"})

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        if len(codes) < 2:
            raise SettingError("the gaussian sampler needs at least 2 codes: use more training data")
        mean = codes.mean(0)
        centred = codes - mean
        covariance = centred.T @ centred / (len(codes) - 1)  # [D, D]
        return {"mean": mean.float(), "root": symmetric_root(covariance).float()}

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        mean, root = parameters["mean"], parameters["root"]
        return mean + torch.randn(n, len(mean), generator=generator, device=generator.device) @ root
