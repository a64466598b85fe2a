"""Variances of pixels against closed forms, their calibration, and ensembles of a study's seeds."""

import math
import re
from functools import partial
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats as scipy_stats

from lit_ae import tracking
from lit_ae.callbacks.scores.ensemble_uncertainty import EnsembleUncertainty, copy_of, finished_siblings
from lit_ae.callbacks.scores.uncertainty import (
    Uncertainty,
    code_uncertainty,
    dropout_active,
    dropout_uncertainty,
    pixel_moments,
)
from lit_ae.data.digits import Digits
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.reconstruction.calibration import (
    LEVELS,
    calibration_error,
    error_correlation,
    interval_coverage,
    split_variance,
)
from lit_ae.models import AE, SAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian
from lit_ae.tracking.logger import RunLogger

SHAPE, CODE = (1, 28, 28), 3


def model(family=SAE, seed=0, widths=(), dropout=0.0, norm="none", output="sigmoid", shape=SHAPE, **changes):
    torch.manual_seed(seed)
    return family(
        input_shape=shape,
        latent_dim=CODE,
        likelihood=Gaussian("sum", output),
        encoder=partial(MLPEncoder, widths=[]),
        decoder=partial(MLPDecoder, widths=list(widths), dropout=dropout, norm=norm),
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        **changes,
    ).eval()


def run_test(module, *callbacks, data=None, logger=False, monkeypatch=None):
    """Metrics, protocol and figures of the callbacks."""
    figures, evaluation = {}, Evaluation()
    evaluation.on_test_end = lambda *args: None
    if monkeypatch:
        monkeypatch.setattr(RunLogger, "log_figure", lambda self, figure, name: figures.update({name: figure}))
    run = pl.Trainer(
        accelerator="cpu", logger=logger, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[evaluation, *callbacks],
    )  # fmt: skip
    (metrics,) = run.test(module, datamodule=data or Digits(limit=40), verbose=False)
    return {key.removeprefix("test/"): value for key, value in metrics.items()}, evaluation.protocol, figures


# -- the variances -------------------------------------------------------------------------------------------------


def test_noise_of_the_code_against_the_closed_form(agrees):
    module, x = model(output="linear", shape=(5,), sigma=0.3), torch.rand(4, 5)
    with torch.no_grad():
        mean, variance = pixel_moments(module, x, None, 10_000)
        decoder = module.decoder.layers[0]
        exact = 0.3**2 * decoder.weight.square().sum(1)  # of W z + b
        agrees("aleatoric variance", "closed form", "linear decoder, 10,000 draws", variance.mean(0), exact, rel=0.03)
        assert torch.allclose(mean, decoder(module.encoder(x)), atol=0.01)


def test_dropout_against_the_closed_form(agrees):
    module, x = model(AE, widths=[16], dropout=0.25, output="linear", shape=(5,)), torch.rand(4, 5)
    y = torch.zeros(4, dtype=torch.long)
    mean, variance = dropout_uncertainty(module, x, y, 15_000, seed=0)
    first, _, _, last = module.decoder.layers
    with torch.no_grad():
        hidden = first(module.encoder(x)).relu()
        exact = hidden.square() @ last.weight.square().T * 0.25 / 0.75  # of Σ w h m / (1 - p), m ~ Bernoulli(1 - p)
        agrees("epistemic variance", "closed form", "dropout before a linear layer", variance, exact, rel=0.08)
        assert torch.allclose(mean, module(x), atol=0.01)
    assert dropout_uncertainty(model(AE), x, y, 3, seed=0) is None


def test_only_dropout_is_active():
    module = model(AE, widths=[8], dropout=0.5, norm="batch")
    _, norm, _, drop, _ = module.decoder.layers
    before = norm.running_mean.clone()
    with dropout_active(module):
        assert (drop.training, norm.training, module.training) == (True, False, False)
        module.decode(torch.randn(9, CODE))
    assert not drop.training
    assert torch.equal(norm.running_mean, before)


def test_scoring_leaves_no_trace_and_is_repeatable():
    module = model(widths=[8], dropout=0.5)
    x, y, state = torch.rand(5, *SHAPE), torch.zeros(5, dtype=torch.long), torch.get_rng_state()
    for score in (code_uncertainty, dropout_uncertainty):
        one, two = score(module, x, y, 4, seed=1), score(module, x, y, 4, seed=1)
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert not torch.equal(one[1], score(module, x, y, 4, seed=2)[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_figures_and_protocol_name_the_kinds_of_uncertainty(monkeypatch):
    kinds = {"noise": model(), "dropout": model(AE, widths=[8], dropout=0.5), "none": model(AE)}
    kinds["both"] = model(widths=[8], dropout=0.5)
    shown = {"noise": ["aleatoric"], "dropout": ["epistemic"], "both": ["aleatoric", "epistemic"], "none": []}
    for kind, module in kinds.items():
        metrics, said, figures = run_test(module, Uncertainty(draws=4), logger=RunLogger(), monkeypatch=monkeypatch)
        assert (metrics["uncertainty"] > 0) == ("aleatoric" in shown[kind])
        assert (metrics.get("uncertainty_dropout", 0) > 0) == ("epistemic" in shown[kind])
        if not shown[kind]:
            assert (figures, said) == ({}, {})
            continue
        assert figures.keys() == {"uncertainty", "calibration"}
        rows = [axes.get_ylabel() for axes in figures["uncertainty"].axes]
        assert [label for label in rows if label in ("aleatoric", "epistemic")] == shown[kind]
        for name in shown[kind]:
            assert name in figures["uncertainty"].get_suptitle().replace("\n", " ")
        assert {f"calibration/{k}" for k in ("pearson", "spearman", "image_spearman", "error")} <= metrics.keys()
        assert said["uncertainty"].endswith("first 40 images")


def test_one_image_has_no_correlation_over_images():
    metrics, said, _ = run_test(model(), Uncertainty(draws=4, max_images=1))
    assert "calibration/image_spearman" not in metrics
    reason = "a correlation needs two or more pairs, not 1 variances and 1 squared errors"
    assert said["left_out"] == {"calibration/image_spearman": reason}
    assert all(math.isfinite(value) for value in metrics.values())


# -- the split over models -------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(some.integers(2, 6), some.integers(1, 4), some.integers(0, 99))
def test_split_obeys_the_law_of_total_variance(models, pixels, seed):
    means = torch.randn(models, pixels, generator=torch.Generator().manual_seed(seed)).double()
    variances = means.flip(0).square()
    aleatoric, epistemic = split_variance(means, variances)
    # of a draw from a model chosen at random: E x² - (E x)², where the models' spread has divisor M
    mixture = (variances + means.square()).mean(0) - means.mean(0).square()
    assert torch.allclose(aleatoric + epistemic * (models - 1) / models, mixture)


def test_split_needs_several_models():
    with pytest.raises(ValueError, match="at least 2"):
        split_variance(torch.rand(1, 3), torch.rand(1, 3))
    with pytest.raises(ValueError, match="same models"):
        split_variance(torch.rand(2, 3), torch.rand(3, 3))


# -- calibration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("claimed", "name"), [(1.0, "well calibrated"), (0.5, "std half"), (2.0, "std twice")])
def test_coverage_of_gaussian_noise_is_the_nominal_one(claimed, name, agrees):
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(100_000, generator=generator)
    std = 0.1 + torch.rand(100_000, generator=generator)
    x = mean + std * torch.randn(100_000, generator=generator)
    coverage = interval_coverage(x, mean, (claimed * std) ** 2)
    width = claimed * scipy_stats.norm.ppf((1 + np.array(LEVELS)) / 2)
    exact = scipy_stats.norm.cdf(width) - scipy_stats.norm.cdf(-width)
    agrees("interval coverage", "closed form", f"10^5 Gaussian values, {name}", coverage, exact, abs=0.005)
    distance = np.abs(exact - LEVELS).mean().round(12)
    agrees("calibration error", "closed form", f"10^5 Gaussian values, {name}", calibration_error(coverage), distance,
           abs=0.004)  # fmt: skip


def test_correlation_against_closed_form_and_scipy(agrees):
    rng = np.random.default_rng(0)
    variance = rng.uniform(0, 1, 400_000)
    error = variance * rng.normal(size=400_000) ** 2
    found = error_correlation(torch.from_numpy(variance), torch.from_numpy(error))
    # cov = Var(v) = 1/12, Var(v χ²) = 3 E v² - (E v)² = 3/4
    agrees("variance-error Pearson", "closed form", "v ~ U(0, 1), error² = v χ²", found["pearson"], 1 / 3, abs=0.01)
    ranks = [scipy_stats.rankdata(part) for part in (variance, error)]
    agrees("variance-error Spearman", "Pearson of ranks", "the same", found["spearman"], np.corrcoef(*ranks)[0, 1],
           rel=1e-9)  # fmt: skip


def test_calibration_refuses():
    one, zero = torch.rand(5), torch.zeros(5)
    for variance, error, message in (
        (zero, one, "every variance is 0"),
        (one, zero + 0.5, "every squared error is 0.5"),
        (one[:1], one[:1], "two or more pairs"),
        (one, one[:3], "two or more pairs"),
        (one, one / zero, "squared error is not finite"),
        (one * math.nan, one, "variance is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            error_correlation(variance, error)
    for wrong in (-one, one * math.nan, one / zero, one[:0]):
        with pytest.raises(ValueError, match="coverage needs values"):
            interval_coverage(one[: len(wrong)], one[: len(wrong)], wrong)
    with pytest.raises(ValueError, match="levels must lie"):
        interval_coverage(one, one, one, [0.5, 1.0])
    assert interval_coverage(one, one, zero, [0.1, 0.9]) == [1.0, 1.0], "no variance and no error"
    assert interval_coverage(one + 1, one, zero, [0.1, 0.9]) == [0.0, 0.0]


# -- ensembles -------------------------------------------------------------------------------------------------------


def add_run(parent, seed, status="FINISHED", checkpoint=True, **tags):
    """A run of the study as the runner leaves it, with the checkpoint of a model with this seed."""
    own = {"kind": "run", "study": "s", "model": "SAE", "seed": str(seed), "config_hash": "abc", **tags}
    run = tracking.create_run("s", f"SAE {seed}", own, parent)
    if checkpoint:
        folder = tracking.checkpoint_folder(run)
        folder.mkdir(parents=True)
        module = model(seed=seed)
        content = {"state_dict": module.state_dict(), "family": "SAE", "pytorch-lightning_version": pl.__version__}
        torch.save(content, folder / "last.ckpt")
    if status != "RUNNING":
        tracking.end_run(run, status)
    return run


@pytest.fixture
def parent(store):
    return tracking.create_run("s", "study", {"kind": "study", "study": "s", "profile": "quick"})


def logger_of(run_id):
    logger = RunLogger()
    logger.run_id = run_id
    return logger


def test_ensemble_consists_of_finished_runs_of_other_seeds(parent, monkeypatch, agrees):
    kept = [add_run(parent, seed) for seed in (2, 1)]
    add_run(parent, 3, "FAILED")
    add_run(parent, 4, "RUNNING")
    add_run(parent, 5, config_hash="other settings")
    add_run(parent, 6, model="VAE")
    add_run(parent, 7, kind="stale")
    own = add_run(parent, 0, "RUNNING", checkpoint=False)
    siblings = finished_siblings(SimpleNamespace(loggers=[logger_of(own)]))
    assert [run.id for run in siblings] == kept[::-1]

    module, data = model(), Digits(limit=40)
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    metrics, said, figures = run_test(
        module, EnsembleUncertainty(draws=5), data=data, logger=logger_of(own), monkeypatch=monkeypatch
    )
    x, y = data.split("test").x / 255, data.split("test").y
    each = [code_uncertainty(model(seed=seed), x, y, 5, 0) for seed in (0, 1, 2)]
    means, variances = (np.stack(part) for part in zip(*each, strict=True))
    agrees("ensemble, aleatoric", "numpy", "3 SAEs", metrics["ensemble/aleatoric"], variances.mean())
    agrees("ensemble, epistemic", "numpy", "3 SAEs", metrics["ensemble/epistemic"], means.var(0, ddof=1).mean())
    assert metrics["ensemble/models"] == 3
    assert said["ensemble"] == "3 models: this one and those of seeds 1, 2; 5 draws of each code, first 40 images"
    assert figures.keys() == {"ensemble-uncertainty", "ensemble-calibration"}
    labels = [axes.get_ylabel() for axes in figures["ensemble-uncertainty"].axes]
    assert [label for label in labels if label != "pixel²"] == ["original", "mean", "aleatoric", "epistemic"]
    names = {"pearson", "spearman", "image_spearman", "error"}
    assert {f"ensemble-calibration/{name}" for name in names} <= metrics.keys()
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


def test_runs_that_were_trained_alike_are_found_by_the_hash_of_their_training(parent):
    """`config_hash` also changes with the scores, so that runs of a study whose scores were changed have several."""
    alike = add_run(parent, 1, fit_hash="trained", config_hash="scored before")
    add_run(parent, 2, fit_hash="trained otherwise")
    add_run(parent, 3)
    own = add_run(parent, 0, "RUNNING", checkpoint=False, fit_hash="trained")
    assert [run.id for run in finished_siblings(SimpleNamespace(loggers=[logger_of(own)]))] == [alike]


def test_runs_on_another_split_of_the_data_are_no_siblings(parent):
    """Their training samples may be among this run's test samples."""
    runs = {split: add_run(parent, split + 1) for split in (0, 1)}
    own = add_run(parent, 0, "RUNNING", checkpoint=False)
    for run, split in ((runs[0], 0), (runs[1], 1), (own, 1)):
        tracking.client().log_param(run, "data.split_seed", split)
    found = finished_siblings(SimpleNamespace(loggers=[logger_of(own)]))
    assert [run.id for run in found] == [runs[1]]


def test_a_run_without_other_seeds_is_not_scored(parent):
    own = add_run(parent, 0, "RUNNING", checkpoint=False)
    alone = tracking.create_run("lit_ae", "single", {"kind": "single", "seed": "0"})
    for logger in (logger_of(own), logger_of(alone), logger_of(None), False):
        metrics, said, _ = run_test(model(), EnsembleUncertainty(), logger=logger)
        assert not [key for key in metrics if key.startswith("ensemble")]
        reason = said["left_out"]["EnsembleUncertainty"]
        assert reason == "the study has no finished run on the same split that differs in its seed"


def test_a_run_that_cannot_be_loaded_is_left_out(parent):
    bad, cleared, other, good = (add_run(parent, seed, checkpoint=seed != 2) for seed in (1, 2, 3, 4))
    folder = tracking.checkpoint_folder
    torch.save(
        {"state_dict": SimpleNamespace()}, folder(bad) / "last.ckpt"
    )  # more than weights: it must not be unpickled
    content = {"state_dict": {}, "family": "VAE", "pytorch-lightning_version": pl.__version__}
    torch.save(content, folder(other) / "last.ckpt")
    own = add_run(parent, 0, "RUNNING", checkpoint=False)
    metrics, said, _ = run_test(model(), EnsembleUncertainty(draws=2), logger=logger_of(own))
    assert metrics["ensemble/models"] == 2
    assert said["ensemble"].startswith("2 models: this one and those of seeds 4; ")
    for reason in (
        r"seed 1 left out: its checkpoint .*last.ckpt cannot be read as a checkpoint \(UnpicklingError\)",
        f"seed 2 left out: run {cleared} has no checkpoint",
        "seed 3 left out: ckpt_path holds a VAE but model is SAE",
    ):
        assert re.search(reason, said["ensemble"])
    tracking.end_run(good, "FAILED")
    metrics, said, _ = run_test(model(), EnsembleUncertainty(draws=2), logger=logger_of(own))
    assert "ensemble/models" not in metrics
    assert "seed 3 left out" in said["left_out"]["EnsembleUncertainty"]


def test_a_copy_shares_nothing():
    module = model()
    run = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    module.trainer = run
    other = copy_of(module)
    assert other._trainer is None
    assert module.trainer is run
    torch.nn.init.zeros_(other.encoder.layers[0].weight)
    assert module.encoder.layers[0].weight.any()
