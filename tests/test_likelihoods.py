"""Likelihoods and divergences against closed forms, `torch.distributions`, SciPy and finite differences."""

import math

import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from lit_ae.objectives.divergences import kl_standard_normal, kl_standard_normal_by_dimension
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian

SHAPE = (2, 3, 4)  # 24 pixels
LIKELIHOODS = {
    "gaussian, linear": lambda pixels: Gaussian(pixels, output="linear"),
    "gaussian, sigmoid": lambda pixels: Gaussian(pixels, output="sigmoid"),
    "gaussian, tanh": lambda pixels: Gaussian(pixels, output="tanh"),
    "bernoulli": Bernoulli,
}


def raw_and_x(n=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    raw = 3 * torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    return raw, torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)


def finite_differences(function, at, step=1e-6):
    """Central differences of a scalar function, element by element."""
    slopes = torch.zeros_like(at)
    for index in range(at.numel()):
        change = torch.zeros_like(at)
        change.view(-1)[index] = step
        slopes.view(-1)[index] = (function(at + change) - function(at - change)) / (2 * step)
    return slopes


# -- likelihoods ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_fit_gives_mean_image_and_one_value_a_sample(name):
    raw, x = raw_and_x()
    likelihood = LIKELIHOODS[name]("sum")
    fit = likelihood.fit(raw, x)
    assert fit.x_hat.shape == raw.shape
    assert fit.nll.shape == fit.mse.shape == (5,)
    assert torch.equal(fit.x_hat, likelihood.mean(raw))
    by_hand = (fit.x_hat - x).square().flatten(1).mean(1)
    assert torch.allclose(fit.mse, by_hand, rtol=1e-12)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_mean_over_pixels_is_the_sum_over_their_number(name):
    raw, x = raw_and_x()
    total, average = (LIKELIHOODS[name](pixels).fit(raw, x) for pixels in ("sum", "mean"))
    assert torch.allclose(total.nll, 24 * average.nll, rtol=1e-12)
    assert torch.equal(total.x_hat, average.x_hat)
    assert torch.allclose(total.mse, average.mse, rtol=1e-12)


@pytest.mark.parametrize(
    ("output", "activation"), [("linear", torch.nn.Identity()), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)]
)
def test_gaussian_is_a_normal_of_variance_one_half_without_its_constant(output, activation):
    raw, x = raw_and_x()
    log_prob = Normal(activation(raw), math.sqrt(0.5)).log_prob(x).flatten(1).sum(1)
    expected = -log_prob - 24 * 0.5 * math.log(math.pi)
    assert torch.allclose(Gaussian(output=output).fit(raw, x).nll, expected, rtol=1e-12)
    assert torch.equal(Gaussian(output=output).mean(raw), activation(raw))


def test_gaussian_known_values():
    raw, x = torch.tensor([[0.0, 3.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert Gaussian(output="linear").fit(raw, x).nll.tolist() == [5.0, 0.0]
    assert Gaussian("mean", output="linear").fit(raw, x).nll.tolist() == [2.5, 0.0]


def test_bernoulli_is_the_binary_log_likelihood():
    raw, x = raw_and_x()
    black_and_white = x.round()
    expected = -torch.from_numpy(scipy.stats.bernoulli.logpmf(black_and_white, raw.sigmoid())).flatten(1).sum(1)
    assert torch.allclose(Bernoulli().fit(raw, black_and_white).nll, expected, rtol=1e-10)
    grey = -(x * raw.sigmoid().log() + (1 - x) * (1 - raw.sigmoid()).log()).flatten(1).sum(1)
    assert torch.allclose(Bernoulli().fit(raw, x).nll, grey, rtol=1e-10)


def test_bernoulli_known_values():
    nll = Bernoulli().fit(torch.zeros(1, 3), torch.tensor([[0.0, 0.5, 1.0]])).nll
    assert nll.item() == pytest.approx(3 * math.log(2), rel=1e-6)
    assert Bernoulli("mean").fit(torch.zeros(1, 3), torch.ones(1, 3)).nll.item() == pytest.approx(math.log(2))


def test_bernoulli_of_extreme_logits_is_finite_and_exact():
    raw = torch.tensor([[500.0], [-500.0], [500.0], [-500.0]], requires_grad=True)
    nll = Bernoulli().fit(raw, torch.tensor([[1.0], [0.0], [0.0], [1.0]])).nll
    assert nll.tolist() == [0.0, 0.0, 500.0, 500.0]
    nll.sum().backward()
    assert raw.grad.flatten().tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("pixels", ["sum", "mean"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradient_of_the_nll_is_that_of_finite_differences(name, pixels):
    raw, x = raw_and_x(2)
    likelihood = LIKELIHOODS[name](pixels)
    raw.requires_grad_()
    fit = likelihood.fit(raw, x)
    (gradient,) = torch.autograd.grad(fit.nll.sum(), raw)
    expected = finite_differences(lambda at: likelihood.fit(at, x).nll.sum(), raw.detach())
    assert torch.allclose(gradient, expected, rtol=1e-6, atol=1e-8)
    assert gradient.abs().min() > 0
    assert not fit.mse.requires_grad


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_nll_is_least_where_the_mean_image_is_x(name):
    likelihood = LIKELIHOODS[name]("sum")
    x = torch.full((1, 1), 0.3, dtype=torch.float64)
    grid = torch.linspace(-4, 4, 8001, dtype=torch.float64).unsqueeze(1)
    nll = likelihood.fit(grid, x.expand_as(grid)).nll
    assert likelihood.mean(grid)[nll.argmin()].item() == pytest.approx(0.3, abs=1e-3)


# -- divergences ---------------------------------------------------------------------------------------------------


def posterior(n=6, dim=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mu = 2 * torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return mu, 1.5 * torch.randn(n, dim, generator=generator, dtype=torch.float64)


def test_kl_is_that_of_torch_distributions():
    mu, logvar = posterior()
    by_dimension = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_standard_normal_by_dimension(mu, logvar), by_dimension, rtol=1e-12)
    assert torch.allclose(kl_standard_normal(mu, logvar), by_dimension.sum(1), rtol=1e-12)
    assert kl_standard_normal(mu, logvar).shape == (6,)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 1.0), (-0.5, 0.3), (2.0, 1.7)])
def test_kl_is_the_integral(mean, std):
    q, p = scipy.stats.norm(mean, std), scipy.stats.norm()
    bounds = mean - 12 * std, mean + 12 * std
    integral, _ = scipy.integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *bounds)
    found = kl_standard_normal(torch.tensor([[mean]]), torch.tensor([[2 * math.log(std)]]))
    assert found.item() == pytest.approx(integral, rel=1e-5, abs=1e-7)


def test_kl_known_values_in_nats():
    zero = torch.zeros(1, 4)
    assert kl_standard_normal(zero, zero).item() == 0
    assert kl_standard_normal(zero + 1, zero).item() == 2  # half a nat a dimension
    expected = 4 * 0.5 * (math.e - 2)
    assert kl_standard_normal(zero, zero + 1).item() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.floats(-30, 30), st.floats(-20, 20))
def test_kl_is_never_negative(mean, logvar):
    inputs = (torch.tensor([[value]], dtype=torch.float64) for value in (mean, logvar))
    value = kl_standard_normal(*inputs).item()
    assert math.isfinite(value)
    assert value >= -1e-15  # a rounding error of the 1 that is taken away
    if abs(mean) > 1e-3 or abs(logvar) > 1e-3:
        assert value > 0


def test_kl_gradients_are_those_of_finite_differences():
    mu, logvar = (part.requires_grad_() for part in posterior(2, 3))
    gradients = torch.autograd.grad(kl_standard_normal(mu, logvar).sum(), (mu, logvar))
    mu, logvar = mu.detach(), logvar.detach()
    by_mu = finite_differences(lambda at: kl_standard_normal(at, logvar).sum(), mu)
    by_logvar = finite_differences(lambda at: kl_standard_normal(mu, at).sum(), logvar)
    assert torch.allclose(gradients[0], by_mu, rtol=1e-6, atol=1e-8)
    assert torch.allclose(gradients[1], by_logvar, rtol=1e-6, atol=1e-8)
    assert torch.allclose(gradients[0], mu)  # in closed form
    assert torch.allclose(gradients[1], 0.5 * (logvar.exp() - 1))
