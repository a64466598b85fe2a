"""Codes from a model's own Markov chain."""

import torch
from torch import Tensor

from lit_ae.models.capabilities import DrawsCodes
from lit_ae.samplers.base import Sampler


class Gibbs(Sampler):
    """Codes that the model draws itself; nothing is fitted.

    Args:
        module: a model with its own distribution over codes, such as an RBM.
    """

    name = "gibbs"
    parameter_names = frozenset({"latent_dim"})

    def __init__(self, module: DrawsCodes) -> None:
        super().__init__()
        self.module = module

    def _fit(self, codes: Tensor, seed: int) -> dict[str, Tensor]:
        return {"latent_dim": torch.tensor(codes.shape[1])}

    def _draw(self, n: int, generator: torch.Generator, parameters: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return self.module.draw_codes(n, generator)
