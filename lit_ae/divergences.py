"""Divergences in closed form, in nats: sums over code dimensions, one value a sample."""

from torch import Tensor


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag exp(logvar)) ‖ N(0, I)) of each sample [B]; both arguments [B, D].

    ½ Σ_d (μ² + σ² - 1 - log σ²): Kingma & Welling 2014, appendix B.
    """
    return kl_standard_normal_by_dimension(mu, logvar).sum(1)


def kl_standard_normal_by_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """The same by sample and code dimension, [B, D]."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
