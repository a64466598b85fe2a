"""Densities over codes: moments, repeatability, saving, and codes that are awkward to fit."""

import warnings

import numpy as np
import pytest
import torch

from lit_ae.errors import SettingError
from lit_ae.samplers import FittedGaussian, Mixture, Normal, Sampler
from lit_ae.samplers.base import load

SAMPLERS = [Normal, FittedGaussian, lambda: Mixture(components=2)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated_codes(n=5000):
    z = torch.randn(n, 3, generator=generator())
    mixing = torch.tensor([[2.0, 0, 0], [1.5, 0.5, 0], [0, -1, 0.1]])
    return z @ mixing.T + torch.tensor([10.0, -3, 0])


def two_clusters(n=4000):
    z = 0.3 * torch.randn(n, 2, generator=generator())
    z[: n // 4] += 5
    return z


@pytest.mark.parametrize("make", SAMPLERS)
def test_same_generator_same_codes_and_no_global_random_numbers(make):
    codes = two_clusters(500)
    torch.manual_seed(1)
    np.random.seed(1)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    sampler = make().fit(codes, seed=3)
    z = sampler.sample(50, generator(7))
    assert z.shape == (50, 2)
    assert z.dtype == torch.float32
    assert torch.equal(z, make().fit(codes, seed=3).sample(50, generator(7)))
    assert not torch.equal(z, sampler.sample(50, generator(8)))
    assert torch.equal(before, torch.get_rng_state())
    assert (before_numpy == np.random.get_state()[1]).all()


@pytest.mark.parametrize("make", SAMPLERS)
def test_a_fitted_sampler_can_be_saved(make, tmp_path):
    fitted = make().fit(two_clusters(500))
    torch.save(fitted.state_dict(), tmp_path / "sampler.pt")
    loaded = make()
    loaded.load_state_dict(torch.load(tmp_path / "sampler.pt", weights_only=True))
    assert torch.equal(fitted.sample(20, generator()), loaded.sample(20, generator()))


@pytest.mark.parametrize("make", SAMPLERS)
def test_an_unfitted_sampler_says_so(make):
    for use in (lambda s: s.sample(2, generator()), Sampler.state_dict):
        with pytest.raises(RuntimeError, match="has not been fitted"):
            use(make())


@pytest.mark.parametrize("make", SAMPLERS)
def test_one_dimension_none_drawn_and_float64(make):
    sampler = make().fit(two_clusters(300)[:, :1].double())
    assert sampler.sample(4, generator()).shape == (4, 1)
    assert sampler.sample(0, generator()).shape == (0, 1)
    assert sampler.sample(4, generator()).dtype == torch.float32


@pytest.mark.parametrize("make", SAMPLERS)
def test_codes_that_are_none(make):
    for wrong in (torch.zeros(5), torch.zeros(0, 2), torch.zeros(5, 0)):
        with pytest.raises(ValueError, match=r"codes \[N, D\]"):
            make().fit(wrong)
    with pytest.raises(ValueError, match="NaN or infinite"):
        make().fit(torch.tensor([[1.0], [float("nan")], [2.0]]))


def test_another_samplers_state_is_refused():
    with pytest.raises(ValueError, match=r"gaussian sampler has .*mean.*root"):
        FittedGaussian().load_state_dict(Normal().fit(torch.zeros(3, 2)).state_dict())


def test_normal_ignores_the_codes():
    z = Normal().fit(correlated_codes(10)).sample(20_000, generator())
    assert z.shape == (20_000, 3)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.05, rtol=0)


def test_gaussian_has_the_codes_moments():
    codes = correlated_codes()
    state = FittedGaussian().fit(codes).state_dict()
    torch.testing.assert_close(state["root"] @ state["root"], codes.T.cov(), rtol=1e-4, atol=1e-4)
    z = FittedGaussian().fit(codes).sample(50_000, generator())
    torch.testing.assert_close(z.mean(0), codes.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(z.T.cov(), codes.T.cov(), atol=0.1, rtol=0.03)


def test_gaussian_keeps_dead_and_dependent_dimensions():
    alive = correlated_codes(500)
    codes = torch.cat([alive, torch.full((500, 1), 7.0), alive[:, :1] - alive[:, 1:2]], dim=1)
    z = FittedGaussian().fit(codes).sample(1000, generator())
    torch.testing.assert_close(z[:, 3], torch.full((1000,), 7.0))
    torch.testing.assert_close(z[:, 4], z[:, 0] - z[:, 1], atol=1e-3, rtol=0)
    few = FittedGaussian().fit(correlated_codes(2))  # a line through two points
    assert torch.linalg.matrix_rank(few.sample(100, generator()).T.cov(), rtol=1e-4) == 1


def test_mixture_finds_the_clusters():
    state = Mixture(components=2).fit(two_clusters()).state_dict()
    order = state["means"][:, 0].argsort()
    torch.testing.assert_close(state["weights"][order], torch.tensor([0.75, 0.25]), atol=1e-3, rtol=0)
    torch.testing.assert_close(state["means"][order], torch.tensor([[0.0, 0], [5, 5]]), atol=0.05, rtol=0)
    torch.testing.assert_close(state["roots"], 0.3 * torch.eye(2).expand(2, 2, 2), atol=0.02, rtol=0)
    z = Mixture(components=2).fit(two_clusters()).sample(20_000, generator())
    high = (z > 2.5).all(1)
    assert high.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert z[high].std(0).tolist() == pytest.approx([0.3, 0.3], abs=0.02)
    assert ((z - 2.5).abs() > 1).all()  # nothing between them, as one Gaussian would have


def test_mixture_does_not_depend_on_the_codes_scale():
    codes = correlated_codes(1000)
    small, large = (Mixture(components=3).fit(codes * scale).sample(100, generator()) for scale in (1e-4, 1e4))
    torch.testing.assert_close(small * 1e8, large, rtol=1e-2, atol=1e3)


def test_mixture_does_not_depend_on_where_the_codes_lie():
    codes = correlated_codes(1000) * torch.tensor([1.0, 0.1, 0.01])
    for offset in (1e3, 1e5):
        drawn = Mixture(components=3).fit(codes.double() + offset).sample(5000, generator()).double() - offset
        torch.testing.assert_close(drawn.std(0), codes.double().std(0), rtol=0.1, atol=2e-8 * offset)


def test_mixture_of_dead_or_equal_codes():
    codes = torch.cat([two_clusters(500), torch.full((500, 1), 7.0)], dim=1)
    z = Mixture(components=2).fit(codes).sample(200, generator())
    torch.testing.assert_close(z[:, 2], torch.full((200,), 7.0), atol=0.05, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        equal = Mixture(components=2).fit(torch.ones(20, 3)).sample(10, generator())
    torch.testing.assert_close(equal, torch.ones(10, 3), atol=0.01, rtol=0)


def test_mixture_is_fitted_to_a_sample_of_many_codes():
    codes = two_clusters(2000)
    one, other = (Mixture(components=1, max_fit=50).fit(codes, seed).state_dict()["means"] for seed in (0, 1))
    assert not torch.equal(one, other)
    all_codes = Mixture(components=1, max_fit=2000).fit(codes).state_dict()["means"]
    torch.testing.assert_close(all_codes[0], codes.mean(0), rtol=1e-4, atol=1e-4)


def test_mixture_of_another_name_is_saved_and_loaded(tmp_path):
    mixture = Mixture(components=2, label="mixture_2").fit(two_clusters(100))
    assert mixture.name == "mixture_2"
    mixture.save(tmp_path / "mixture_2.pt")
    same = load(tmp_path / "mixture_2.pt")
    assert same.name == "mixture_2"
    assert torch.equal(same.sample(5, generator()), mixture.sample(5, generator()))


def test_settings_that_cannot_work():
    with pytest.raises(SettingError, match="components of the mixture sampler is 3 but there are 2 codes"):
        Mixture(components=3).fit(torch.randn(2, 2))
    with pytest.raises(SettingError, match="components of the mixture sampler is 0"):
        Mixture(components=0)
    with pytest.raises(SettingError, match="max_fit 5"):
        Mixture(components=10, max_fit=5)
    with pytest.raises(SettingError, match="reg_covar"):
        Mixture(reg_covar=0)
    with pytest.raises(SettingError, match="at least 2 codes"):
        FittedGaussian().fit(torch.randn(1, 2))


def test_names_are_those_of_metric_keys():
    assert [s.name for s in (Normal, FittedGaussian, Mixture)] == ["normal", "gaussian", "mixture"]
