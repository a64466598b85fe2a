"""A Gaussian that is fitted to codes."""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable
from lit_ae.samplers.base import Sampler, symmetric_root


class FittedGaussian(Sampler):
    """A Gaussian with the mean and the full covariance (divisor N - 1) of the codes.

    Constant or linearly dependent dimensions need no added noise, since samples are drawn by the symmetric root of the
    covariance, which may be singular.

    Raises:
        NotComputable: fitted to fewer than 2 codes.
    """

    name = "gaussian"
    parameter_names = frozenset({"mean", "root"})

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        if len(codes) < 2:
            raise NotComputable("the gaussian sampler needs at least 2 codes: use more training data")
        mean = codes.mean(0)
        centred = codes - mean
        covariance = centred.T @ centred / (len(codes) - 1)  # [D, D]
        return {"mean": mean.float(), "root": symmetric_root(covariance).float()}

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        mean, root = parameters["mean"], parameters["root"]
        return mean + torch.randn(n, len(mean), generator=generator, device=generator.device) @ root
