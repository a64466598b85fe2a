"""What a family returns: a code with its posterior, a reconstruction with its terms."""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_ae.nets.precision import full

Terms: TypeAlias = Mapping[str, Tensor]  # name -> [B]; each is logged under its name
NO_TERMS: Terms = {}


class Latent(NamedTuple):
    """A posterior over codes and a draw from it."""

    mu: Tensor  # [B, D]
    logvar: Tensor | None  # [B, D]; None if the code is a point
    z: Tensor  # [B, D]
    terms: Terms = NO_TERMS  # further terms of the encoder, such as a commitment term


class Corrupted(NamedTuple):
    """What a family that corrupts its input makes of a corrupted one in evaluation."""

    x_in: Tensor  # [B, *shape]
    x_hat: Tensor  # [B, *shape]


class Reconstruction(NamedTuple):
    """The result of a step, for callbacks; `x_hat` is decoded from `latent.mu`, the terms from the draw `latent.z`."""

    x: Tensor  # [B, *shape]
    x_in: Tensor  # [B, *shape], the input of the encoder: x itself except in the training of a family that corrupts it
    x_hat: Tensor  # [B, *shape]
    latent: Latent
    nll: Tensor  # [B]
    penalty: Tensor  # [B]
    loss: Tensor  # [B], nll + penalty
    y: Tensor  # [B], -1 for unlabelled samples
    terms: Terms = NO_TERMS  # logged beside loss, nll and penalty: mse, kl, ...
    corrupted: Corrupted | None = None  # in evaluation, if the family corrupts its input


def in_full(latent: Latent) -> Latent:
    """The same in single precision at least; a draw that is the mean stays the same tensor."""
    mu = full(latent.mu)
    z = mu if latent.z is latent.mu else full(latent.z)
    terms = {name: full(term) for name, term in latent.terms.items()}
    return Latent(mu, None if latent.logvar is None else full(latent.logvar), z, terms)


def split_terms(penalty: Tensor | tuple[Tensor, Terms]) -> tuple[Tensor, Terms]:
    """The result of `penalty` as a pair of the penalty and further terms."""
    return (penalty, NO_TERMS) if isinstance(penalty, Tensor) else penalty


def noisy_code(mu: Tensor, sigma: float) -> Latent:
    """N(μ, σ² I) with mean codes μ [B, D], and a draw from it."""
    return Latent(mu, torch.full_like(mu, 2 * math.log(sigma)), mu + sigma * torch.randn_like(mu))
