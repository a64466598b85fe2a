"""A model's own Markov chain over codes."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lit_ae.samplers.base import Sampler


@runtime_checkable
class DrawsCodes(Protocol):
    """A model that has a density over its codes to draw from."""

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, D] on the generator's device."""


class Gibbs(Sampler):
    """Codes that the model itself draws; nothing is fitted.

    Args:
        module: the model, such as an RBM.
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
