"""Scores of single test samples: kept with the run, their means are the metrics, and a later pass renews them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_evaluation import Everything, Recorder
from test_families import trainer

from lit_ae import tracking
from lit_ae.callbacks.scores.compression import Compression
from lit_ae.callbacks.scores.denoising import Denoising
from lit_ae.callbacks.scores.input_probe import InputProbe
from lit_ae.callbacks.scores.linear_probe import LinearProbe
from lit_ae.callbacks.scores.noisy_inputs import NoisyInputs
from lit_ae.callbacks.scores.reconstruction_scores import ReconstructionScores
from lit_ae.callbacks.scores.sparsity import Sparsity
from lit_ae.callbacks.scores.standardised_mse import StandardisedMSE
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models.denoising_ae import DenoisingAE
from lit_ae.models.iwae import IWAE
from lit_ae.models.vae import VAE
from lit_ae.models.wae import WAE
from lit_ae.samplers import Normal
from lit_ae.tracking.logger import RunLogger
from lit_ae.training.callback_selection import keep_only_scores

NAMES = {  # what each score keeps
    LinearProbe: {"probe_accuracy", "knn_accuracy"},
    InputProbe: {"probe_accuracy_pixels", *(f"pca/{n}/{name}" for n in (2, 5) for name in ("probe_accuracy", "mse"))},
    NoisyInputs: {f"denoising/psnr_{name}" for name in ("noisy", "denoised", "filtered")},
    Compression: {f"compression/{name}" for name in ("bytes", "psnr", "psnr_unquantised", "png_bytes")},
    ReconstructionScores: {"mae", "psnr", "ssim", "bits", "mse_noisy_input"},
    StandardisedMSE: {"mse_standardised", "mse_standardised_floor"},
    Denoising: {"psnr_noisy", "psnr_denoised"},
}
SETTINGS = {InputProbe: {"components": [2, 5]}, NoisyInputs: {"max_images": 10}, Compression: {"max_images": 12}}


class Keeper(Recorder):
    """Holds what would be stored."""

    def __init__(self):
        super().__init__()
        self.kept, self.digest = {}, ""

    def log_samples(self, values, digest):
        self.kept, self.digest = self.kept | values, digest


def kept_by(family, *callbacks, data=None, **limits):
    logger, data = Keeper(), data or Everything()
    run = trainer(callbacks=[Evaluation([Normal()]), *callbacks], **limits)
    run.logger = logger
    (values,) = run.test(family(input_shape=data.input_shape, latent_dim=4), datamodule=data, verbose=False)
    return values, logger


def unlabelled():
    data = Everything()
    data.setup()
    data.split("test").y[::3] = -1
    return data


@pytest.mark.parametrize("score", NAMES, ids=lambda score: score.__name__)
@pytest.mark.parametrize("made", [Everything, unlabelled])
def test_the_mean_over_samples_is_the_metric(score, made):
    data = made()
    values, logger = kept_by(DenoisingAE, score(**SETTINGS.get(score, {})), data=data)
    optional = {"compression/jpeg_bytes", "compression/jpeg_psnr"} & {key.removeprefix("test/") for key in values}
    assert logger.kept.keys() == {"mse", "nll"} | NAMES[score] | (optional if score is Compression else set())
    y = data.split("test").y
    for name, each in logger.kept.items():
        assert (each.dtype, each.shape) == (np.float32, (len(y),))
        assert np.nanmean(each, dtype=np.float64) == pytest.approx(values[f"test/{name}"], rel=1e-5, abs=1e-7), name
        used = torch.ones(len(y), dtype=torch.bool)
        if score in SETTINGS and "max_images" in SETTINGS[score] and name not in ("mse", "nll"):
            used = torch.arange(len(y)) < SETTINGS[score]["max_images"]
        elif "accuracy" in name:
            used = y >= 0
        assert (np.isfinite(each) == used.numpy()).all(), name


@pytest.mark.parametrize("family", [VAE, IWAE, WAE])
def test_terms_of_the_step_are_those_of_each_sample(family):
    """In the split's order, and not a penalty that belongs to a whole batch."""
    data = Everything()
    torch.manual_seed(0)
    values, logger = kept_by(family, data=data)
    assert logger.kept.keys() == {"mse", "nll"}
    for name, each in logger.kept.items():
        assert each.mean(dtype=np.float64) == pytest.approx(values[f"test/{name}"], rel=1e-5)


def test_the_order_is_that_of_the_split():
    data, hidden = Everything(), {}
    data.setup()

    class Hold(Sparsity):
        def score(self, trainer, evaluation):
            hidden["module"] = trainer.lightning_module
            return {}

    _, logger = kept_by(VAE, Hold(), data=data)
    x = data.split("test").x / 255
    with torch.no_grad():
        errors = (hidden["module"].eval()(x) - x).square().flatten(1).mean(1)
    assert logger.kept["mse"] == pytest.approx(errors.numpy(), rel=1e-4)


def test_a_limited_test_and_a_validation_keep_nothing():
    _, logger = kept_by(VAE, StandardisedMSE(), limit_test_batches=1)
    assert (logger.kept, logger.digest) == ({}, "")


def test_the_digest_is_that_of_the_scored_samples():
    digests = [kept_by(VAE, data=data)[1].digest for data in (Everything(), Everything(), unlabelled())]
    assert digests[0] == digests[1] != digests[2]


def test_values_are_stored_beside_those_of_the_same_samples(store):
    logger = RunLogger()
    logger.log_samples({"mse": np.ones(3, np.float32)}, "one")  # without a run nothing happens
    logger.run_id = tracking.create_run("e", "a run", {})
    run = tracking.get_run(logger.run_id)
    assert tracking.sample_values(run, "mse") is None
    logger.log_samples(
        {"mse": np.array([1, 2, 3], np.float32), "pca/8/mse": np.array([4, math.nan, 6], np.float32)}, "one"
    )
    logger.log_samples({"mse": np.array([7, 8, 9], np.float32)}, "one")
    (values, digest), (others, _) = tracking.sample_values(run, "mse"), tracking.sample_values(run, "pca/8/mse")
    assert (values.tolist(), values.dtype, digest) == ([7, 8, 9], np.float32, "one")
    assert others == pytest.approx([4, math.nan, 6], nan_ok=True)
    assert tracking.sample_values(run, "psnr") is None
    logger.limited = True
    logger.log_samples({"mse": np.zeros(1, np.float32)}, "one")
    assert tracking.sample_values(run, "mse")[0].tolist() == [7, 8, 9]
    logger.limited = False
    logger.log_samples({"psnr": np.array([5, 5], np.float32)}, "two")
    assert tracking.sample_values(run, "mse") is None
    assert tracking.sample_values(run, "psnr")[1] == "two"
    assert [file.path for file in tracking.client().list_artifacts(run.id)] == [tracking.samples.FILE]


def test_scores_of_choice_keep_what_they_share():
    """`Evaluation` has a version, too, since older runs lack their samples' values; the others cannot do without it."""
    run, module = SimpleNamespace(callbacks=[Evaluation(), Sparsity(), StandardisedMSE()]), VAE(input_shape=(1, 8, 8))
    keep_only_scores(run, module, ["VAE", "Sparsity"])
    assert len(run.callbacks) == 3, "the codes of the family have changed, which any score may use"
    keep_only_scores(run, module, ["Sparsity"])
    assert [type(callback) for callback in run.callbacks] == [Evaluation, Sparsity]
    keep_only_scores(run, module, ["Evaluation"])
    assert [type(callback) for callback in run.callbacks] == [Evaluation]
