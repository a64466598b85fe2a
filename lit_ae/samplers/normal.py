"""The standard normal distribution, which is the prior of VAEs, WAEs and GANs."""

import torch
from torch import Tensor

from lit_ae.samplers.base import Sampler


class Normal(Sampler):
    """N(0, I), independent of the codes; fitting only reads their dimension."""

    name = "normal"
    parameter_names = frozenset({"latent_dim"})

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        return {"latent_dim": torch.tensor(codes.shape[1])}

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        return torch.randn(n, int(parameters["latent_dim"]), generator=generator, device=generator.device)
