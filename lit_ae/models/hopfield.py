"""Hopfield network."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lit_ae.data.containers import Batch, Shape
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.nets import Decoder, Encoder
from lit_ae.nets.precision import full_precision
from lit_ae.objectives.likelihoods import Gaussian, Pixels

Rule = Literal["hebb", "pseudo_inverse"]
Updates = Literal["asynchronous", "synchronous"]


def sign(x: Tensor) -> Tensor:
    """+1 where x ≥ 0, else -1."""
    return torch.where(x >= 0, 1.0, -1.0).to(x)


def dual(patterns: Tensor, rule: Rule) -> Tensor:
    """Vectors [P, N] whose products with a state are its overlaps with the patterns ±1 [P, N].

    The weights are patternsᵀ · dual without the diagonal: Hebb's rule (Hopfield 1982), or the projection on the span
    of the patterns (pseudo-inverse, Personnaz et al. 1986), which can also store correlated patterns.
    """
    return patterns / patterns.shape[1] if rule == "hebb" else torch.linalg.pinv(patterns).T


def weights(patterns: Tensor, rule: Rule) -> Tensor:
    """Symmetric weights [N, N] without self-connections that store patterns ±1 [P, N]."""
    w = patterns.T @ dual(patterns, rule)
    return (0.5 * (w + w.T)).fill_diagonal_(0)


def energy(state: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    """E = -(Σ_{i<j} x_i w_ij x_j + Σ_i b_i x_i), [B], of states ±1 [B, N]."""
    return -0.5 * ((state @ w) * state).sum(1) - state @ bias


def sweep(state: Tensor, w: Tensor, bias: Tensor, updates: Updates) -> Tensor:
    """Each unit of states ±1 [B, N] is set once to the sign of its input: one after the other, or all at once.

    Asynchronous updates (one after the other) never raise the energy; with synchronous updates (all at once) states
    may oscillate between two values.
    """
    field = state @ w + bias  # [B, N]
    if updates == "synchronous":
        return sign(field)
    # a unit at a time: by NumPy, whose calls take a fifth of the time of torch's on so few numbers
    fields, states, rows = (
        np.ascontiguousarray(x.cpu().numpy()) for x in (field.T, state.T, w)
    )  # [N, B] twice, [N, N]
    states = states.copy()
    for i, now in enumerate(states):
        change = np.where(fields[i] >= 0, np.float32(1), np.float32(-1)) - now
        if change.any():
            now += change
            fields += rows[i][:, None] * change
    return torch.from_numpy(states.T.copy()).to(state)


class Overlaps(Encoder):
    """Retrieves a stable state from x and gives its overlap with each stored pattern."""

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
        """The given states ±1 [B, N] and those after each sweep, until none changes."""
        yield state
        for _ in range(self.sweeps):
            before, state = state, sweep(state, self.weights, self.bias, self.updates)
            yield state
            if torch.equal(before, state):
                return

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] in [0, 1] → overlaps [B, P]."""
        with full_precision(x.device):  # a rounded input may change the sign of a unit, and so the retrieved state
            *_, state = self.trace(sign(x.flatten(1) - 0.5))
            return state @ self.dual.T


class Pattern(Decoder):
    """The sign of the sum of patterns weighted by overlaps, as black and white: it gives a stable state back."""

    patterns: Tensor  # [P, N]

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__(in_features, output_shape)
        self.register_buffer("patterns", sign(torch.randn(in_features, torch.Size(output_shape).numel())))

    def forward(self, z: Tensor) -> Tensor:
        """[B, P] → [B, *output_shape] of 0 and 1."""
        with full_precision(z.device):
            return (sign(z @ self.patterns) / 2 + 0.5).view(-1, *self.output_shape)


class BlackAndWhite(Gaussian):
    """The squared error of pixels in [0, 1], of which those of x_hat are 0 or 1."""

    def __init__(self, pixels: Pixels = "sum") -> None:
        super().__init__(pixels, output="linear")

    @property
    def value_range(self) -> tuple[float, float]:
        """Values around the threshold of ½."""
        return 0.0, 1.0


class Hopfield(ClosedFormModule):
    """Hopfield network: units ±1 that move to a local minimum of the energy, from which x_hat is a stored image like x.

    Hopfield 1982. Pixels become ±1 by a threshold of ½. The first `latent_dim` images of the run's shuffled training
    data are stored, so that the reconstruction error of any other image is its distance to a retrieved one. The code
    holds the overlaps of the retrieved state with the stored patterns.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number P of stored patterns; Hebb's rule can store 0.138 N uncorrelated ones (Amit et al. 1985).
        rule: how the weights are computed, `hebb` or `pseudo_inverse`.
        updates: `asynchronous` (one unit after the other) or `synchronous` (all at once).
        sweeps: largest number of sweeps over all units.
        noise: share of pixels that are flipped before retrieval, for `mse_corrupted` and recall.
        pixels: whether the squared error is the sum or the mean over pixels.

    Raises:
        SettingError: `sweeps` below 1, `noise` outside [0, ½], or more patterns than units.
    """

    version = 2  # codes and errors of clean inputs
    encoder: Overlaps
    decoder: Pattern

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int = 16,
        rule: Rule = "pseudo_inverse",
        updates: Updates = "asynchronous",
        sweeps: int = 50,
        noise: float = 0.1,
        pixels: Pixels = "sum",
    ) -> None:
        super().__init__(input_shape, latent_dim, torch.optim.SGD, Overlaps, Pattern, BlackAndWhite(pixels))
        units = torch.Size(input_shape).numel()
        require_at_least(1, "model.{}", sweeps=sweeps)
        if not 0 <= noise <= 0.5:
            raise SettingError(f"model.noise is {noise}: it must be a share from 0 to 0.5")
        if latent_dim > units:
            raise SettingError(f"model.latent_dim is {latent_dim} but there are {units} units: store fewer patterns")
        self.rule, self.noise = rule, noise
        self.encoder.updates, self.encoder.sweeps = updates, sweeps

    @property
    def patterns(self) -> Tensor:
        """The stored patterns ±1 [P, N]."""
        return self.encoder.patterns

    def retrieve(self, states: Tensor) -> list[Tensor]:
        """The given states ±1 [B, N] and those after each sweep, until none changes."""
        return list(self.encoder.trace(states))

    def energy(self, states: Tensor) -> Tensor:
        """The energy, [B], of states ±1 [B, N]."""
        return energy(states, self.encoder.weights, self.encoder.bias)

    def corrupt(self, x: Tensor) -> Tensor:
        """x [B, *shape] with a share of its pixels inverted."""
        return torch.where(torch.rand_like(x) < self.noise, 1 - x, x)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Overlaps, [B, P], of the state that is retrieved from x."""
        mu = self.encoder(x)
        return Latent(mu, None, mu)

    def solve(self, batches: Iterator[Batch]) -> None:
        """Store the first images.

        Raises:
            SettingError: there are fewer images than patterns.
        """
        images: list[Tensor] = []
        for x, _ in batches:
            images += x.flatten(1)[: self.latent_dim - len(images)]
            if len(images) == self.latent_dim:
                break
        else:
            raise SettingError(
                f"model.latent_dim is {self.latent_dim} but there are only {len(images)} images: lower it"
            )
        patterns = sign(torch.stack(images) - 0.5)
        self.encoder.patterns.copy_(patterns)
        self.decoder.patterns.copy_(patterns)
        self.encoder.dual.copy_(dual(patterns, self.rule))
        self.encoder.weights.copy_(weights(patterns, self.rule))
