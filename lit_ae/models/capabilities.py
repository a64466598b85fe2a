"""What a callback may ask of a model, independent of its family."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class DrawsCodes(Protocol):
    """A model with its own distribution over codes, from which codes can be drawn."""

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, D] on the generator's device."""


@runtime_checkable
class Conditional(Protocol):
    """A model whose decoder is given the class; `decode(z, y)` gives samples of the classes y."""

    @property
    def classes(self) -> int:
        """Number K of classes."""

    def mixed_labels(self, n: int) -> Tensor:
        """Labels [n] of all classes, in their shares of the training data, for codes without labels."""

    def drawn_labels(self, n: int, generator: torch.Generator) -> Tensor:
        """The same with the shares of a chance that is drawn, so that few labels favour no class."""


@runtime_checkable
class AssignsClusters(Protocol):
    """A model that assigns samples to clusters."""

    def assign(self, x: Tensor) -> Tensor:
        """Soft assignments [B, K] of x [B, *shape]."""

    def assign_initially(self, x: Tensor) -> Tensor:
        """The soft assignments [B, K] with which its training started."""


@runtime_checkable
class Memorises(Protocol):
    """A model that memorises a few vectors and reproduces them through a narrow layer."""

    def memorised(self, x: Tensor) -> Tensor:
        """Whether each of x [N, N] is reproduced, [N] bool."""


@runtime_checkable
class StoresPatterns(Protocol):
    """An associative memory of patterns ±1."""

    noise: float  # share of units that are flipped before retrieval

    @property
    def patterns(self) -> Tensor:
        """The stored patterns [P, N]."""

    def retrieve(self, states: Tensor) -> list[Tensor]:
        """The given states ±1 [B, N] and those after each sweep, until none changes."""

    def energy(self, states: Tensor) -> Tensor:
        """The energy, [B], of states ±1 [B, N]."""
