"""Errors of reconstructions against NumPy, SciPy, scikit-learn and closed forms; noise on the input."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import ndimage
from scipy import stats as scipy_stats
from sklearn.metrics import log_loss, mean_absolute_error, root_mean_squared_error
from test_families import build, trainer
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lit_ae.callbacks.scores.reconstruction_scores import ReconstructionScores
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Batch, Splits
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.reconstruction.errors import ReconstructionErrors, bernoulli_bits, ssim
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.models.ae import AE
from lit_ae.settings.seeds import stream_seed

IMAGE = (1, 28, 28)


def pairs(n, shape=IMAGE, seed=0, noise=0.2):
    """Digits, and the same with noise."""
    generator = torch.Generator().manual_seed(seed)
    x = Digits(limit=n).split("test").x / 255 if shape == IMAGE else torch.rand(n, *shape, generator=generator)
    return x, (x + noise * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def errors(x_hat, x, batch=None):
    metric = ReconstructionErrors(tuple(x.shape[1:]))
    for a, b in zip(x_hat.split(batch or len(x)), x.split(batch or len(x)), strict=True):
        metric.update(a, b)
    return {name: value.item() for name, value in metric.compute().items()}


# -- against others ---------------------------------------------------------------------------------------------------


def test_errors_agree_with_scikit_learn(agrees):
    x, x_hat = pairs(60)
    ours = errors(x_hat, x, batch=7)
    flat, flat_hat = x.flatten().double(), x_hat.flatten().double()
    agrees("MAE", "scikit-learn", "60 noisy digits", ours["mae"], mean_absolute_error(flat, flat_hat), rel=1e-6)
    agrees("RMSE", "scikit-learn", "60 noisy digits", ours["rmse"], root_mean_squared_error(flat, flat_hat), rel=1e-6)


def test_psnr_agrees_with_torchmetrics(agrees):
    x, x_hat = pairs(40)
    theirs = torch.stack([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(x_hat, x, strict=True)])
    agrees("PSNR", "torchmetrics, image by image", "40 noisy digits", psnr(x_hat, x), theirs, rel=1e-5)
    assert errors(x_hat, x)["psnr"] == pytest.approx(theirs.double().mean().item(), rel=1e-6)


def ssim_by_scipy(a, b):
    """Wang et al. 2004, equation 13, of two images [H, W], by SciPy's Gaussian filter in double precision."""

    def blur(image):
        return ndimage.gaussian_filter(image, sigma=1.5, truncate=3.5, mode="mirror")

    mu_a, mu_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mu_a**2, blur(b * b) - mu_b**2, blur(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mu_a * mu_b + c1) * (2 * cov + c2)
    return (top / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))).mean()


@pytest.mark.parametrize("shape", [IMAGE, (3, 9, 12)])
def test_ssim_agrees_with_scipy(shape, agrees):
    x, x_hat = pairs(12, shape)
    channels = [[ssim_by_scipy(a, b) for a, b in zip(*pair, strict=True)]
                for pair in zip(x_hat.double().numpy(), x.double().numpy(), strict=True)]  # fmt: skip
    data = f"12 images of {shape[1]} x {shape[2]}, {shape[0]} channels"
    agrees("SSIM", "SciPy's Gaussian filter", data, ssim(x_hat, x), np.mean(channels, 1), rel=1e-9)
    theirs = structural_similarity_index_measure(x_hat, x, reduction="none", data_range=1.0)
    agrees("SSIM", "torchmetrics", data, ssim(x_hat, x), theirs, rel=1e-5)
    assert errors(x_hat, x, batch=5)["ssim"] == pytest.approx(np.mean(channels), rel=1e-5)


def test_ssim_known_answers():
    flat = [torch.full((1, 1, 8, 8), value) for value in (0.25, 0.75)]
    # constant images have no variance: only the luminance term is left
    luminance = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(*flat).tolist() == pytest.approx([luminance], rel=1e-9)
    x, _ = pairs(3)
    assert ssim(x, x).tolist() == pytest.approx([1] * 3)
    assert (ssim(1 - x, x) < 0).all(), "inverted contrast"
    with pytest.raises(ValueError, match="at least 6 x 6 pixels, got 5 x 9"):
        ssim(torch.zeros(1, 1, 5, 9), torch.zeros(1, 1, 5, 9))


def test_bits_agree_with_scikit_learn_and_scipy(agrees):
    x, x_hat = pairs(5)
    binary, p = (x > 0.5).float(), x_hat.double().clamp(1e-6, 1 - 1e-6)
    theirs = [log_loss(a.flatten(), b.flatten(), normalize=False) / math.log(2) for a, b in zip(binary, p, strict=True)]
    agrees("Bernoulli bits", "scikit-learn's log loss", "5 binarised digits", bernoulli_bits(x_hat, binary), theirs)
    # of grey x: entropy + Kullback-Leibler divergence
    grey, p = x[0].flatten().double().numpy(), p[0].flatten().numpy()
    entropy = scipy_stats.entropy([grey, 1 - grey], base=2) + scipy_stats.entropy([grey, 1 - grey], [p, 1 - p], base=2)
    ours = bernoulli_bits(x_hat[:1], x[:1])
    agrees("Bernoulli bits", "SciPy: entropy + divergence", "a grey digit", ours, [entropy.sum()])


def test_bits_known_answers():
    x = torch.tensor([[1.0, 0, 1, 0]])
    assert bernoulli_bits(torch.full((1, 4), 0.5), x).item() == pytest.approx(4)
    assert bernoulli_bits(torch.full((1, 4), 0.25), x).item() == pytest.approx(2 * 2 + 2 * math.log2(4 / 3))
    assert bernoulli_bits(x, x).item() == pytest.approx(0, abs=1e-4)
    assert bernoulli_bits(1 - x, x).item() == pytest.approx(-4 * math.log2(1e-6), rel=1e-5), "clipped, hence finite"


# -- properties -------------------------------------------------------------------------------------------------------


def test_perfect_reconstruction():
    x = (pairs(4)[0] > 0.5).float()
    ours = errors(x, x)
    assert ours == pytest.approx({"mae": 0, "rmse": 0, "psnr": 100, "bits": 0, "ssim": 1}, abs=2e-3)


def test_scores_depend_on_the_kind_of_data():
    x, x_hat = pairs(6)
    assert errors(x_hat, x).keys() == {"mae", "rmse", "psnr", "bits", "ssim"}
    assert errors(x_hat.flatten(1), x.flatten(1)).keys() == {"mae", "rmse", "psnr", "bits"}
    assert errors(x_hat[..., :5, :5], x[..., :5, :5]).keys() == {"mae", "rmse", "psnr", "bits"}
    x[-1] *= 3  # only the last batch shows that the data are not in [0, 1]
    assert errors(x_hat, x, batch=2).keys() == {"mae", "rmse"}
    assert errors(x_hat[:0], x[:0]) == {}
    with pytest.raises(ValueError, match="NaN or infinite"):
        errors(x * math.inf, x)


@settings(max_examples=25, deadline=None)
@given(
    some.integers(1, 9), some.integers(1, 4), some.sampled_from([(1, 8, 8), (2, 6, 7), (5,)]),
    some.sampled_from(["noise", "constant", "binary"]), some.randoms(use_true_random=False),
)  # fmt: skip
def test_neither_batches_nor_order_nor_processes_matter(n, batch, shape, kind, random):
    x, x_hat = pairs(n, shape, seed=n)
    if kind == "constant":
        x, x_hat = torch.full_like(x, 0.5), torch.zeros_like(x)
    elif kind == "binary":
        x = (x > 0.5).float()
    whole = errors(x_hat, x)
    assert all(map(math.isfinite, whole.values()))
    order = list(range(n))
    random.shuffle(order)
    assert errors(x_hat[order], x[order], batch) == pytest.approx(whole, rel=1e-5, abs=1e-6)
    mean = [errors(a[None], b[None]) for a, b in zip(x_hat, x, strict=True)]  # one sample each
    for name in whole.keys() - {"rmse"}:
        assert np.mean([one[name] for one in mean]) == pytest.approx(whole[name], rel=1e-5, abs=1e-6)
    ranks = [ReconstructionErrors(shape) for _ in range(2)]
    for rank, metric in enumerate(ranks):
        if len(x[rank::2]):
            metric.update(x_hat[rank::2], x[rank::2])
    merged = ReconstructionErrors(shape)
    for name, reduce in merged._reductions.items():  # as torchmetrics reduces over processes
        setattr(merged, name, reduce(torch.stack([getattr(metric, name) for metric in ranks])))
    merged._update_count = 1
    assert {k: v.item() for k, v in merged.compute().items()} == pytest.approx(whole, rel=1e-9)


# -- the callback -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return Digits(eval_batch_size=17, limit=50)


def scored(module, data, **options):
    evaluation = Evaluation()
    evaluation.on_test_end = lambda *args: None
    scores = trainer(1, callbacks=[evaluation, ReconstructionScores(**options)])
    (values,) = scores.test(module, datamodule=data, verbose=False)
    return values, evaluation.protocol


def noisy(x, sigma, seed=0):
    """x with the noise that the callback's protocol describes."""
    seeds = (stream_seed(seed, i) for i in range(len(x)))
    draws = [torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(own)) for own in seeds]
    return (x + sigma * torch.stack(draws)).clamp(0, 1)


@pytest.mark.parametrize("name", ["ae", "sae", "vae", "conditional_vae"])
def test_scores_of_a_model(name, digits):
    module = build(name).eval()
    found, protocol = scored(module, digits, noise=0.3)
    x, y = digits.split("test").x / 255, digits.split("test").y
    with torch.no_grad():
        expected, x_hat = errors(module(x, y), x), module(noisy(x, 0.3), y)
    expected["compression_ratio"] = 784 / module.latent_dim
    expected["mse_noisy_input"] = (x_hat - x).square().mean().item()
    ours = {key.removeprefix("test/"): value for key, value in found.items()}
    assert {key: ours[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert ours["rmse"] ** 2 == pytest.approx(ours["mse"], rel=1e-5)
    assert "N(0, 0.3²)" in protocol["mse_noisy_input"]
    for part in ("data range of 1", "at most 100", "[1e-06, 1 - 1e-06]", "window of 11 x 11"):
        assert part in protocol["reconstruction_scores"]


def test_noise_can_be_left_out_and_leaves_other_scores_alone(digits):
    module = build("sae").eval()
    torch.manual_seed(1)
    without, protocol = scored(module, digits, noise=0)
    torch.manual_seed(1)
    found, _ = scored(module, digits)
    assert found.keys() - without.keys() == {"test/mse_noisy_input"}
    assert {key: found[key] for key in without} == without, "the model's own draws are the same"
    assert "mse_noisy_input" not in protocol
    with pytest.raises(SettingError, match=r"ReconstructionScores.noise is -0.1"):
        ReconstructionScores(noise=-0.1)


def test_the_seed_decides_the_noise(digits):
    module = build("ae").eval()
    found = [scored(module, digits, seed=seed)[0]["test/mse_noisy_input"] for seed in (0, 1, 12345, 0)]
    assert len(set(found)) == 3
    assert found[0] == found[3]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_noise_is_that_of_one_process_in_two(digits):
    module, data = build("ae").eval(), digits.split("test")
    x = data.x[:25] / 255

    def passed(rank, world, batch):
        callback = ReconstructionScores()
        run = SimpleNamespace(global_rank=rank, world_size=world, lightning_module=module)
        callback.on_test_epoch_start(run, module)
        with torch.no_grad():
            for part in x[rank::world].split(batch):
                outputs = module.predict_step(Batch(part, data.y[: len(part)]), 0)
                callback.on_test_batch_end(run, module, outputs, None, 0)
        return callback.noisy

    one, (first, second) = passed(0, 1, 10), (passed(rank, 2, 4) for rank in range(2))
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(one.compute().item(), rel=1e-6)


class Counts(BaseDataModule):
    """Vectors beyond [0, 1]."""

    name, input_shape, num_classes = "counts", (8,), 0

    def load(self):
        x = torch.arange(80.0).view(10, 8)
        return Splits(*[ArrayDataset(x, torch.full((10,), -1))] * 3)


def test_data_beyond_the_unit_range():
    found, protocol = scored(AE((8,), 2), Counts())
    assert {"test/mae", "test/rmse", "test/compression_ratio"} < found.keys()
    assert not found.keys() & {"test/psnr", "test/ssim", "test/bits", "test/mse_noisy_input"}
    assert "dB" not in protocol["reconstruction_scores"]


def test_validation_is_scored_on_request(digits):
    module = build("ae")
    run = trainer(2, callbacks=[Evaluation(), ReconstructionScores(every_n_epochs=2)], limit_train_batches=1)
    run.fit(module, datamodule=digits)
    assert {"val/psnr", "val/ssim", "val/mse_noisy_input"} <= run.callback_metrics.keys()
