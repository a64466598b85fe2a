"""What codes are good for: compression, denoising, choosing labels, more of a rare class, components of many genes."""

import io
import math
import zlib
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from scipy.ndimage import median_filter
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from test_families import build, trainer

from lit_ae.callbacks.scores.active_learning import ActiveLearning
from lit_ae.callbacks.scores.compression import Compression
from lit_ae.callbacks.scores.input_probe import InputProbe
from lit_ae.callbacks.scores.minority_augmentation import MinorityAugmentation
from lit_ae.callbacks.scores.noisy_inputs import NoisyInputs
from lit_ae.data.digits import Digits
from lit_ae.errors import NotComputable, SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes.active_learning import (
    area_between,
    bald,
    diverse,
    learning_curve,
    margin,
    predictive_variance,
)
from lit_ae.metrics.codes.augmentation import rightly_classified, transferred_codes
from lit_ae.metrics.codes.components import principal_components
from lit_ae.metrics.reconstruction.compression import deflated_bytes, jpeg, png_bytes, quantise, restore
from lit_ae.metrics.reconstruction.filters import FILTERS, best_filter, filtered
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.objectives.corruptions import GaussianNoise
from lit_ae.settings.files import config_folder
from lit_ae.studies.load import load_study


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_digits():
    x, y = load_digits(return_X_y=True)
    return x[:800], y[:800], x[800:1200], y[800:1200]


# -- compression -----------------------------------------------------------------------------------------------------


def test_quantised_codes_against_numpy_and_the_error_of_even_spread(agrees):
    z = torch.rand(20_000, 3, generator=seeded()) * torch.tensor([1.0, 10, 0.1]) - 3
    low, high = z.min(0).values, z.max(0).values
    for bits in (4, 8):
        levels = quantise(z, low, high, bits)
        a, b = low.double().numpy(), high.double().numpy()
        step = (b - a) / (2**bits - 1)
        theirs = np.rint((z.double().numpy() - a) / step)
        agrees("quantised codes", "numpy", "20,000 even codes", levels, theirs, rel=0)
        back = restore(levels, low, high, bits).double().numpy()
        error = ((back - z.double().numpy()) ** 2).mean(0)
        agrees("quantisation error", "step² / 12", "20,000 even codes", error, step**2 / 12, rel=0.05)
        assert (np.abs(back - z.numpy()) <= step / 2 * 1.001 + 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(some.integers(1, 5), some.integers(1, 4), some.integers(1, 8), some.booleans(), some.integers(0, 99))
def test_any_codes_are_quantised(n, d, bits, constant, seed):
    z = torch.full((n, d), 0.3) if constant else torch.randn(n, d, generator=seeded(seed))
    low, high = z.min(0).values, z.max(0).values
    levels = quantise(z, low, high, bits)
    assert levels.dtype == torch.uint8
    assert int(levels.max()) < 2**bits
    back = restore(levels, low, high, bits)
    assert ((back - z).abs() <= (high - low) / (2**bits - 1) / 2 + 1e-5).all()
    assert torch.equal(quantise(z.flip(0), low, high, bits), levels.flip(0))
    beyond = quantise(torch.stack([low - 9, high + 9]), low, high, bits)
    assert torch.equal(restore(beyond, low, high, bits), torch.stack([low, high]))


def test_compressed_codes_are_restored_exactly():
    levels = torch.randint(4, (500, 6), generator=seeded(), dtype=torch.uint8)
    packed = zlib.compress(levels.numpy().T.tobytes(), 9)
    assert deflated_bytes(levels) == len(packed) / 500
    assert 6 * 2 / 8 <= deflated_bytes(levels) < 6 * 3 / 8, "two bits of entropy each"
    assert deflated_bytes(torch.zeros(500, 6, dtype=torch.uint8)) < 0.1
    for broken in (lambda: quantise(torch.tensor([[float("nan")]]), torch.zeros(1), torch.ones(1), 8),
                   lambda: quantise(torch.zeros(1, 1), torch.zeros(1), torch.ones(1), 9),
                   lambda: deflated_bytes(levels[:0])):  # fmt: skip
        with pytest.raises(ValueError, match="code"):
            broken()


def test_bytes_of_an_even_jpeg_by_hand(agrees):
    """Each of 16 blocks: "no difference" in 2 bits (T.81, table K.3) and "end of block" in 4 (table K.5)."""
    size, decoded = jpeg(torch.full((1, 28, 28), 128, dtype=torch.uint8), 50)
    agrees("JPEG's bytes", "T.81 by hand", "even grey image", size, 16 * (2 + 4) / 8, rel=0)
    assert (decoded == 128).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless_and_jpeg_is_close(channels):
    generator = seeded()
    image = torch.randint(256, (channels, 9, 12), generator=generator, dtype=torch.uint8)
    file = io.BytesIO()
    array = (image[0] if channels == 1 else image.permute(1, 2, 0)).numpy()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "PNG", optimize=True)
    content = file.getvalue()
    assert png_bytes(image) == len(content) - 57, "signature 8, IHDR 25, IDAT 12, IEND 12"
    packed = content[content.index(b"IDAT") + 4 :][: png_bytes(image)]
    assert len(zlib.decompress(packed)) == 9 * (1 + 12 * channels), "a filter byte a line"
    smooth = torch.linspace(0, 255, 32).repeat(channels, 32, 1).to(torch.uint8)
    sizes, errors = zip(*(jpeg(smooth, quality) for quality in (5, 50, 95)), strict=True)
    assert list(sizes) == sorted(sizes)
    decibels = [psnr(e[None] / 255, smooth[None] / 255).item() for e in errors]
    assert decibels == sorted(decibels)
    assert decibels[-1] > 35
    with pytest.raises(ValueError, match="uint8"):
        png_bytes(image / 255)


# -- filters ---------------------------------------------------------------------------------------------------------


def test_filters_against_a_convolution_and_a_median_by_hand(agrees):
    x = torch.rand(2, 1, 20, 20, generator=seeded())
    offsets = torch.arange(-4, 5, dtype=torch.float64)  # scipy cuts at 4 standard deviations
    kernel = torch.exp(-(offsets**2) / 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    padded = torch.nn.functional.pad(x.double(), (4, 4, 4, 4), mode="replicate")
    inside = torch.nn.functional.conv2d(padded, kernel[None, None])[
        ..., 4:-4, 4:-4
    ]  # where the edges have no influence
    agrees("Gaussian filter", "torch convolution", "noise", filtered(x, ("Gaussian", 1.0))[..., 4:-4, 4:-4], inside)
    windows = x.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(4).values
    agrees("median filter", "torch median", "noise", filtered(x, ("median", 3.0))[..., 1:-1, 1:-1], windows, rel=1e-6)
    assert torch.equal(filtered(x, ("none", 0.0)), x)
    assert np.array_equal(filtered(x, ("median", 2.0))[0, 0].numpy(), median_filter(x[0, 0].numpy(), 2))


def test_the_filter_is_the_best_on_the_images_given():
    clean = torch.zeros(4, 1, 16, 16)
    clean[..., 4:12, 4:12] = 1
    salted = torch.where(torch.rand(clean.shape, generator=seeded()) < 0.1, 1 - clean, clean)
    assert best_filter(salted, clean)[0] == "median"
    assert best_filter(clean, clean)[0] == "none"
    even = torch.full((4, 1, 16, 16), 0.5)
    noisy = GaussianNoise(0.2)(even, seeded())
    kind = best_filter(noisy, even)
    assert kind == ("Gaussian", 2.5), "of an even image the widest"
    assert psnr(filtered(noisy, kind), even).mean() == max(psnr(filtered(noisy, k), even).mean() for k in FILTERS)
    for pair in ((clean, clean[:2]), (clean[:0], clean[:0])):
        with pytest.raises(ValueError, match="images"):
            best_filter(*pair)


# -- choosing labels -------------------------------------------------------------------------------------------------


ALL = ("variance", "bald", "margin", "margin_diverse", "random")


def test_predictive_variance_is_that_of_drawn_labels(agrees):
    random = np.random.default_rng(0)
    probs = random.dirichlet(np.ones(4), size=(5, 3))  # [M, N, K]
    found = predictive_variance(probs)
    parts = (probs * (1 - probs)).sum(2).mean(0) + probs.var(0).sum(1)
    agrees("predictive variance", "law of total variance", "5 made members", found, parts, rel=1e-12)
    drawn = np.stack([np.eye(4)[random.choice(4, 40_000, p=p)].var(0).sum() for p in probs.mean(0)])
    agrees("predictive variance", "40,000 drawn labels", "5 made members", found, drawn, rel=0.02)
    assert predictive_variance(np.eye(3)[None]).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"\[M, N, K\]"):
        predictive_variance(probs[0])


def test_bald_is_the_information_between_label_and_member():
    sure, unsure = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    probs = np.array([[sure, unsure, sure], [sure[::-1], unsure, sure]])  # two members, three samples
    assert bald(probs) == pytest.approx([math.log(2), 0, 0])
    drawn = np.random.default_rng(0).dirichlet(np.ones(4), size=(6, 5))
    joint = drawn / 6  # of member and label
    naive = [mutual_information(joint[:, n]) for n in range(5)]
    assert bald(drawn) == pytest.approx(naive)


def mutual_information(joint):
    independent = np.outer(joint.sum(1), joint.sum(0))
    return (joint * np.log(joint / independent)).sum()


def test_margin_and_diversity():
    assert margin(np.array([[0.2, 0.5, 0.3], [0.05, 0.05, 0.9], [0.4, 0.4, 0.2]])) == pytest.approx([0.2, 0.85, 0])
    groups = np.repeat(np.eye(3) * 10, 20, axis=0) + np.random.default_rng(0).normal(size=(60, 3))
    assert sorted(diverse(groups, 3, 0) // 20) == [0, 1, 2], "one of each group"
    assert len(set(diverse(np.zeros((6, 2)), 4, 0))) == 4, "no code twice, even if all are the same"


def test_curves_start_together_and_end_with_the_whole_pool(agrees):
    x, y, x_test, y_test = small_digits()
    x, x_test = x / 16, x_test / 16
    settings = {"start": 20, "step": 35, "budget": 1000, "members": 2, "seed": 3}
    curves = {s: learning_curve(x[:100], y[:100], x_test, y_test, s, **settings) for s in ALL}
    assert [n for n, _ in curves["random"]] == [20, 55, 90, 100]
    assert len({curve[0] for curve in curves.values()}) == 1
    whole = LogisticRegression(max_iter=1000).fit(x[:100], y[:100]).score(x_test, y_test)
    ends = [curve[-1][1] for curve in curves.values()]
    agrees("accuracy with all labels", "scikit-learn", "100 digits", ends, [whole] * 5, abs=0.006)
    again = learning_curve(x[:100], y[:100], x_test, y_test, "variance", **settings)
    assert again == curves["variance"]


@pytest.mark.parametrize("strategy", ["variance", "margin", "margin_diverse"])
def test_labels_of_uncertain_samples_are_worth_more(strategy):
    """Two classes with a narrow border: the most uncertain samples are near it, and raise the accuracy faster."""
    random = np.random.default_rng(1)
    x = np.concatenate([random.normal(size=(600, 2)) * [1, 0.1], random.uniform(-0.3, 0.3, (60, 2))])
    y = (x[:, 0] + x[:, 1] > 0.1).astype(np.int64)
    settings = {"start": 10, "step": 10, "budget": 50}
    areas = []
    for seed in range(3):
        curves = [learning_curve(x, y, x, y, s, seed=seed, **settings) for s in (strategy, "random")]
        areas.append(area_between(*curves))
    assert np.mean(areas) > 0.005


def test_area_by_hand_and_refused_settings():
    assert area_between([(10, 0.5), (20, 0.7), (40, 0.9)], [(10, 0.5), (20, 0.6), (40, 0.8)]) == pytest.approx(2.5 / 30)
    assert area_between([(10, 0.5)], [(10, 0.25)]) == 0.25
    with pytest.raises(ValueError, match="same numbers"):
        area_between([(10, 0.5)], [(20, 0.5)])
    x, y = np.zeros((30, 2)), np.arange(30) % 3
    (only,) = learning_curve(
        x, y, x, y, "variance", start=30, budget=30
    )  # codes without information: one class in three is right
    assert only == (30, pytest.approx(1 / 3))
    with pytest.raises(ValueError, match="budget"):
        learning_curve(x, y, x, y, "random", start=20, budget=10)
    for labels, size in ((y - 1, 30), (y * 0, 30), (y, 10)):
        with pytest.raises(NotComputable, match="active learning"):
            learning_curve(x[:size], labels[:size], x, y, "random")


def test_a_class_without_labels_yet_is_accepted():
    x, y, x_test, y_test = small_digits()
    order = np.argsort(y, kind="stable")
    curve = learning_curve(
        x[order] / 16, y[order], x_test / 16, y_test, "variance", start=3, step=30, budget=63, members=3
    )
    assert [n for n, _ in curve] == [3, 33, 63]
    assert curve[-1][1] > curve[0][1]


# -- more of a rare class --------------------------------------------------------------------------------------------


def test_transferred_codes_have_the_stated_moments(agrees):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(3000) % 3
    others = torch.randn(3000, 2, generator=random) @ torch.tensor([[2.0, 1], [0, 0.5]]) + 10 * labels[:, None]
    few = torch.tensor([[50.0, 0], [52, 0], [51, 3]])
    z = transferred_codes(few, others, labels, 30_000, seed=0)
    pooled = np.mean([np.cov(others[labels == c].T.numpy(), bias=True) for c in range(3)], 0)
    agrees("mean of made codes", "closed form", "3 of a class", z.mean(0), few.mean(0), rel=0, abs=0.05)
    theirs = pooled + np.cov(few.T.numpy(), bias=True)
    agrees("covariance of made codes", "closed form", "3 of a class", np.cov(z.T.numpy()), theirs, rel=0.05)
    assert torch.equal(z, transferred_codes(few, others, labels, 30_000, seed=0))
    relabelled = transferred_codes(few, others, labels * 7 + 1, 30_000, seed=0)
    assert torch.allclose(relabelled, z, atol=1e-4)


def test_without_spread_among_the_others_codes_are_repeated():
    few, others = torch.randn(2, 3, generator=seeded()), torch.ones(5, 3)
    z = transferred_codes(few, others, torch.zeros(5).long(), 7, 0)
    assert torch.allclose(z, few[torch.arange(7) % 2])
    assert transferred_codes(few, others, torch.zeros(5).long(), 0, 0).shape == (0, 3)
    for broken in ((few[:0], others), (few, others[:0]), (few[:, :2], others)):
        with pytest.raises(ValueError, match="codes must be"):
            transferred_codes(*broken, torch.zeros(len(broken[1])).long(), 7, 0)


def test_recall_against_scikit_learn(agrees):
    x, y, x_test, y_test = (torch.from_numpy(part) for part in small_digits())
    right = rightly_classified(x / 16, y, x_test / 16, y_test)
    found = right[y_test == 8].mean(), right.mean()
    model = LogisticRegression(max_iter=2000, tol=1e-6).fit(x / 16, y)
    predicted = model.predict(x_test / 16)
    theirs = recall_score(y_test, predicted, average=None)[8], (predicted == y_test.numpy()).mean()
    agrees("minority recall and accuracy", "scikit-learn", "800 digits", found, theirs, abs=0.01)
    with pytest.raises(ValueError, match="at least two classes"):
        rightly_classified(x[y == 8], y[y == 8], x_test, y_test)


# -- components ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 300])
def test_components_against_scikit_learn(agrees, n):
    x, _, x_test, _ = (torch.from_numpy(part) for part in small_digits())
    wide = torch.randn(64, 100, generator=seeded(), dtype=torch.float64)
    x, x_test = x[:n] @ wide, x_test @ wide  # more features than samples, or fewer
    z, z_test, errors = principal_components(x, x_test, 10)
    theirs = PCA(10, svd_solver="full").fit(x.numpy())
    data = f"{n} digits, 100 features"
    agrees(
        "components",
        "scikit-learn PCA",
        data,
        z_test.abs(),
        np.abs(theirs.transform(x_test.numpy())),
        rel=1e-3,
        abs=1e-2,
    )
    back = theirs.inverse_transform(theirs.transform(x_test.numpy()))
    agrees("components' MSE", "scikit-learn PCA", data, errors[:, 10], ((back - x_test.numpy()) ** 2).mean(1), rel=1e-6)
    assert z.shape == (n, 10)
    assert errors.shape == (len(x_test), 11)
    assert (errors.diff(dim=1) <= 0).all()


def test_no_more_components_than_the_rank():
    x = torch.randn(30, 2, generator=seeded()) @ torch.randn(2, 50, generator=seeded(1))
    z, z_test, errors = principal_components(x, x[:5], 20)
    assert z.shape == (30, 2)
    assert z_test.shape == (5, 2)
    assert errors[:, 2].max() == pytest.approx(0, abs=1e-9)
    assert principal_components(torch.ones(4, 3), torch.ones(2, 3), 2)[0].shape == (4, 0)
    for broken in ((x, x[:, :3], 2), (x, x, 0), (x * float("nan"), x, 2)):
        with pytest.raises(ValueError, match="components"):
            principal_components(*broken)


# -- callbacks -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored():
    """Every application's scores, protocol and figures, of principal components of 400 digits without a class."""
    shown, patch = {}, pytest.MonkeyPatch()
    for part in ("active_learning", "compression", "minority_augmentation", "noisy_inputs"):
        keep = lambda trainer, figure, name: shown.__setitem__(name, figure)  # noqa: E731
        patch.setattr(f"lit_ae.callbacks.scores.{part}.save_figure", keep)
    data = Digits(limit=400, leave_out=8)
    evaluation = Evaluation()
    callbacks = [
        evaluation,
        InputProbe(components=[5, 100], max_train=200),
        NoisyInputs(max_images=50),
        Compression(max_images=30),
        ActiveLearning(pool=100, budget=40, repeats=2),
        MinorityAugmentation(per_class=20, repeats=2),
    ]
    run = trainer(callbacks=callbacks, limit_val_batches=0)
    module = build("pca", latent_dim=8)
    run.fit(module, datamodule=data)
    (scores,) = run.test(module, datamodule=data, verbose=False)
    patch.undo()
    kept = evaluation._by_place(len(data.split("test")))
    return SimpleNamespace(
        scores=scores, protocol=evaluation.protocol, shown=shown, module=module, data=data, kept=kept
    )


def test_values_of_single_samples_have_the_score_as_their_mean(scored):
    assert {f"minority/recall_{way}" for way in ("plain", "oversampled", "synthetic")} < scored.kept.keys()
    for name, values in scored.kept.items():
        assert np.nanmean(values) == pytest.approx(scored.scores[f"test/{name}"], rel=1e-5), name


def test_each_application_has_scores_and_a_protocol(scored):
    assert {key.split("/")[1] for key in scored.scores} >= {
        "active_learning",
        "compression",
        "denoising",
        "minority",
        "pca",
    }
    assert {
        "input_probe",
        "pca",
        "noisy_inputs",
        "compression",
        "active_learning",
        "minority",
    } <= scored.protocol.keys()
    assert all("\n" not in line for line in map(str, scored.protocol.values()))
    assert scored.shown.keys() == {"denoising-filter", "compression", "active-learning", "minority"}


def test_compression_by_hand(scored, agrees):
    x = scored.data.split("test").x[:30] / 255
    with torch.no_grad():
        codes, train = (scored.module.encode(part).mu for part in (x, scored.data.split("train").x / 255))
        low, high = train.min(0).values, train.max(0).values
        rounded = ((codes.clamp(low, high) - low) / (high - low) * 255).round() / 255 * (high - low) + low
        by_image = [psnr(scored.module.decode(z), x).mean().item() for z in (rounded, codes)]
    ours = [scored.scores[f"test/compression/{key}"] for key in ("psnr", "psnr_unquantised")]
    agrees("PSNR at 8 bits", "by hand", "30 digits", ours, by_image, rel=1e-4)
    assert scored.scores["test/compression/bytes"] == 8
    assert scored.scores["test/compression/png_bytes"] > scored.scores["test/compression/jpeg_bytes"] > 8


def test_denoising_by_hand(scored, agrees):
    x = scored.data.split("test").x[:50] / 255
    noisy = x + 0.3 * torch.randn(x.shape, generator=seeded(0))
    with torch.no_grad():
        theirs = [psnr(noisy, x).mean().item(), psnr(scored.module(noisy), x).mean().item()]
    ours = [scored.scores[f"test/denoising/psnr_{key}"] for key in ("noisy", "denoised")]
    agrees("PSNR of noisy and denoised", "by hand", "50 digits", ours, theirs, rel=1e-4)
    assert scored.scores["test/denoising/psnr_filtered"] > ours[0] + 2


def test_components_probe_by_hand(scored, agrees):
    own = PCA(5, svd_solver="full").fit(scored.data.split("train").x.flatten(1) / 255)
    x = scored.data.split("test").x.flatten(1).numpy() / 255
    theirs = ((own.inverse_transform(own.transform(x)) - x) ** 2).mean()
    agrees("MSE of 5 components", "scikit-learn PCA", "400 digits", scored.scores["test/pca/5/mse"], theirs, rel=1e-4)
    assert scored.scores["test/pca/5/probe_accuracy"] < scored.scores["test/pca/100/probe_accuracy"] + 0.05
    assert scored.scores["test/probe_accuracy_pixels"] > 0.7


def test_minority_needs_a_class_left_out(scored):
    plain, repeated, made = (
        scored.scores[f"test/minority/recall_{way}"] for way in ("plain", "oversampled", "synthetic")
    )
    assert plain < repeated <= 1
    assert plain < made <= 1
    evaluation = Evaluation()
    silent = SimpleNamespace(
        datamodule=Digits(limit=20), lightning_module=scored.module, testing=True, limit_test_batches=1.0, world_size=1
    )
    with pytest.raises(NotComputable, match=r"data\.leave_out"):
        MinorityAugmentation().score(silent, evaluation)
    for settings_ in ({"few": 0}, {"few": 100}, {"repeats": 0}):
        with pytest.raises(SettingError, match="MinorityAugmentation"):
            MinorityAugmentation(**settings_)


@pytest.mark.parametrize("binarise", [True, False])
def test_a_rare_class_is_binarised_as_the_others_are(scored, binarise, monkeypatch):
    """Otherwise the grey pixels would give the class away."""
    seen = []
    monkeypatch.setattr(
        "lit_ae.callbacks.scores.minority_augmentation.rightly_classified",
        lambda x, y, x_test, y_test: seen.append(x[y == 8]) or torch.zeros(len(y_test)),
    )
    data = Digits(limit=400, leave_out=8, binarise=binarise)
    run = trainer(callbacks=[Evaluation(), MinorityAugmentation(per_class=20, repeats=1)], limit_val_batches=0)
    run.test(scored.module, datamodule=data, verbose=False)
    plain = seen[0]
    assert len(plain) == 5
    assert ((plain == 0) | (plain == 1)).all() == binarise


def test_a_conditional_and_a_noisy_family_are_scored_as_well():
    data = Digits(limit=60)
    for name in ("conditional_vae", "denoising_masking"):
        module = build(name, latent_dim=4)
        run = trainer(callbacks=[Evaluation(), NoisyInputs(max_images=20), Compression(max_images=10)])
        run.fit(module, datamodule=data)
        first, again = (run.test(module, datamodule=data, verbose=False)[0] for _ in range(2))
        keys = [key for key in first if "/compression/" in key or "/denoising/" in key]
        assert len(keys) >= 8
        assert all(np.isfinite(first[key]) for key in keys)
        assert {key: first[key] for key in keys} == {key: again[key] for key in keys}


@pytest.mark.parametrize("name", ["guide_applications", "guide_anomaly", "guide_genes"])
def test_studies_can_be_read(name):
    study = load_study(config_folder().parent / "experiments" / f"{name}.yaml")
    assert {"quick", "full"} == study.profiles.keys()
    assert study.profile("quick").data == "digits"


def test_the_random_state_is_left_alone(scored):
    before = torch.get_rng_state()
    pl.seed_everything(1, verbose=False)
    state = torch.get_rng_state()
    transferred_codes(torch.ones(1, 2), torch.ones(3, 2), torch.zeros(3).long(), 4, 0)
    learning_curve(np.zeros((20, 1)), np.arange(20) % 2, np.zeros((2, 1)), np.arange(2), "variance", budget=20)
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)
