"""Gaussian divergences and MMD against closed forms, torch.distributions and sums written out."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from lit_ae.objectives.divergences import (
    entropy,
    entropy_full,
    kl_standard_normal,
    kl_standard_normal_by_dimension,
    kl_standard_normal_full,
    mmd,
    squared_wasserstein,
)


@pytest.fixture
def gaussians():
    """Means [5, 4], log variances [5, 4] and full covariances [5, 4, 4]."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    root = torch.randn(5, 4, 4, generator=generator, dtype=torch.float64)
    return mu, logvar, root @ root.mT + 0.1 * torch.eye(4)


def test_kl_of_known_gaussians():
    mu, logvar = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, math.log(4.0)]])
    expected = torch.tensor([0.0, 0.5 * 9 + 0.5 * (4 - 1 - math.log(4))])
    assert torch.allclose(kl_standard_normal(mu, logvar), expected)
    assert torch.allclose(kl_standard_normal_by_dimension(mu, logvar)[1, 0], torch.tensor(4.5))


def test_kl_agrees_with_torch_and_full_with_diagonal(gaussians):
    mu, logvar, covariance = gaussians
    by_torch = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_standard_normal_by_dimension(mu, logvar), by_torch)
    assert torch.allclose(kl_standard_normal_full(mu, logvar.exp().diag_embed()), by_torch.sum(1))
    prior = MultivariateNormal(torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    assert torch.allclose(
        kl_standard_normal_full(mu, covariance), kl_divergence(MultivariateNormal(mu, covariance), prior)
    )


def test_entropies(gaussians):
    mu, logvar, covariance = gaussians
    assert entropy(torch.zeros(1)).item() == pytest.approx(1.4189385332)  # ½ log 2πe
    assert torch.allclose(entropy(logvar), Normal(mu, (logvar / 2).exp()).entropy().sum(1))
    assert torch.allclose(entropy_full(logvar.exp().diag_embed()), entropy(logvar))
    assert torch.allclose(entropy_full(covariance), MultivariateNormal(mu, covariance).entropy())


def test_wasserstein_distance_of_gaussians(gaussians):
    mu, logvar, covariance = gaussians
    zero = torch.zeros_like(mu)
    assert torch.allclose(squared_wasserstein(mu, covariance, zero, covariance), mu.square().sum(1))
    # Commuting covariances: ‖μ‖² + Σ (σ₁ - σ₂)²
    a, b = (logvar / 2).exp(), (logvar.flip(0) / 2).exp()
    expected = mu.square().sum(1) + (a - b).square().sum(1)
    assert torch.allclose(squared_wasserstein(mu, a.square().diag_embed(), zero, b.square().diag_embed()), expected)
    there = squared_wasserstein(mu, covariance, zero, covariance.flip(0))
    assert torch.allclose(there, squared_wasserstein(zero, covariance.flip(0), mu, covariance))
    # The root written out: (Σ₁ Σ₂)^½ by its eigenvalues
    values = torch.linalg.eigvals(covariance @ covariance.flip(0)).real
    traces = (covariance + covariance.flip(0)).diagonal(dim1=1, dim2=2).sum(1) - 2 * values.sqrt().sum(1)
    assert torch.allclose(there, mu.square().sum(1) + traces)


def test_wasserstein_distance_to_a_point_is_the_second_moment(gaussians):
    mu, _, covariance = gaussians
    moment = mu.square().sum(1) + covariance.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(squared_wasserstein(mu, covariance, mu * 0, covariance * 0), moment)
    assert torch.allclose(squared_wasserstein(mu * 0, covariance * 0, mu, covariance), moment)


# -- MMD -----------------------------------------------------------------------------------------------------------


def written_out(a, b, kernel):
    """The unbiased estimate by its double sums."""
    n = len(a)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    within = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs if i != j) / (n * (n - 1))
    return within - 2 * sum(kernel(a[i], b[j]) for i, j in pairs) / n**2


@pytest.mark.parametrize("name", ["rbf", "imq"])
def test_mmd_is_the_double_sum(name):
    a, b = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernels = {
        "rbf": lambda x, y: torch.exp(-(x - y).square().sum() / 2.5),
        "imq": lambda x, y: 2.5 / (2.5 + (x - y).square().sum()),
    }
    terms = mmd(a, b + 1, name, 2.5)
    assert terms.shape == (6,)
    assert terms.mean().item() == pytest.approx(written_out(a, b + 1, kernels[name]).item())
    median = torch.stack([(x - y).square().sum() for x in a for y in b]).median().item()
    assert torch.allclose(mmd(a, b, name), mmd(a, b, name, median))


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_is_unbiased_and_grows_with_the_shift(kernel):
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 16, 4, generator=generator) for _ in range(400)]
    same = torch.stack([mmd(a, b, kernel, 8.0).mean() for a, b in draws])
    assert abs(same.mean()) < 4 * same.std() / len(same) ** 0.5
    assert same.min() < 0
    shifted = [torch.stack([mmd(a + s, b, kernel, 8.0).mean() for a, b in draws]).mean() for s in (0.5, 1.0)]
    assert 4 * same.std() / len(same) ** 0.5 < shifted[0] < shifted[1]


def test_rbf_mmd_of_shifted_gaussians_has_its_closed_form():
    """E k(a, b) = (h / (h + 4))^(D/2) exp(-‖δ‖² / (h + 4)) for unit Gaussians at distance δ."""
    h, dim, delta = 6.0, 2, 1.5
    a, b = torch.randn(2, 2000, dim, generator=torch.Generator().manual_seed(0))
    b[:, 0] += delta
    scale = (h / (h + 4)) ** (dim / 2)
    expected = 2 * scale * (1 - math.exp(-(delta**2) / (h + 4)))
    assert mmd(a, b, "rbf", h).mean().item() == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_gradient_agrees_with_finite_differences_and_is_finite_for_equal_codes(kernel):
    a, b = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: mmd(z, b, kernel, 3.0).mean(), (a,))
    collapsed = torch.zeros(4, 3, requires_grad=True)
    mmd(collapsed, b.float(), kernel).mean().backward()
    assert collapsed.grad.isfinite().all()
    assert collapsed.grad.any()
