"""Divergences and entropies of Gaussians in nats, in closed form, and the maximum mean discrepancy of two samples.

A value for each sample is the sum over the code dimensions.
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Kernel: TypeAlias = Literal["rbf", "imq"]


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag exp(logvar)) ‖ N(0, I)) of each sample [B]; both arguments are [B, D].

    ½ Σ_d (μ² + σ² - 1 - log σ²): Kingma & Welling 2014, appendix B.
    """
    return kl_standard_normal_by_dimension(mu, logvar).sum(1)


def kl_standard_normal_by_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """The same KL divergence of each sample and code dimension, [B, D]."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def kl_standard_normal_full(mu: Tensor, covariance: Tensor) -> Tensor:
    """KL(N(mu, covariance) ‖ N(0, I)), [...], of means [..., D] and positive definite covariances [..., D, D].

    ½ (‖μ‖² + Tr Σ - D - log det Σ).

    Raises:
        torch.linalg.LinAlgError: a covariance is not positive definite.
    """
    return 0.5 * (mu.square().sum(-1) + trace(covariance) - mu.shape[-1] - log_determinant(covariance))


def entropy(logvar: Tensor) -> Tensor:
    """Entropy ½ Σ_d (1 + log 2π + log σ²), [...], of N(·, diag exp(logvar)) with logvar [..., D]."""
    return 0.5 * (1 + math.log(2 * math.pi) + logvar).sum(-1)


def entropy_full(covariance: Tensor) -> Tensor:
    """Entropy ½ (D (1 + log 2π) + log det Σ), [...], of N(·, covariance) with positive definite Σ [..., D, D].

    Raises:
        torch.linalg.LinAlgError: a covariance is not positive definite.
    """
    return 0.5 * (covariance.shape[-1] * (1 + math.log(2 * math.pi)) + log_determinant(covariance))


def squared_wasserstein(mu_a: Tensor, covariance_a: Tensor, mu_b: Tensor, covariance_b: Tensor) -> Tensor:
    """W₂², [...], of two Gaussians with means [..., D] and covariances [..., D, D], which may be singular.

    ‖μ₁ - μ₂‖² + Tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) (Dowson & Landau 1982). It has no gradient if a covariance is singular.
    """
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)  # R Rᵀ = Σ₁; Rᵀ Σ₂ R has the eigenvalues of Σ₁ Σ₂
    product = torch.linalg.eigvalsh(root.mT @ covariance_b @ root).clamp(min=0)
    traces = trace(covariance_a) + trace(covariance_b) - 2 * product.sqrt().sum(-1)
    distance: Tensor = (mu_a - mu_b).square().sum(-1) + traces
    return distance


def trace(matrix: Tensor) -> Tensor:
    """Σ_d m_dd, [...], of matrices [..., D, D]."""
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def log_determinant(covariance: Tensor) -> Tensor:
    """log det Σ, [...], of positive definite matrices [..., D, D]."""
    root: Tensor = torch.linalg.cholesky(covariance)
    return 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


# -- maximum mean discrepancy ---------------------------------------------------------------------------------------


def mmd(a: Tensor, b: Tensor, kernel: Kernel = "rbf", bandwidth: float | None = None) -> Tensor:
    """Terms [B] whose mean is the unbiased estimate of MMD² between samples a and b, both [B, D] with B ≥ 2.

    Gretton et al. 2012, equation 3: Σ_{i≠j} (k(a_i, a_j) + k(b_i, b_j)) / (B (B - 1)) - 2 Σ_{i,j} k(a_i, b_j) / B². The
    estimate may be negative. It takes O(B²) time and memory.

    Args:
        a: first sample.
        b: second sample.
        kernel: kernel k, as in `kernel_of`.
        bandwidth: h of the kernel, a squared distance; null: the median of ‖a_i - b_j‖², through which no gradient
            flows.
    """
    n = len(a)
    ab = squared_distances(a, b)
    h = ab.detach().median() if bandwidth is None else bandwidth
    k_ab = kernel_of(ab, h, kernel)
    within = kernel_of(squared_distances(a, a), h, kernel) + kernel_of(squared_distances(b, b), h, kernel)
    return (within.sum(1) - within.diagonal()) / (n - 1) - (k_ab.sum(1) + k_ab.sum(0)) / n


def kernel_of(squared: Tensor, h: Tensor | float, kernel: Kernel) -> Tensor:
    """Kernel values of squared distances d²: `rbf` exp(-d² / h), `imq` (inverse multiquadratic) h / (h + d²)."""
    return (-squared / h).exp() if kernel == "rbf" else h / (h + squared)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i - b_j‖², [N, M], of a [N, D] and b [M, D], without a square root that would have no gradient at 0."""
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)
