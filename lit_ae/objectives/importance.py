"""Importance-weighted estimate of log p(x) under a decoder whose likelihood is a normalised density."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_ae.objectives.likelihoods import Bernoulli, Gaussian, Likelihood

LOG_2_PI = math.log(2 * math.pi)


def is_density(likelihood: Likelihood) -> bool:
    """Whether `log_density` knows the constant of this likelihood: Gaussian and Bernoulli, but not their subclasses."""
    return type(likelihood) in (Gaussian, Bernoulli)


def gaussian_variance(likelihood: Gaussian, size: int) -> float:
    """σ² of the Gaussian whose -log p is the nll up to a constant: ½, or size / 2 if nll is the mean over pixels."""
    return 0.5 if likelihood.pixels == "sum" else size / 2


def log_density(likelihood: Likelihood, raw: Tensor, x: Tensor) -> Tensor:
    """log p(x | z) in nats with its constant, [B k], for raw decoder output [B k, *shape], k rows an x of [B, *shape].

    `Gaussian`: Σ log N(x; x_hat, σ²) with the σ² of `gaussian_variance`, a density in the units of x.
    `Bernoulli`: Σ log p^x (1 - p)^(1 - x), the probability of a binary x, summed over pixels even if `pixels` is mean.

    Raises:
        ValueError: another likelihood, or a Bernoulli likelihood of x that is not binary, which is no probability.
    """
    raw = raw.unflatten(0, (len(x), -1))  # [B, k, *shape]
    of_each = x.unsqueeze(1).expand_as(raw)
    if type(likelihood) is Gaussian:
        size = x[0].numel()
        variance = gaussian_variance(likelihood, size)
        error = (likelihood.mean(raw) - of_each).square().flatten(2).sum(2).flatten()
        return -0.5 * error / variance - 0.5 * size * (LOG_2_PI + math.log(variance))
    if type(likelihood) is not Bernoulli:
        raise ValueError(f"{type(likelihood).__name__} is not known as a normalised density: use Gaussian or Bernoulli")
    if not ((x == 0) | (x == 1)).all():
        raise ValueError("a Bernoulli likelihood is a probability only of binary x: binarise x")
    return -F.binary_cross_entropy_with_logits(raw, of_each, reduction="none").flatten(2).sum(2).flatten()


def log_marginal(
    log_p_x: Callable[[Tensor], Tensor],
    mu: Tensor,
    logvar: Tensor,
    noise: Tensor,
    chunk: int = 1000,
    log_prior: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """log 1/K Σ_k p(x | z_k) p(z_k) / q(z_k | x) in nats, [B], with z_k ~ q = N(mu, diag exp(logvar)).

    Burda et al. 2016, equation 8: its expectation is a lower bound on log p(x) that rises with K and converges to it.
    K = 1 is a one-draw estimate of the evidence lower bound.

    Args:
        log_p_x: maps codes [B, k, D] to log p(x | z) [B, k].
        mu: means of q [B, D].
        logvar: log variances of q [B, D].
        noise: standard normal draws [B, K, D].
        chunk: how many codes, over images and draws, are decoded at once.
        log_prior: maps codes [B, k, D] to log p(z) [B, k]; null: N(0, I).

    Raises:
        ValueError: no draws, or a result that is not a number.
    """
    draws = noise.shape[1]
    if draws < 1:
        raise ValueError("an importance-weighted estimate needs at least 1 draw")
    parts = []
    for some in noise.split(max(1, chunk // len(noise)), dim=1):  # [B, k, D]
        z = mu.unsqueeze(1) + (0.5 * logvar).exp().unsqueeze(1) * some
        if log_prior is None:  # the factors (2 π)^(D/2) of p(z) and of q(z | x) cancel
            log_ratio = 0.5 * (some.square() - z.square() + logvar.unsqueeze(1)).sum(2)  # [B, k]
        else:
            log_ratio = log_prior(z) + 0.5 * (some.square() + LOG_2_PI + logvar.unsqueeze(1)).sum(2)
        parts.append(log_p_x(z) + log_ratio)
    estimate = torch.cat(parts, 1).logsumexp(1) - math.log(draws)
    if estimate.isnan().any():
        raise ValueError("log p(x) is not a number: the model's codes or output are not finite")
    return estimate
