"""The estimators for scikit-learn, against scikit-learn's own checks and closed forms."""

import inspect
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from lit_ae.objectives.likelihoods import Bernoulli, Gaussian
from lit_ae.sklearn import AutoencoderOutlierDetector, AutoencoderTransformer
from lit_ae.sklearn.families import DEFAULTS

NOT_APPLICABLE = {"check_array_api_input"}  # needs SciPy's experimental array API, which an environment variable sets


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:300] / 16


@pytest.mark.parametrize("cls", [AutoencoderTransformer, AutoencoderOutlierDetector])
def test_all_checks_of_scikit_learn(cls):
    results = check_estimator(cls(max_iter=1), on_skip=None)
    assert len(results) > 40
    assert {r["check_name"] for r in results if r["status"] != "passed"} <= NOT_APPLICABLE


@pytest.mark.slow
@pytest.mark.parametrize("cls", [AutoencoderTransformer, AutoencoderOutlierDetector])
def test_all_checks_of_scikit_learn_with_the_default_settings(cls):
    results = check_estimator(cls(), on_skip=None)
    assert {r["check_name"] for r in results if r["status"] != "passed"} <= NOT_APPLICABLE


def test_the_family_pca_is_scikit_learns(digits):
    """Codes up to their sign, rows decoded from them, and the score, the squared error."""
    ours, theirs = AutoencoderTransformer("PCA", latent_dim=5).fit(digits), PCA(5).fit(digits)
    codes = theirs.transform(digits)
    np.testing.assert_allclose(np.abs(ours.transform(digits)), np.abs(codes), atol=1e-5)
    decoded = theirs.inverse_transform(codes)
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(digits)), decoded, atol=1e-5)
    assert ours.score(digits) == pytest.approx(-np.square(decoded - digits).mean(), rel=1e-5)
    drawn = ours.sample(20_000, random_state=0)  # from the Gaussian of the codes: that of the projected rows
    np.testing.assert_allclose(drawn.mean(0), decoded.mean(0), atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(decoded.T), atol=0.01)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, AutoencoderOutlierDetector])
def test_rows_that_single_precision_does_not_tell_apart_are_refused(cls):
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[:, 1] = 1.7e9 + np.arange(60)
    for train in (cls(max_iter=1).fit, cls().partial_fit):
        with pytest.raises(ValueError, match=r"X: feature 1 has values too far from 0 .*: subtract its mean, or put"):
            train(x)
    whole = np.stack([np.arange(60), 2**60 + np.arange(60)], 1)  # whose differences double precision has lost already
    frame = pd.DataFrame({"a": whole[:, 0], "b": pd.array(whole[:, 1], "Int64"), "c": 0.5})
    for wide in (whole, whole.tolist(), frame, frame.astype({"b": "int64"})):
        with pytest.raises(ValueError, match="X: feature 1 has values too far from 0"):
            cls(max_iter=1).fit(wide)
    made = cls("AE", latent_dim=2, max_iter=1).fit(x[:, ::2])
    with pytest.raises(ValueError, match="X has values beyond float32"):
        made.score_samples(np.full((2, 2), 1e39))


def test_images_beyond_the_range_of_training_are_outliers_and_not_refused(digits):
    made = AutoencoderOutlierDetector("AE", latent_dim=2, max_iter=1, input_shape=(1, 8, 8)).fit(digits)
    assert made.predict(digits[:2] * 16).tolist() == [-1, -1]
    with pytest.raises(ValueError, match=r"values from 0 to 16.*scale the data"):
        AutoencoderOutlierDetector("AE", input_shape=(1, 8, 8)).fit(digits * 16)


def test_parts_are_trained_as_epochs(digits):
    """Three parts that hold all rows, in batches of all rows, make the three steps of three epochs."""
    settings = {"latent_dim": 3, "batch_size": len(digits), "random_state": 0}
    whole = AutoencoderTransformer("AE", max_iter=3, **settings).fit(digits)
    parts = AutoencoderTransformer("AE", **settings)
    for _ in range(3):
        parts.partial_fit(digits)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(parts.transform(digits), whole.transform(digits), atol=1e-4)
    assert parts.n_iter_ == 3


def test_the_threshold_is_that_of_all_rows_also_with_early_stopping(digits):
    model = AutoencoderOutlierDetector("AE", 4, max_iter=3, early_stopping=True, contamination=0.1, random_state=0)
    flagged = (model.fit_predict(digits) == -1).mean()
    assert flagged == pytest.approx(0.1, abs=1 / len(digits))
    assert hasattr(model, "validation_loss_curve_")
    assert not hasattr(model.set_params(early_stopping=False).fit(digits), "validation_loss_curve_")


def test_early_stopping_keeps_the_best_epoch(digits):
    model = AutoencoderTransformer(
        "AE", 4, max_iter=60, early_stopping=True, n_iter_no_change=2, learning_rate=0.02, random_state=0
    ).fit(digits)
    curve = model.validation_loss_curve_
    assert len(curve) == model.n_iter_ == np.argmin(curve) + 3 < 60
    _, held_out = train_test_split(digits, test_size=0.1, random_state=np.random.RandomState(0))
    assert -model.score(held_out) * digits.shape[1] == pytest.approx(min(curve), rel=1e-4)
    stubborn = clone(model).set_params(tol=1e9, n_iter_no_change=3).fit(digits)
    assert stubborn.n_iter_ == 4  # no epoch after the first improves by so much


def test_the_seed_decides_alone(digits):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (AutoencoderTransformer("VAE", 3, max_iter=2, random_state=1).fit(digits) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(one.transform(digits), two.transform(digits))
    np.testing.assert_array_equal(one.sample(3), two.sample(3))
    other = AutoencoderTransformer("VAE", 3, max_iter=2, random_state=2).fit(digits)
    assert np.abs(one.transform(digits) - other.transform(digits)).max() > 0.01


def test_in_pipelines_searches_files_and_tables(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame(digits, columns=[f"pixel {i}" for i in range(64)])
    pipeline = make_pipeline(MinMaxScaler(), AutoencoderTransformer("PCA", random_state=0))
    pipeline.set_output(transform="pandas")
    search = GridSearchCV(pipeline, {"autoencodertransformer__latent_dim": [1, 2, 4]}, cv=2).fit(table)
    assert search.best_params_ == {"autoencodertransformer__latent_dim": 4}  # PCA's error falls with each component
    codes = search.transform(table)
    assert list(codes.columns) == [f"autoencodertransformer{i}" for i in range(4)]
    assert codes.index.equals(table.index)
    joblib.dump(search, tmp_path / "search.joblib")
    for copied in (joblib.load(tmp_path / "search.joblib"), pickle.loads(pickle.dumps(search))):
        pd.testing.assert_frame_equal(copied.transform(table), codes)
    assert [path.name for path in tmp_path.iterdir()] == ["search.joblib"]  # nothing else is written, nor tracked


def test_images_have_the_range_of_pixels(digits):
    images = AutoencoderTransformer("VAE", 2, input_shape=(1, 8, 8), max_iter=1, random_state=0).fit(digits)
    decoded = images.inverse_transform(np.array([[-1e4, 1e4]]))
    assert decoded.shape == (1, 64)
    assert 0 <= decoded.min() < decoded.max() <= 1


def test_outliers_are_the_rows_that_do_not_fit():
    """Rows in a plane, and five beside it: a share of the training rows is below the threshold, those five first."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 2)) @ generator.normal(size=(2, 6))
    x[:5] += 10 * generator.normal(size=(5, 6))
    model = AutoencoderOutlierDetector("PCA", latent_dim=2, contamination=0.1).fit(x[5:])
    assert (model.predict(x[5:]) == -1).sum() == 20  # a tenth of 195, rounded up by the interpolated percentile
    assert (model.predict(x[:5]) == -1).all()
    assert model.score_samples(x)[:5].max() < model.score_samples(x)[5:].min()
    residual = x - PCA(2).fit(x[5:]).inverse_transform(PCA(2).fit(x[5:]).transform(x))
    np.testing.assert_allclose(model.score_samples(x), -np.square(residual).mean(1), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (AutoencoderTransformer("GAN"), "GAN does not map samples to codes and back"),
        (AutoencoderTransformer("ConditionalVAE"), "needs the label of every sample"),
        (AutoencoderTransformer("VEA"), "no family 'VEA': did you mean 'VAE'"),
        (AutoencoderTransformer(settings={"bata": 1}), "'bata', which VAE does not take: did you mean 'beta'"),
        (AutoencoderTransformer(settings={"beta": -1}), "beta is -1: it must be at least 0"),
        (AutoencoderTransformer(input_shape=(1, 8, 9)), "has 72 values, but X has 64 features"),
        (AutoencoderTransformer(latent_dim=0), "latent_dim is 0: it must be a whole number of at least 1"),
        (AutoencoderTransformer(learning_rate=0), "learning_rate is 0: it must be above 0"),
        (
            AutoencoderTransformer(settings={"latent_dim": 3}),
            "settings has 'latent_dim', which is a parameter",
        ),
        (AutoencoderTransformer(validation_fraction=1.5), "validation_fraction is 1.5: it must be above 0 and below 1"),
        (AutoencoderTransformer(settings={"likelihood": Bernoulli()}), r"^X has values from 0 to 2, but likelihood is"),
        (AutoencoderTransformer("WAE", batch_size=1), "^batch_size is 1"),
        (AutoencoderOutlierDetector(contamination=0.6), "contamination is 0.6: it must be above 0 and at most 0.5"),
    ],
)
def test_what_does_not_fit_is_said(digits, model, said):
    with pytest.raises(ValueError, match=said):
        model.fit(2 * digits)


def test_parameters_that_a_family_makes_no_use_of_are_named(digits):
    with pytest.warns(UserWarning, match=r"hidden_layer_sizes is \(9,\), of which PCA makes no use"):
        AutoencoderTransformer("PCA", hidden_layer_sizes=(9,)).fit(digits)
    with pytest.warns(UserWarning, match=r"learning_rate is 0.5, of which PCA makes no use"):
        AutoencoderTransformer("PCA", learning_rate=0.5).fit(digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoencoderTransformer("PCA").fit(digits)
    default = inspect.signature(AutoencoderTransformer).parameters
    assert {name: default[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("family", ["PCA", "DEC"])
def test_what_is_computed_from_all_rows_at_once_is_not_trained_in_parts(digits, family):
    with pytest.raises(ValueError, match=f"{family} is computed from all rows at once, .*: use fit"):
        AutoencoderTransformer(family, 2).partial_fit(digits)
    fitted = AutoencoderTransformer("PCA", 2, random_state=0).fit(digits)
    before = fitted.transform(digits)
    with pytest.raises(ValueError, match="use fit"):
        fitted.partial_fit(digits)
    np.testing.assert_array_equal(fitted.transform(digits), before)


def test_parametrised_weights_are_pickled_and_trained_on(digits):
    one = AutoencoderTransformer("RAESN", 2, max_iter=1, random_state=0).fit(digits)
    two = pickle.loads(pickle.dumps(one))
    for train in (lambda estimator: estimator, lambda estimator: estimator.partial_fit(digits)):
        np.testing.assert_array_equal(train(two).transform(digits), train(one).transform(digits))
        np.testing.assert_array_equal(two.sample(3), one.sample(3))


def test_settings_that_do_not_fit_are_named_as_the_estimator_takes_them(digits):
    def fit(rows, **parameters):
        return AutoencoderTransformer("VAE", 2, max_iter=1, **parameters).fit(rows)

    advice = re.escape("settings={'likelihood': lit_ae.objectives.likelihoods.Gaussian(output='linear')}")
    with pytest.raises(ValueError, match=f"choose {advice}, or scale the data"):
        fit(16 * digits, input_shape=(1, 8, 8))
    fit(16 * digits, input_shape=(1, 8, 8), settings={"likelihood": Gaussian(output="linear")})
    with pytest.raises(ValueError, match="settings has the likelihood 'Bernoulli': give an object"):
        fit(digits, settings={"likelihood": "Bernoulli"})
    with pytest.raises(ValueError, match="settings do not fit VAE"):
        fit(digits, settings={"beta": "x"})
    with pytest.raises(ValueError, match="n_samples is -1"):
        fit(digits).sample(-1)


def test_parts_are_trained_on_as_a_whole_training_is(digits):
    """From the second part on as well: codebook, dropout and free bits act in training mode alone."""
    for family, settings in (("VQVAE", {"entries": 16}), ("VAE", {"free_bits": 2.0})):
        estimator = AutoencoderTransformer(family, 4, settings=settings, random_state=0)
        losses = [estimator.partial_fit(digits).loss_ for _ in range(3)]
        if family == "VAE":
            assert min(losses) > 8  # nats: the floor of 2 for each of 4 dimensions
        else:
            before = estimator.module_.quantiser.codebook.clone()
            assert not torch.equal(estimator.partial_fit(digits).module_.quantiser.codebook, before)


def test_dec_is_not_stopped_by_a_loss_that_it_lets_rise(digits):
    with pytest.raises(ValueError, match="DEC clusters: leave it out, and set tolerance"):
        AutoencoderTransformer("DEC", 2, early_stopping=True).fit(digits)
