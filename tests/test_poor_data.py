"""Data that do not have every score: what they have is logged, what they lack is left out with its reason.

Each case is scored by every callback that a file in configs/callbacks lists. A score that ordinary data have must be
logged, or be left out with a reason; nothing else may be lost, and nothing may be NaN.
"""

import contextlib
import io
import json
import math
import warnings
from functools import cache

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from test_evaluation import Recorder, listed
from test_families import trainer

from lit_ae import tracking
from lit_ae.callbacks.scores.clustering import Clustering
from lit_ae.callbacks.scores.sparsity import Sparsity
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import NotComputable, SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.ae import AE
from lit_ae.models.vae import VAE
from lit_ae.samplers import FittedGaussian, Mixture, Normal
from lit_ae.settings.files import config_folder

N = (80, 20, 20)  # samples of each split
LABELLED = {"LinearProbe", "ActiveLearning", "silhouette", "ari", "nmi", "clustering_accuracy", "probe_accuracy_pixels"}
LABELLED |= {f"pca/{n}/probe_accuracy" for n in (50, 500)}
OWN = {
    "Factors",
    "FactorCorrelation",
    "FactorVAEScore",
    "Anomaly",
    "MinorityAugmentation",
    "ValidSet",
}  # not of ordinary data


class Poor(BaseDataModule):
    """Samples x with labels y, in this order the training, validation and test split."""

    name = "poor"

    def __init__(self, x, y, sizes=N, **kwargs):
        super().__init__(batch_size=16, **kwargs)
        self.x, self.y, self.sizes = x, y, sizes
        self.input_shape, self.num_classes = tuple(x.shape[1:]), max(0, int(y.max()) + 1)

    def load(self):
        xs, ys = (part[: sum(self.sizes)].split(self.sizes) for part in (self.x, self.y))
        return Splits(*map(ArrayDataset, xs, ys))


def samples(*shape):
    """Samples [120, *shape] of 3 classes that differ in brightness, as bytes, and their labels."""
    y = torch.arange(sum(N)) % 3
    noise = 100 * torch.rand(len(y), *shape, generator=torch.Generator().manual_seed(0))
    return (70 * y.view(-1, *[1] * len(shape)) + noise).to(torch.uint8), y


X, Y = samples(1, 8, 8)


def every_other(y):
    return torch.where(torch.arange(len(y)) % 2 == 0, y, -1)


def only(rows, y=Y):
    """Labels of these samples alone."""
    known = torch.full_like(y, -1)
    known[rows] = y[rows]
    return known


CASES = {
    "ordinary": lambda: Poor(X, Y),
    "one class": lambda: Poor(X, Y * 0),
    "12 images": lambda: Poor(X, Y, (10, 1, 1)),
    "30 images": lambda: Poor(X, Y, (24, 3, 3)),
    "80 images": lambda: Poor(X, Y, (64, 8, 8)),
    "4 images a split": lambda: Poor(X, Y, (4, 4, 4)),
    "1 image a split": lambda: Poor(X, Y, (1, 1, 1)),
    "no labels": lambda: Poor(X, only([])),
    "partly labelled": lambda: Poor(X, every_other(Y)),
    "labels in training alone": lambda: Poor(X, only(range(80))),
    "labels in the test alone": lambda: Poor(X, only(range(100, 120))),
    "two labels in training, one in the test": lambda: Poor(X, only([0, 1, 100])),
    "a class of one sample": lambda: Poor(X, (torch.arange(120) == 3).long()),
    "a class in the test alone": lambda: Poor(X, torch.where(torch.arange(120) < 80, Y % 2, Y)),
    "a class in training alone": lambda: Poor(X, torch.where(torch.arange(120) < 80, Y, Y % 2)),
    "one class in the test": lambda: Poor(X, torch.where(torch.arange(120) < 80, Y, 0)),
    "equal images": lambda: Poor(torch.full_like(X, 77), Y),
    "black images": lambda: Poor(torch.zeros_like(X), Y),
    "equal images of floats": lambda: Poor(torch.full(X.shape, 0.1), Y),
    "images of one grey each": lambda: Poor(X[:, :, :1, :1].expand_as(X).contiguous(), Y),
    "not square": lambda: Poor(*samples(1, 11, 6)),
    "colour": lambda: Poor(*samples(3, 8, 8)),
    "one pixel": lambda: Poor(*samples(1, 1, 1)),
    "vectors": lambda: Poor(samples(9)[0] / 100 - 1, Y),
    "a class left out, partly labelled": lambda: Poor(X, every_other(Y), leave_out=2),
}
QUICK = ("12 images", "partly labelled")


def callbacks():
    parser = LightningArgumentParser()
    parser.add_argument("--callbacks", type=list[pl.Callback])
    settings = {**listed(), "InputProbe": {"components": [50, 500]}}
    specs = [{"class_path": name, "init_args": own} for name, own in settings.items()]
    return parser.instantiate_classes(parser.parse_object({"callbacks": specs})).callbacks


def outcome(data, module=None, samplers=()):
    """Values without the stage, figures, the evaluation, and the callback that each value is from."""
    pl.seed_everything(0, verbose=False)
    owners, evaluation, chosen = {}, Evaluation(list(samplers) or None), callbacks()

    def noting(callback):
        def score(run, evaluation, of=callback.score):
            values = of(run, evaluation)
            owners.update(dict.fromkeys(values, type(callback).__name__))
            return values

        callback.score = score

    for callback in chosen:
        if isinstance(callback, ScoreCallback):
            noting(callback)
    run = trainer(callbacks=[evaluation, *chosen])
    run.logger = Recorder()
    module = module or VAE(input_shape=data.input_shape, latent_dim=4)
    (values,) = run.test(module, datamodule=data, verbose=False)
    kept = {key.removeprefix("test/"): value for key, value in values.items() if key.startswith("test/")}
    return kept, run.logger.figures, evaluation, owners


@cache
def scored(name):
    """The outcome of a case, what it printed about scores that are left out, and the kinds of warnings it raised."""
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        found = outcome(CASES[name]())
    lines = [line for line in out.getvalue().splitlines() if line.startswith("left out: ")]
    return *found, lines, {w.category.__name__ for w in raised}


def unexplained(values, evaluation, of, owners):
    """The scores `of` ordinary data that are neither among the values nor left out with a reason."""
    return {
        key
        for key in of - values.keys()
        if not {key, owners.get(key), f"{key.split('/')[-1]} sampler"} & evaluation.left_out.keys()
    }


EXPECTED = {  # what is left out besides OWN
    "one class": LABELLED | {"GenerationScores", "Interpolation", "CodeDistributions"},
    "no labels": LABELLED | {"GenerationScores", "CodeDistributions", "ClusterAssignments"},
    "partly labelled": set(),
    "80 images": set(),
    "labels in training alone": LABELLED | {"CodeDistributions"},
    "one class in the test": {"probe_auc", "ari", "nmi", "clustering_accuracy", "Interpolation", "CodeDistributions"},
}


@pytest.mark.parametrize("name", [pytest.param(c, marks=[] if c in QUICK else pytest.mark.slow) for c in CASES])
def test_what_the_data_have_is_scored_and_the_rest_is_explained(name):
    values, _, evaluation, _, printed, warned = scored(name)
    assert {"mse", "nll", "active_units", "used_share"} <= values.keys()
    assert all(math.isfinite(value) for value in values.values())
    assert not unexplained(values, evaluation, scored("ordinary")[0].keys(), scored("ordinary")[3])
    assert name not in EXPECTED or evaluation.left_out.keys() - OWN == EXPECTED[name]
    assert evaluation.protocol.get("left_out", {}) == evaluation.left_out
    assert len(printed) == len(set(printed))
    for key, reason in evaluation.left_out.items():
        assert any(key in line and line.endswith(f": {reason}") for line in printed)
    assert not warned & {"ConvergenceWarning", "UndefinedMetricWarning", "RuntimeWarning", "ConstantInputWarning"}


def test_unlabelled_samples_count_as_missing():
    """Every second sample: the scores are those of the labelled half alone, and the protocol says how many they are."""
    values, _, evaluation, *_ = scored("partly labelled")
    # With the same model: it is made with the same seed, and not trained
    half, _, small, _ = outcome(Poor(X[::2], Y[::2], (40, 10, 10)))
    assert evaluation.protocol["labelled_train"].startswith("scores that need labels use the 40 labelled ones of 80")
    assert evaluation.protocol["labelled_test"].startswith("scores that need labels use the 10 labelled ones of 20")
    for what in ("clustering", "probe", "input_probe", "active_learning"):
        assert evaluation.protocol[what] == small.protocol[what]
    of = (
        "probe_accuracy",
        "probe_f1",
        "probe_auc",
        "knn_accuracy",
        "nmi",
        "ari",
        "silhouette",
        "probe_accuracy_pixels",
    )
    for key in (*of, "active_learning/accuracy_random", "active_learning/accuracy_variance", "active_learning/area"):
        assert values[key] == pytest.approx(half[key], abs=1e-6), key


# -- codes -----------------------------------------------------------------------------------------------------------


class Coded(AE):
    """An autoencoder whose codes [B, D] are changed."""

    change = staticmethod(torch.zeros_like)

    def encode(self, x, y=None):
        latent = super().encode(x, y)
        mu = self.change(latent.mu)
        return latent._replace(mu=mu, z=mu)


def coded(change, dim=4):
    module = Coded(input_shape=(1, 8, 8), latent_dim=dim)
    module.change = change
    return module


CODES = {
    "all equal": torch.zeros_like,
    "one dimension varies": lambda mu: torch.cat([mu[:, :1], torch.full_like(mu[:, 1:], 3.0)], 1),
    "two different codes": lambda mu: (mu[:, :1] > 0).float().expand_as(mu).contiguous(),
    "one dimension": lambda mu: mu,
    "more dimensions than samples": lambda mu: mu,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
def test_dead_codes_keep_what_they_have(name):
    dim = {"one dimension": 1, "more dimensions than samples": 100}.get(name, 4)
    values, _, evaluation, _ = outcome(Poor(X, Y), coded(CODES[name], dim))
    all_values, _, _, owners, *_ = scored("ordinary")
    of = all_values.keys() - {"kl", "uncertainty_dropout", "log_likelihood"}
    of -= {key for key in of if key.startswith("calibration")}  # of a code with noise
    assert not unexplained(values, evaluation, of, owners)
    assert {"mse", "probe_accuracy", "code_std", "fid/normal", "fid/mixture"} <= values.keys()
    assert all(math.isfinite(value) for value in values.values())


def test_codes_that_are_no_numbers_are_the_models_fault():
    for change in (lambda mu: mu * math.nan, lambda mu: mu / 0):
        run = trainer(callbacks=[Evaluation(), Sparsity()])
        with pytest.raises(FloatingPointError, match=r"of the test split are NaN or infinite: the model has diverged"):
            run.test(coded(change), datamodule=Poor(X, Y), verbose=False)


# -- the mechanism ---------------------------------------------------------------------------------------------------


class Three(ScoreCallback):
    """One value that can be had, one that cannot, one that is no number."""

    def score(self, trainer, evaluation):
        with evaluation.leaving_out("second"):
            raise NotComputable("there is no second")
        return {"first": 1.0, "third": math.nan}


class Nothing(ScoreCallback):
    rank_zero = False

    def score(self, trainer, evaluation):
        raise NotComputable("there is nothing")


class Broken(ScoreCallback):
    def score(self, trainer, evaluation):
        raise ValueError("a fault of the code")


def test_values_are_left_out_one_by_one_and_said_once(capsys):
    evaluation = Evaluation()
    run = trainer(callbacks=[evaluation, Nothing(), Three(every_n_epochs=1), Sparsity()], epochs=3)
    data = Poor(X, Y)
    run.fit(VAE(input_shape=data.input_shape, latent_dim=4), datamodule=data)
    assert capsys.readouterr().out.count("left out: second: there is no second\n") == 1
    assert evaluation.left_out.keys() == {"second", "third"}
    (values,) = run.test(VAE(input_shape=data.input_shape, latent_dim=4), datamodule=data, verbose=False)
    assert {"test/first", "test/used_share"} <= values.keys()
    assert not {"test/second", "test/third"} & values.keys()
    assert evaluation.left_out == {
        "Nothing": "there is nothing",
        "second": "there is no second",
        "third": "its value is nan: it is not defined for these data",
    }
    assert evaluation.protocol["left_out"] == evaluation.left_out
    with pytest.raises(ValueError, match="a fault of the code"):
        trainer(callbacks=[Evaluation(), Broken()]).test(
            VAE(input_shape=data.input_shape, latent_dim=4), datamodule=data, verbose=False
        )


def test_a_sampler_that_cannot_be_fitted_leaves_the_others(capsys):
    samplers = [Normal(), FittedGaussian(), Mixture(components=10)]
    values, figures, evaluation, _ = outcome(CASES["4 images a split"](), samplers=samplers)
    assert "4 codes" in evaluation.left_out["mixture sampler"]
    assert {"fid/normal", "fid/gaussian"} <= values.keys()
    assert {"samples-normal", "samples-gaussian"} <= figures.keys()
    assert "left out: mixture sampler: components of the mixture sampler is 10" in capsys.readouterr().out


def test_a_later_test_replaces_the_reasons(store):
    run_id = tracking.create_run("e", "r", {})
    run = tracking.get_run(run_id)
    logger = Recorder()
    logger.run_id = run_id
    logger.log_protocol({"probe": "p", "left_out": {"Clustering": "no labels"}})
    logger.log_protocol({"clustering": "c"})
    stored = json.loads(run.artifact("protocol.json").read_text())
    assert stored == {"probe": "p", "clustering": "c"}


# -- through the command line ------------------------------------------------------------------------------------------


def npz(path, case):
    images, labels = X[:, 0].numpy(), Y.numpy()
    arrays = {
        "one class": (images, labels * 0),
        "12 images": (images[:12], labels[:12]),
        "no labels": (images, None),
        "partly labelled": (images, every_other(Y).numpy()),
        "constant images": (np.full_like(images, 9), labels),
    }
    x, y = arrays[case]
    np.savez(path, **({"x": x} if y is None else {"x": x, "y": y}))
    return path


def fitted(lit_ae, case, scores, more=()):
    path = npz("data.npz", case)
    folder = config_folder()
    options = ("--config", folder / "model" / "vae.yaml", "--config", scores, *more, "--data=Array")
    quick = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1")
    status = lit_ae("fit", *options, f"--data.path={path}", *quick)
    (run,) = tracking.search("lit_ae")
    status += lit_ae("test", *options, f"--data.path={path}", *quick[:2], "--run_id", run.id)
    run = tracking.get_run(run.id)
    return status, run, json.loads(run.artifact("protocol.json").read_text())


def test_a_run_on_poor_data_finishes_with_its_other_scores(store, lit_ae, scores):
    status, run, protocol = fitted(lit_ae, "no labels", scores)
    assert (status, run.status) == (0, "FINISHED")
    assert {"test/mse", "test/uncertainty", "test/mse_standardised", "test/code_std"} <= run.metrics.keys()
    assert protocol["left_out"]["GenerationScores"].endswith("has none: set extractor to inception")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["one class", "12 images", "partly labelled", "constant images"])
def test_every_file_of_scores_finishes(store, lit_ae, scores, case):
    """With the shipped settings; two files with the same callback would need two runs, so those of one are taken."""
    folder = config_folder() / "callbacks"
    files = [word for name in ("latent_space", "figures") for word in ("--config", folder / f"{name}.yaml")]
    status, run, protocol = fitted(lit_ae, case, scores, files)
    assert (status, run.status) == (0, "FINISHED")
    assert "test/mse" in run.metrics
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert "Factors" in protocol["left_out"]


def test_functions_raise_a_value_error_with_the_reason():
    import lit_ae

    z, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
    for call, reason in (
        (lambda: lit_ae.scores.clustering(np.ones((12, 3)), y), "all codes are equal"),
        (lambda: lit_ae.scores.clustering(z, y * 0, clusters=2), "all of one class"),
        (lambda: lit_ae.scores.clustering(z, y - 1), "a label below 0 is a missing one"),
        (lambda: lit_ae.scores.probe(z, y * 0, z, y), "a single class"),
        (lambda: lit_ae.scores.disentanglement(z, y[:, None] * 0, z, y[:, None] * 0), "no factor varies"),
        (lambda: lit_ae.scores.intrinsic_dimension(z[:2]), "at least 3"),
        (lambda: lit_ae.scores.total_correlation(z[:3]), "linearly dependent"),
        (lambda: lit_ae.scores.inception_score(np.eye(3)), "10 but there are 3 images"),
        (lambda: lit_ae.scores.precision_recall(z[:5], z), "5 real samples are too few"),
        (lambda: lit_ae.scores.train_distance_ratio(z, z, z), "also training samples"),
        (lambda: lit_ae.scores.detection(z[:, 0], y > 5), "0 of 12 samples are anomalies"),
    ):
        with pytest.raises(ValueError, match=reason):
            call()
    with pytest.raises(SettingError, match="set extractor to inception"):
        lit_ae.scores.lenet(CASES["one class"]())


def test_clustering_needs_no_labels_for_the_spread_of_the_codes():
    values, evaluation = {}, Evaluation()
    run = trainer(callbacks=[evaluation, Clustering()])
    (values,) = run.test(VAE(input_shape=(1, 8, 8), latent_dim=4), datamodule=CASES["no labels"](), verbose=False)
    assert values["test/code_std"] > 0
    assert "test/nmi" not in values
