"""InfoVAE, DIP-VAE, FactorVAE and the VampPrior: their penalties against closed forms and naive computations."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.errors import NotComputable, SettingError
from lit_ae.metrics.codes.factor_votes import factor_vae_score
from lit_ae.models import DIPVAE, FactorVAE, InfoVAE, VampPriorVAE
from lit_ae.models.base import Latent
from lit_ae.nets import MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian
from lit_ae.objectives.schedules import LinearSchedule
from lit_ae.testing.subject import plain_trainer


def build(family, **settings):
    torch.manual_seed(0)
    return family(**{"input_shape": (6,), "latent_dim": 3, **settings})


def drawn(n, dim=3):
    """Posteriors of n samples and a draw from each."""
    torch.manual_seed(1)
    mu, logvar = torch.randn(n, dim), torch.randn(n, dim) - 1
    return Latent(mu, logvar, mu + (logvar / 2).exp() * torch.randn(n, dim))


def exact_kl(latent):
    return kl_divergence(Normal(latent.mu, (latent.logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)


def penalty(module, latent):
    torch.manual_seed(2)
    return module.penalty(None, None, latent, None)


# -- InfoVAE --------------------------------------------------------------------------------------------------


def test_info_vae_weighs_both_divergences_by_equation_6():
    latent = drawn(40)
    found, terms = penalty(build(InfoVAE, alpha=0.25, scale=10), latent)
    assert torch.allclose(terms["kl"], exact_kl(latent), atol=1e-4)
    assert torch.allclose(found, 0.75 * terms["kl"] + 9.25 * terms["mmd"], atol=1e-4)
    only_kl = penalty(build(InfoVAE, alpha=0, scale=1), latent)[0]
    assert torch.allclose(only_kl, exact_kl(latent), atol=1e-4), "the VAE"
    assert torch.allclose(penalty(build(InfoVAE, alpha=1, scale=3), latent)[0], 3 * terms["mmd"], atol=1e-4)


def test_info_vae_measures_no_distance_of_codes_from_the_prior():
    z = torch.randn(1500, 3, generator=torch.Generator().manual_seed(3))
    far = penalty(build(InfoVAE, bandwidth=6.0), Latent(z, torch.zeros_like(z), z + 1))[1]["mmd"].mean()
    near = penalty(build(InfoVAE, bandwidth=6.0), Latent(z, torch.zeros_like(z), z))[1]["mmd"].mean()
    assert abs(near) < 0.006 < 0.05 < far


@pytest.mark.parametrize(("alpha", "scale"), [(1.5, 2.0), (0.5, 0.4), (-1.0, 1.5)])
def test_info_vae_never_rewards_a_divergence(alpha, scale):
    with pytest.raises(SettingError, match=r"model\.alpha is .* and model\.scale"):
        build(InfoVAE, alpha=alpha, scale=scale)


# -- DIP-VAE --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["I", "II"])
def test_dip_vae_penalises_the_covariance_of_all_codes(kind):
    latent = drawn(50)
    found, terms = penalty(build(DIPVAE, kind=kind, off_diagonal=3.0, diagonal=0.5), latent)
    c = torch.cov(latent.mu.T, correction=0)
    if kind == "II":
        c = c + torch.diag(latent.logvar.exp().mean(0))
    expected = sum(
        0.5 * (c[i, j] - 1) ** 2 if i == j else 3.0 * c[i, j] ** 2 for i in range(3) for j in range(3)
    )  # fmt: skip
    assert torch.allclose(terms["dip"], expected.expand(50), rtol=1e-4)
    assert torch.allclose(found, exact_kl(latent) + expected, rtol=1e-4)


def test_dip_vae_has_no_penalty_on_white_codes():
    white = math.sqrt(2) * torch.eye(3)[torch.arange(30) % 3]  # each axis in a third of the samples
    mu = torch.cat([white, -white]) * math.sqrt(1.5)
    latent = Latent(mu, torch.full_like(mu, -30.0), mu)
    for kind in ("I", "II"):
        assert penalty(build(DIPVAE, kind=kind), latent)[1]["dip"].abs().max() < 1e-8


def test_dip_vae_gradient_against_finite_differences():
    module = build(DIPVAE)
    mu, logvar = (x.double().requires_grad_() for x in drawn(5)[:2])
    torch.autograd.gradcheck(lambda a, b: module.penalty(None, None, Latent(a, b, a), None)[0].sum(), (mu, logvar))


# -- FactorVAE ------------------------------------------------------------------------------------------------


class Optimal(nn.Module):
    """The logit of the best discriminator between N(0, S) and the product of its marginals."""

    def __init__(self, s):
        super().__init__()
        self.joint = MultivariateNormal(torch.zeros(2), s)
        self.product = Normal(torch.zeros(2), s.diagonal().sqrt())

    def forward(self, z):
        return (self.joint.log_prob(z) - self.product.log_prob(z).sum(1)).unsqueeze(1)


def correlated(n, rho):
    root = torch.linalg.cholesky(torch.tensor([[1.0, rho], [rho, 1.0]]))
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(4)) @ root.T


def test_factor_vae_gives_the_total_correlation_with_the_best_discriminator(agrees):
    rho, module = 0.8, build(FactorVAE, latent_dim=2, gamma=5.0, beta=2.0)
    module.discriminator = Optimal(torch.tensor([[1.0, rho], [rho, 1.0]]))
    z = correlated(20_000, rho)
    latent = Latent(z, torch.zeros_like(z), z)
    found, terms = penalty(module, latent)
    exact = -0.5 * math.log(1 - rho**2)
    agrees("FactorVAE tc", "closed form (Gaussian)", "20,000 codes", terms["tc"].mean(), exact, abs=0.02)
    assert torch.allclose(found, 2 * exact_kl(latent) + 5 * terms["tc"], atol=1e-4)


def test_factor_vae_learns_a_discriminator_that_finds_the_total_correlation():
    rho, module = 0.9, build(FactorVAE, latent_dim=2)
    module.discriminator = MLPEncoder((2,), 1, widths=[32])
    adam = torch.optim.Adam(module.discriminator.parameters(), 1e-2)
    z = correlated(4000, rho)
    for _ in range(150):
        adam.zero_grad()
        module.discriminator_loss(*module.real_and_fake(z)).mean().backward()
        adam.step()
    found = penalty(module, Latent(z, torch.zeros_like(z), z))[1]["tc"].mean().item()
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.12)


def test_factor_vae_shuffles_each_dimension_by_itself():
    torch.manual_seed(5)
    z = torch.arange(300.0).view(100, 3)
    real, fake = build(FactorVAE).real_and_fake(z)
    assert torch.equal(real, z)
    assert torch.equal(fake.sort(0).values, z)
    assert not torch.equal(fake[:, 1] - fake[:, 0], torch.ones(100)), "no row stays together"
    assert (fake.diff(dim=1) == 1).all(1).float().mean() < 0.1


def test_factor_vae_anneals_over_the_batches_of_the_whole_training():
    """Each batch is two steps, of which Lightning counts both."""
    seen = []

    class Noting(LinearSchedule):
        def __call__(self, progress):
            seen.append(progress)
            return super().__call__(progress)

    module = build(FactorVAE, annealing=Noting(share=1.0))
    loader = DataLoader(TensorDataset(torch.rand(40, 6)), batch_size=10)
    plain_trainer(max_epochs=2).fit(module, loader)
    assert seen == pytest.approx([batch / 8 for batch in range(8)])


# -- VampPrior ------------------------------------------------------------------------------------------------


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs():
    module, z = build(VampPriorVAE, components=4), torch.randn(5, 3)
    mu, logvar = module.encoder(module.pseudo_inputs).chunk(2, 1)
    each = [
        [MultivariateNormal(m, torch.diag(v.exp())).log_prob(code).exp() for m, v in zip(mu, logvar, strict=True)]
        for code in z
    ]
    expected = torch.tensor(each).mean(1).log()
    assert torch.allclose(module.log_prior(z), expected, atol=1e-5)
    assert torch.allclose(module.log_prior(z.view(1, 5, 3)), expected.view(1, 5), atol=1e-5)
    assert torch.allclose(module.log_prior(z[0]), expected[0], atol=1e-5)


@pytest.mark.parametrize(("output", "ends"), [("sigmoid", (0, 1)), ("tanh", (-1, 1)), ("linear", (-5, 5))])
def test_vamp_prior_learns_inputs_within_the_range_of_the_data(output, ends):
    module = build(VampPriorVAE, components=2, likelihood=Gaussian(output=output))
    assert (module.inputs() - sum(ends) / 2).abs().max() < 0.5
    with torch.no_grad():
        module.pseudo_inputs[0], module.pseudo_inputs[1] = -5, 5
    assert [part.unique().tolist() for part in module.inputs()] == [[end] for end in ends]


def test_vamp_prior_is_a_density_from_which_codes_are_drawn():
    module = build(VampPriorVAE, components=3, latent_dim=1)
    grid = torch.linspace(-12, 12, 4001).unsqueeze(1)
    with torch.no_grad():
        density = module.log_prior(grid).exp()
        codes = module.draw_codes(20_000, torch.Generator().manual_seed(6))
    mass = torch.trapezoid(density, grid[:, 0])
    mean = torch.trapezoid(density * grid[:, 0], grid[:, 0])
    variance = torch.trapezoid(density * (grid[:, 0] - mean).square(), grid[:, 0])
    assert mass.item() == pytest.approx(1, abs=1e-4)
    assert codes.mean().item() == pytest.approx(mean.item(), abs=4 * math.sqrt(variance / 20_000))
    assert codes.var().item() == pytest.approx(variance.item(), rel=0.05)


def test_vamp_prior_makes_the_kl_divergence_that_of_one_draw_and_learns_its_inputs():
    module, latent = build(VampPriorVAE, components=4, beta=2.0), drawn(30)
    found, terms = penalty(module, latent)
    q = Normal(latent.mu, (latent.logvar / 2).exp())
    assert torch.allclose(terms["kl"], q.log_prob(latent.z).sum(1) - module.log_prior(latent.z), atol=1e-4)
    assert torch.allclose(found, 2 * terms["kl"])
    found.mean().backward()
    assert module.pseudo_inputs.grad.abs().sum(1).min() > 0


def test_vamp_prior_keeps_inputs_in_the_range_of_images():
    module = build(VampPriorVAE, input_shape=(1, 4, 4), components=50)
    assert module.pseudo_inputs.mean().item() == pytest.approx(0.5, abs=0.02)
    with torch.no_grad():
        module.pseudo_inputs += torch.linspace(-1, 1, 16).view(1, 4, 4)
    assert (module.inputs().min(), module.inputs().max()) == (0, 1)
    assert module.sample(7).shape == (7, 1, 4, 4)


@pytest.mark.parametrize(
    ("family", "setting"),
    [(DIPVAE, "off_diagonal"), (DIPVAE, "diagonal"), (FactorVAE, "gamma"), (VampPriorVAE, "components")],
)
def test_wrong_weights_are_refused(family, setting):
    with pytest.raises(SettingError, match=rf"model\.{setting} is -1"):
        build(family, **{setting: -1})


# -- the FactorVAE score ------------------------------------------------------------------------------------------


def grid():
    """All combinations of factors with 3, 4 and 5 values, eight times each: [480, 3]."""
    return torch.cartesian_prod(*(torch.arange(float(n)) for n in (3, 4, 5))).repeat(8, 1)


def test_factor_vae_score_of_codes_that_are_the_factors_is_1():
    factors = grid()
    scaled = factors[:, [2, 0, 1]] * torch.tensor([1.0, 10.0, 3.0])
    assert factor_vae_score(scaled, factors) == 1
    useless = 0.01 * torch.randn(480, 1, generator=torch.Generator().manual_seed(7))
    assert factor_vae_score(torch.cat([scaled, useless], 1), factors) == 1, "a collapsed dimension takes no part"


def test_factor_vae_score_of_codes_that_know_nothing_is_that_of_guessing():
    codes = torch.randn(480, 4, generator=torch.Generator().manual_seed(8))
    assert factor_vae_score(codes, grid(), votes=4000) == pytest.approx(1 / 3, abs=0.04)


def test_factor_vae_score_of_one_dimension_that_knows_one_factor():
    """A third of the votes are for factor 0, all by dimension 0. Both dimensions get half of the others, all wrong for
    dimension 0, and half of them right for dimension 1: 1/3 + 1/6.
    """
    noise = torch.randn(480, 1, generator=torch.Generator().manual_seed(9))
    found = factor_vae_score(torch.cat([grid()[:, :1], noise], 1), grid(), votes=4000)
    assert found == pytest.approx(0.5, abs=0.05)


def test_factor_vae_score_needs_factors_and_codes_that_vary():
    with pytest.raises(NotComputable, match="two factors that vary"):
        factor_vae_score(torch.randn(480, 2), grid()[:, :1])
    with pytest.raises(NotComputable, match="and codes that vary"):
        factor_vae_score(torch.ones(480, 2), grid())
