"""Hopfield network."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.likelihoods import Gaussian, Pixels
from lit_ae.models.base import Latent
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.nets import Decoder, Encoder, Shape

Rule = Literal["hebb", "pseudo_inverse"]
Updates = Literal["asynchronous", "synchronous"]


def sign(x: Tensor) -> Tensor:
    """+1 where x ≥ 0, else -1."""
    return torch.where(x >= 0, 1.0, -1.0).to(x)


def dual(patterns: Tensor, rule: Rule) -> Tensor:
    """What a state's overlaps with the patterns are read off by: [P, N] for patterns ±1 [P, N].

    The weights are patternsᵀ · dual without their diagonal: Hebb (Hopfield 1982) or the projection on the patterns'
    span (Personnaz et al. 1986), which stores correlated ones, too.
    """
    return patterns / patterns.shape[1] if rule == "hebb" else torch.linalg.pinv(patterns).T


def weights(patterns: Tensor, rule: Rule) -> Tensor:
    """Symmetric weights [N, N] without self-connections that store patterns ±1 [P, N]."""
    w = patterns.T @ dual(patterns, rule)
    return (0.5 * (w + w.T)).fill_diagonal_(0)


def energy(state: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    """E = -(Σ_{i<j} x_i w_ij x_j + Σ_i b_i x_i) of states ±1 [B, N] → [B]."""
    return -0.5 * ((state @ w) * state).sum(1) - state @ bias


def sweep(state: Tensor, w: Tensor, bias: Tensor, updates: Updates) -> Tensor:
    """Every unit of states ±1 [B, N] set once by the sign of its input: one after the other, or all at once.

    One after the other, no update can raise the energy; all at once, states may swing between two.
    """
    field = state @ w + bias  # [B, N]
    if updates == "synchronous":
        return sign(field)
    state = state.clone()
    for i in range(state.shape[1]):
        change = sign(field[:, i]) - state[:, i]
        if change.any():
            state[:, i] += change
            field += change.unsqueeze(1) * w[i]
    return state


class Overlaps(Encoder):
    """Retrieves the memory next to x and gives its overlap with each pattern."""

    patterns: Tensor  # [P, N]
    dual: Tensor  # [P, N]
    weights: Tensor  # [N, N]
    bias: Tensor  # [N]

    def __init__(self, input_shape: Shape, out_features: int) -> None:
        super().__init__(input_shape, out_features)
        units = torch.Size(input_shape).numel()
        self.register_buffer("patterns", sign(torch.randn(out_features, units)))
        self.register_buffer("dual", self.patterns / units)
        self.register_buffer("weights", torch.zeros(units, units))
        self.register_buffer("bias", torch.zeros(units))
        self.updates: Updates = "asynchronous"
        self.sweeps = 1

    def trace(self, state: Tensor) -> Iterator[Tensor]:
        """States ±1 [B, N] from the given one on, sweep by sweep, until none changes."""
        yield state
        for _ in range(self.sweeps):
            before, state = state, sweep(state, self.weights, self.bias, self.updates)
            yield state
            if torch.equal(before, state):
                return

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] in [0, 1] → overlaps [B, P]."""
        *_, state = self.trace(sign(x.flatten(1) - 0.5))
        return state @ self.dual.T


class Pattern(Decoder):
    """The patterns weighted by overlaps, cut to black and white: a stable state from its own overlaps."""

    patterns: Tensor  # [P, N]

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__(in_features, output_shape)
        self.register_buffer("patterns", sign(torch.randn(in_features, torch.Size(output_shape).numel())))

    def forward(self, z: Tensor) -> Tensor:
        """[B, P] → [B, *output_shape] of 0 and 1."""
        return (sign(z @ self.patterns) / 2 + 0.5).view(-1, *self.output_shape)


class Hopfield(ClosedFormModule):
    """±1 units (pixels cut at ½) that fall to a minimum of the energy: x_hat is the stored image nearest to x.

    Hopfield 1982. The first `latent_dim` images of the run's shuffled training data are stored; all others are only
    retrieved from, so the error on them is the distance to a memory. The code is a state's overlaps with the patterns.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number P of stored patterns; Hebb's rule holds 0.138 N uncorrelated ones (Amit et al. 1985).
        rule: `hebb` or `pseudo_inverse`.
        updates: `asynchronous` or `synchronous`.
        sweeps: most sweeps over all units.
        noise: share of pixels that is flipped before retrieval.
        pixels: whether the squared error sums over pixels or is their mean.

    Raises:
        SettingError: no sweep, a share outside [0, ½], or more patterns than units.
    """

    encoder: Overlaps
    decoder: Pattern

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int,
        rule: Rule = "pseudo_inverse",
        updates: Updates = "asynchronous",
        sweeps: int = 50,
        noise: float = 0.1,
        pixels: Pixels = "sum",
    ) -> None:
        super().__init__(input_shape, latent_dim, torch.optim.SGD, Overlaps, Pattern, Gaussian(pixels, output="linear"))
        units = torch.Size(input_shape).numel()
        if sweeps < 1:
            raise SettingError(f"model.sweeps is {sweeps}: it must be at least 1")
        if not 0 <= noise <= 0.5:
            raise SettingError(f"model.noise is {noise}: it must be a share from 0 to 0.5")
        if latent_dim > units:
            raise SettingError(f"model.latent_dim is {latent_dim} but there are {units} units: store fewer patterns")
        self.rule, self.noise = rule, noise
        self.encoder.updates, self.encoder.sweeps = updates, sweeps

    def corrupt(self, x: Tensor) -> Tensor:
        """x with a share of its pixels turned to their negative."""
        return torch.where(torch.rand_like(x) < self.noise, 1 - x, x)

    def encode(self, x: Tensor) -> Latent:
        """Overlaps of the state that x falls to, [B, P]."""
        mu = self.encoder(x)
        return Latent(mu, None, mu)

    def solve(self, batches: Iterator[Batch]) -> None:
        """Store the first images.

        Raises:
            SettingError: there are not that many.
        """
        images: list[Tensor] = []
        for x, _ in batches:
            images += x.flatten(1)[: self.latent_dim - len(images)]
            if len(images) == self.latent_dim:
                break
        else:
            raise SettingError(
                f"model.latent_dim is {self.latent_dim} but only {len(images)} images are there: lower it"
            )
        patterns = sign(torch.stack(images) - 0.5)
        self.encoder.patterns.copy_(patterns)
        self.decoder.patterns.copy_(patterns)
        self.encoder.dual.copy_(dual(patterns, self.rule))
        self.encoder.weights.copy_(weights(patterns, self.rule))
