"""Scores of codes against closed forms, torch's mixtures and the paper's line fit; all callbacks of codes on shapes."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer, seed_everything
from scipy.stats import multivariate_normal
from sklearn.neighbors import NearestNeighbors
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from lit_ae.callbacks.scores.code_scores import CodeScores, draws_of
from lit_ae.callbacks.scores.factors import Factors
from lit_ae.callbacks.scores.linear_probe import LinearProbe
from lit_ae.callbacks.scores.valid_set import ValidSet
from lit_ae.data.containers import SPLITS
from lit_ae.data.shapes import Shapes
from lit_ae.errors import SettingError
from lit_ae.evaluation.access import datamodule
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes.information import (
    information_rate,
    intrinsic_dimension,
    posterior_total_correlation,
    total_correlation,
)
from lit_ae.models.ae import AE
from lit_ae.models.vae import VAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Bernoulli
from lit_ae.samplers import FittedGaussian

COVARIANCE = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -0.5], [0.0, -0.5, 1.0]], dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_covariance(covariance, n=500, seed=0):
    """Codes whose covariance (divisor n) is exactly this."""
    z = normal(n, len(covariance), seed=seed).double()
    z = z - z.mean(0)
    white = z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / n)).T
    return white @ torch.linalg.cholesky(covariance).T + 3


# -- total correlation --------------------------------------------------------------------------------------------


def test_total_correlation_of_a_gaussian(agrees):
    joint = multivariate_normal(cov=COVARIANCE).entropy()
    expected = sum(multivariate_normal(cov=v).entropy() for v in COVARIANCE.diagonal().tolist()) - joint
    reference = "Gaussian entropies by scipy"
    ours = total_correlation(with_covariance(COVARIANCE))
    agrees("total correlation", reference, "500 codes of known covariance", ours, expected, rel=1e-9)
    rho = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    assert total_correlation(with_covariance(rho)) == pytest.approx(-0.5 * math.log(1 - 0.36))


def test_noise_is_part_of_the_covariance():
    noise = torch.tensor([0.5, 0.1, 2.0], dtype=torch.float64)
    mu, logvar = with_covariance(COVARIANCE), noise.log().expand(500, -1)
    assert total_correlation(mu, logvar) == pytest.approx(
        total_correlation(with_covariance(COVARIANCE + noise.diag())), rel=1e-9
    )


def test_total_correlation_of_special_cases():
    z = with_covariance(COVARIANCE)
    wider = torch.cat([z, torch.full((500, 2), 0.1)], 1)
    assert total_correlation(wider) == pytest.approx(total_correlation(z))
    assert total_correlation(z[:, :1]) == total_correlation(torch.ones(9, 4)) == total_correlation(z[:1]) == 0
    with pytest.raises(ValueError, match="linearly dependent"):
        total_correlation(torch.cat([z, z[:, :1] + 2 * z[:, 1:2]], 1).float())
    with pytest.raises(ValueError, match="linearly dependent"):
        total_correlation(z[:3])
    assert total_correlation(z[:3], torch.zeros(3, 3)) >= 0
    with pytest.raises(ValueError, match="NaN"):
        total_correlation(z * float("nan"))
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        total_correlation(z[:0])


def test_posterior_total_correlation_against_torch(agrees):
    mu, logvar, z = normal(80, 4), 0.3 * normal(80, 4, seed=1) - 1, normal(50, 4, seed=2)
    posteriors = Normal(mu.double(), (logvar.double() / 2).exp())
    weights = Categorical(torch.ones(80, dtype=torch.float64))
    joint = MixtureSameFamily(weights, Independent(posteriors, 1)).log_prob(z.double())
    alone = sum(
        MixtureSameFamily(weights, Normal(posteriors.loc[:, d], posteriors.scale[:, d])).log_prob(z[:, d].double())
        for d in range(4)
    )
    ours = posterior_total_correlation(z, mu, logvar)
    agrees("total correlation of q(z)", "torch.distributions' mixtures", "80 posteriors, 50 draws",
           ours, (joint - alone).mean(), rel=1e-4)  # fmt: skip


def test_posterior_total_correlation_of_almost_a_gaussian():
    """Broad posteriors with Gaussian means: their mixture is the Gaussian of the closed form."""
    rho = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    mu, logvar = with_covariance(rho, 2000), torch.full((2000, 2), -2.0)
    z = draws_of(mu, logvar, 2000, seed=0)
    assert posterior_total_correlation(z, mu, logvar) == pytest.approx(total_correlation(mu, logvar), abs=0.05)


def test_posterior_total_correlation_of_independent_and_of_separate_codes():
    grid = torch.cartesian_prod(*[torch.linspace(-2, 2, 20)] * 2)
    tight = torch.full((400, 2), -4.0)
    assert posterior_total_correlation(draws_of(grid, tight, 400, 0), grid, tight) == pytest.approx(0, abs=1e-5)
    line = 100 * torch.arange(50.0)[:, None].expand(-1, 2)  # one coordinate is enough to identify each of the 50 points
    noise = torch.zeros(50, 2)
    ours = posterior_total_correlation(draws_of(line, noise, 50, 0), line, noise)
    assert ours == pytest.approx(math.log(50), rel=1e-4)


# -- information rate ---------------------------------------------------------------------------------------------


def test_information_rate_of_known_variances(agrees):
    mu = torch.tensor([[1.0, 0, 5], [-1, 2, 5]])  # variances 1, 1, 0
    logvar = torch.tensor([[0.0, 0, 0], [0, math.log(5), 0]])  # mean noise 1, 3, 1
    expected = 0.5 * math.log2(2) + 0.5 * math.log2(4 / 3) + 0
    agrees("information rate, bits", "worked out by hand", "2 codes", information_rate(mu, logvar), expected, rel=1e-6)
    assert information_rate(mu[:1], logvar[:1]) == information_rate(torch.ones(4, 2), torch.zeros(4, 2)) == 0
    assert information_rate(mu, torch.full((2, 3), -400.0)) == pytest.approx(400 / math.log(2), rel=1e-3)


def test_information_rate_is_a_gaussian_channels_information():
    """With fixed noise and a Gaussian signal R = I(μ; z) = H(z) - H(z | μ)."""
    spread = torch.tensor([2.0, 0.5], dtype=torch.float64)
    mu = with_covariance(spread.diag())
    total = sum(multivariate_normal(cov=v + 0.04).entropy() - multivariate_normal(cov=0.04).entropy() for v in spread)
    logvar = torch.full((500, 2), math.log(0.04))
    assert information_rate(mu, logvar) == pytest.approx(total / math.log(2), rel=1e-6)


# -- intrinsic dimension ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_intrinsic_dimension_of_known_manifolds(dimension, agrees):
    z = torch.rand(3000, dimension, generator=torch.Generator().manual_seed(0)) @ normal(dimension, 12).double().float()
    ours = intrinsic_dimension(z)
    agrees("intrinsic dimension", "made so", f"3,000 points of a cube of {dimension} in 12", ours, dimension, rel=0.1)
    nearest = NearestNeighbors(n_neighbors=3, algorithm="kd_tree").fit(z).kneighbors(z)[0]
    x = np.sort(np.log(nearest[:, 2] / nearest[:, 1]))
    y = -np.log(1 - np.arange(3000) / 3000)
    x, y = x[:2700], y[:2700]  # Facco et al. leave the last tenth out
    agrees("intrinsic dimension", "Facco et al.'s line fit", f"3,000 points of a cube of {dimension} in 12",
           ours, (x @ y) / (x @ x), rel=0.05)  # fmt: skip


def test_intrinsic_dimension_by_hand():
    """0, 1 and 3 on a line: ratios 3, 2, 1.5."""
    z = torch.tensor([[0.0], [1], [3]])
    expected = 2 / (math.log(3) + math.log(2) + math.log(1.5))
    assert intrinsic_dimension(z) == pytest.approx(expected)
    assert intrinsic_dimension(torch.cat([z, z, z])) == pytest.approx(expected), "copies count once"
    assert intrinsic_dimension(1e-3 * z + 1e3) == pytest.approx(expected, rel=0.1), "near codes far from the origin"


def test_intrinsic_dimension_of_special_cases():
    assert intrinsic_dimension(torch.ones(9, 3)) == intrinsic_dimension(normal(1, 3)) == 0
    with pytest.raises(ValueError, match="grid"):
        intrinsic_dimension(torch.cartesian_prod(*[torch.arange(4.0)] * 2))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 10**6))
def test_any_size_and_order(n, d, seed):
    mu, logvar = normal(n, d, seed=seed), normal(n, d, seed=seed + 1)
    order = torch.randperm(n)
    z = draws_of(mu, logvar, 20, seed)
    assert z.shape == (min(n, 20), d)
    values = {
        "total": (total_correlation(mu, logvar), total_correlation(mu[order], logvar[order])),
        "posterior": (posterior_total_correlation(z, mu, logvar),
                      posterior_total_correlation(z, mu[order], logvar[order])),
        "rate": (information_rate(mu, logvar), information_rate(mu[order], logvar[order])),
        "dimension": (intrinsic_dimension(mu), intrinsic_dimension(mu[order])),
    }  # fmt: skip
    for name, (one, other) in values.items():
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5), name
        assert math.isfinite(one), name
    assert all(values[name][0] >= 0 for name in ("total", "rate", "dimension"))
    if d == 1:
        assert values["posterior"][0] == pytest.approx(0, abs=1e-5)


# -- in a run -----------------------------------------------------------------------------------------------------


def scores_of(family, *callbacks, limit=120, split="test", **settings):
    seed_everything(0, verbose=False)
    data = Shapes(limit=limit, **settings)
    module = family(
        input_shape=data.input_shape, latent_dim=6, optimizer=partial(torch.optim.Adam, lr=1e-3),
        encoder=partial(MLPEncoder, widths=[32]), decoder=partial(MLPDecoder, widths=[32]), likelihood=Bernoulli(),
    )  # fmt: skip
    evaluation = Evaluation([FittedGaussian()])
    run = Trainer(
        accelerator="cpu", callbacks=[evaluation, *callbacks], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    (values,) = (run.test if split == "test" else run.validate)(module, datamodule=data, verbose=False)
    return values, evaluation.protocol, module, data


@pytest.fixture(scope="module")
def of_vae():
    return scores_of(VAE, CodeScores(), LinearProbe(), Factors(), ValidSet(n=200))


VALID = ("nn_distance", "valid_share", "valid_coverage", "unseen_coverage")


def test_copies_of_training_images_cover_nothing_unseen(monkeypatch):
    monkeypatch.setattr(
        Evaluation, "generate", lambda self, trainer, sampler, n: datamodule(trainer).split("train").x[:n] / 255
    )
    values, _, _, data = scores_of(VAE, ValidSet(threshold=0.01, n=120))
    assert values["test/unseen_coverage/gaussian"] == 0
    assert values["test/valid_coverage/gaussian"] == pytest.approx(120 / len(data.valid_set()))


@pytest.mark.parametrize(("copied", "coverage", "unseen"), [("test", 0, 0), ("val", 60, 60), ("train", 60, 0)])
def test_scores_of_validation_see_no_test_image(copied, coverage, unseen, monkeypatch):
    monkeypatch.setattr(
        Evaluation, "generate", lambda self, trainer, sampler, n: datamodule(trainer).split(copied).x[:n] / 255
    )
    values, _, _, data = scores_of(VAE, ValidSet(threshold=0.01, n=60, every_n_epochs=1), split="val")
    valid, test, val = len(data.valid_set()), len(data.split("test")), len(data.split("val"))
    held = {image.numpy().tobytes() for name in SPLITS for image in data.split(name).x}
    assert values["val/valid_coverage/gaussian"] == pytest.approx(coverage / (valid - test))
    unseen_images = val + valid - len(held)  # with those that are in no split, since the splits are limited
    assert values["val/unseen_coverage/gaussian"] == pytest.approx(unseen / unseen_images)


def test_validation_without_a_valid_image_of_its_own_is_left_out(monkeypatch):
    monkeypatch.setattr(Shapes, "valid_set", lambda self: self.split("test").x)
    values, protocol, *_ = scores_of(VAE, ValidSet(n=20, every_n_epochs=1), split="val", all_samples=True)
    assert protocol["left_out"] == {"ValidSet": "all valid images are in the test split"}
    assert not any("nn_distance" in key for key in values)


def test_images_of_the_lowest_entropy_are_not_blends(monkeypatch):
    """Every other image is a valid one at half its brightness, and grey: in the lower half only copies are left."""

    def copies_and_blends(self, trainer, sampler, n):
        images = datamodule(trainer).split("train").x[:n] / 255
        images[::2] /= 2
        return images

    monkeypatch.setattr(Evaluation, "generate", copies_and_blends)
    values, protocol, _, data = scores_of(VAE, ValidSet(threshold=0.01, n=60, lowest_entropy=0.5))
    assert protocol["lowest_entropy"] == "the 60 images with the lowest pixel entropy of 120"
    assert values["test/nn_distance/gaussian/lowest_entropy"] == 0 < values["test/nn_distance/gaussian"]
    assert values["test/valid_coverage/gaussian/lowest_entropy"] == pytest.approx(60 / len(data.valid_set()))
    assert values["test/valid_coverage/gaussian"] == pytest.approx(30 / len(data.valid_set()))


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1])
def test_share_of_lowest_entropy_lies_between_0_and_1(share):
    with pytest.raises(SettingError, match=r"ValidSet\.lowest_entropy is"):
        ValidSet(lowest_entropy=share)


def test_rounded_images(monkeypatch):
    """Valid images at 0.6 of their brightness are copies once they are rounded, those at 0.4 are black."""

    def dimmed(self, trainer, sampler, n):
        brightness = torch.tensor([0.6, 0.4]).repeat(n // 2).view(-1, 1, 1, 1)
        return datamodule(trainer).split("train").x[:n] / 255 * brightness

    monkeypatch.setattr(Evaluation, "generate", dimmed)
    values, protocol, _, data = scores_of(VAE, ValidSet(threshold=0.01, n=60, rounded=8))
    assert protocol["rounded"].startswith("the first 8 images")
    assert values["test/valid_share/gaussian"] == 0
    assert values["test/valid_share/gaussian/rounded"] == 0.5
    assert values["test/valid_coverage/gaussian/rounded"] == pytest.approx(4 / len(data.valid_set()))
    assert values["test/dkl_bits/gaussian/rounded"] == pytest.approx(math.log2(len(data.valid_set()) / 4))


@pytest.mark.parametrize("rounded", [0, -1, 61])
def test_number_of_rounded_images_is_at_most_that_of_all(rounded):
    with pytest.raises(SettingError, match=r"ValidSet\.rounded is"):
        ValidSet(n=60, rounded=rounded)


def test_every_score_of_a_vae_on_shapes(of_vae):
    values, protocol, _, _ = of_vae
    ours = {key.removeprefix("test/") for key in values} - {"loss", "nll", "penalty", "mse", "kl"}
    names = {"total_correlation", "total_correlation_posterior", "information_rate", "intrinsic_dimension"}
    names |= {"probe_accuracy", "probe_f1", "probe_auc", "probe_converged", "knn_accuracy"}
    names |= {"mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness", "factor_correlation"}
    assert ours - {"dkl_bits/gaussian"} == names | {f"{key}/gaussian" for key in VALID}
    assert all(math.isfinite(value) for value in values.values())
    assert protocol.keys() >= {"probe", "factors", "valid_set", "information_rate", "intrinsic_dimension"}
    assert protocol["factors"].startswith("factors: shape (nominal), size, x, y;")
    assert "8,340 valid" in protocol["valid_set"]


@pytest.mark.parametrize("known", [5, 4])
def test_the_hue_is_a_factor_of_the_factor_scores(monkeypatch, known):
    """Codes that are the factors themselves, with the hue or without: one of five is then not represented."""

    def factors(trainer, name):
        return datamodule(trainer).split(name).factors[:, :known]

    monkeypatch.setattr(
        Evaluation, "codes", lambda self, trainer: (factors(trainer, "test"), datamodule(trainer).split("test").y)
    )
    monkeypatch.setattr(Evaluation, "train_codes", lambda self, trainer: factors(trainer, "train"))
    values, protocol, _, _ = scores_of(AE, Factors(), limit=600, hues=3)
    assert protocol["factors"].startswith("factors: shape (nominal), size, x, y, hue;")
    for name in ("mig", "sap", "dci_informativeness", "factor_correlation"):
        assert values[f"test/{name}"] == pytest.approx(known / 5, abs=0.1), name


def test_information_rate_is_over_all_valid_images(of_vae):
    values, protocol, module, data = of_vae
    x = torch.cat([data.split(name).x for name in ("train", "val", "test")]).float() / 255
    with torch.no_grad():
        mu, logvar = module.encode(x)[:2]
    assert "360 images" in protocol["information_rate"]
    assert values["test/information_rate"] == pytest.approx(information_rate(mu, logvar), rel=1e-5)


def test_codes_without_noise_have_no_rate():
    values, protocol, _, _ = scores_of(AE, CodeScores())
    assert {"test/total_correlation", "test/intrinsic_dimension"} <= values.keys()
    assert "test/information_rate" not in values
    reasons = {protocol["left_out"][name] for name in ("information_rate", "total_correlation_posterior")}
    assert reasons == {"the code has no noise"}


def test_a_score_that_cannot_be_computed_is_left_out_with_the_reason():
    values, protocol, _, _ = scores_of(AE, CodeScores(), limit=4)
    assert "test/total_correlation" not in values
    assert "linearly dependent" in protocol["left_out"]["total_correlation"]
