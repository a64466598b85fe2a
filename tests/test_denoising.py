"""Corruptions against their own moments, the denoising AE's step, and the scores of denoising and sparsity."""

import lightning.pytorch as pl
import pytest
import torch
from test_families import build, images, trainer

from lit_ae.callbacks.scores.denoising import Denoising
from lit_ae.callbacks.scores.sparsity import Sparsity
from lit_ae.data.containers import Batch
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.objectives.corruptions import GaussianNoise, Masking, SaltAndPepper

NAMES = ["denoising_gaussian", "denoising_masking", "denoising_salt_pepper"]
GREY = torch.full((50, 1, 28, 28), 0.4)  # 39,200 pixels: a share's standard error is below 0.003


@pytest.fixture(scope="module")
def digits():
    """400 digits in each split, in several batches."""
    return Digits(batch_size=50, eval_batch_size=150, limit=400)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- corruptions -----------------------------------------------------------------------------------------------------


def test_gaussian_noise_has_its_standard_deviation():
    noise = GaussianNoise(0.3)(GREY, seeded()) - GREY
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)


def test_masking_sets_a_share_to_zero_and_leaves_the_rest():
    x = Masking(0.3)(GREY, seeded())
    assert (x == 0).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert set(x.unique().tolist()) == {0, GREY[0, 0, 0, 0].item()}
    assert not Masking(1.0)(GREY, seeded()).any()


def test_salt_and_pepper_come_in_equal_parts():
    x = SaltAndPepper(0.2)(GREY, seeded())
    assert (x == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (x == 1).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (x == GREY).float().mean().item() == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize("corruption", [GaussianNoise(), SaltAndPepper(), Masking()])
def test_noise_follows_its_generator_and_leaves_x_alone(corruption):
    x = GREY.clone()
    first, again, other = (corruption(x, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(x, GREY)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    free = corruption(x)
    torch.manual_seed(3)
    assert torch.equal(free, corruption(x))
    double = corruption(x.double(), seeded(0))
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), first, atol=1e-6), "the same noise in every precision"


@pytest.mark.parametrize("make", [lambda: GaussianNoise(0), lambda: Masking(0), lambda: SaltAndPepper(1.1)])
def test_unfit_noise_is_refused(make):
    with pytest.raises(SettingError, match=r"model.corruption\.\w+ is .*: it must be"):
        make()


# -- the family ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_training_encodes_the_noisy_image_and_the_loss_compares_with_the_clean_one(name):
    module, batch = build(name), images(6, (1, 28, 28))
    r = module._step(batch, "train")
    assert torch.equal(r.x, batch.x)
    assert not torch.equal(r.x_in, batch.x)
    assert torch.equal(r.latent.mu, module.encoder(r.x_in))
    assert torch.allclose(r.nll, (r.x_hat - batch.x).square().flatten(1).mean(1))
    assert torch.equal(module.predict_step(batch, 0).x_in, batch.x)


@pytest.mark.parametrize("name", [*NAMES, "hopfield"])
@pytest.mark.parametrize("stage", ["validation", "test"])
def test_evaluation_encodes_the_clean_image_and_names_what_is_of_the_noisy_one(name, stage):
    module, batch = build(name).eval(), images(6, (1, 28, 28))
    r = getattr(module, f"{stage}_step")(batch, 0)
    assert torch.equal(r.x_in, batch.x)
    assert torch.equal(r.latent.mu, module.encode(batch.x).mu)
    assert torch.allclose(r.terms["mse"], (module(batch.x) - batch.x).square().flatten(1).mean(1))
    assert not torch.equal(r.corrupted.x_in, batch.x)
    assert torch.equal(r.corrupted.x_hat, module(r.corrupted.x_in))
    (tracked,) = module._waiting["val" if stage == "validation" else "test"]["mse_corrupted"]
    assert torch.allclose(tracked, (r.corrupted.x_hat - batch.x).square().flatten(1).mean(1))


def test_codes_of_training_and_test_are_of_clean_images(digits):
    found = {}

    class Keep(ScoreCallback):
        def score(self, trainer, evaluation):
            found["test"], found["train"] = evaluation.codes(trainer)[0], evaluation.train_codes(trainer)
            return {}

    module = build("denoising_masking")
    trainer(callbacks=[Evaluation(), Keep()]).test(module, datamodule=digits, verbose=False)
    with torch.no_grad():
        for split, codes in found.items():
            expected = module.encoder(digits.split(split).x / 255)
            assert torch.allclose(codes, expected, atol=1e-5), split


def test_noise_of_evaluation_is_the_same_for_every_pass_and_model(digits):
    seen = []

    class Keep(pl.Callback):
        def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            seen.append(outputs.corrupted.x_in)

    for seed in (0, 0, 1):
        module = build("denoising_gaussian", seed=seed)
        run = trainer(callbacks=[Keep()])
        run.test(module, datamodule=digits, verbose=False)
    first, again, other = (torch.cat(seen[3 * i : 3 * i + 3]) for i in range(3))
    assert len(first) == len(digits.split("test"))
    assert torch.equal(first, again)
    assert torch.equal(first, other)
    noise = first - digits.split("test").x / 255
    assert not torch.equal(noise[:150], noise[150:300]), "batches have different noise"


# -- scores ----------------------------------------------------------------------------------------------------------


def test_psnr_is_of_each_image_and_finite():
    reference = torch.zeros(3, 1, 4, 4)
    image = torch.stack([torch.full((1, 4, 4), value) for value in (0.1, 0.01, 0.0)])
    assert psnr(image, reference).tolist() == pytest.approx([20, 40, 100], rel=1e-5)
    assert psnr(torch.full_like(reference, -3), reference).tolist() == [100] * 3, "clipped to [0, 1]"


def scored(name, digits, epochs, callbacks=()):
    module = build(name)
    run = trainer(epochs, callbacks=[Evaluation(), Denoising(), Sparsity(), *callbacks], limit_val_batches=0)
    run.fit(module, datamodule=digits)
    (scores,) = run.test(module, datamodule=digits, verbose=False)
    return scores, module


@pytest.mark.parametrize("name", NAMES)
def test_denoised_images_are_nearer_to_the_clean_ones(name, digits, monkeypatch):
    drawn = []
    figure = lambda trainer, figure, name: drawn.append((name, figure))  # noqa: E731
    monkeypatch.setattr("lit_ae.callbacks.scores.denoising.save_figure", figure)
    kept = []

    class Keep(pl.Callback):
        def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            kept.append(outputs)

    scores, _ = scored(name, digits, 10, [Keep()])
    assert scores["test/psnr_denoised"] > scores["test/psnr_noisy"] + 1
    x = torch.cat([r.x for r in kept])
    x_in, x_hat = (torch.cat([getattr(r.corrupted, part) for r in kept]) for part in ("x_in", "x_hat"))
    assert len(x) == len(digits.split("test"))
    for key, image in (("noisy", x_in), ("denoised", x_hat)):
        by_image = [-10 * (a.clamp(0, 1) - b).square().mean().log10() for a, b in zip(image, x, strict=True)]
        assert scores[f"test/psnr_{key}"] == pytest.approx(torch.stack(by_image).mean().item(), rel=1e-4)
    ((figure_name, shown),) = drawn
    assert figure_name == "denoising"
    assert [axes.get_ylabel() for axes in shown.axes] == ["clean", "noisy", "denoised"]


def test_a_model_without_noise_has_no_denoising_scores_but_activations(digits):
    scores, module = scored("sparse_l1", digits, 1)
    assert not [key for key in scores if "psnr" in key]
    with torch.no_grad():
        h = module.encode(digits.split("test").x / 255).mu
    assert scores["test/mean_activation"] == pytest.approx(h.mean().item(), rel=1e-4)
    assert scores["test/active_share"] == pytest.approx((h > 0.1).float().mean().item(), abs=1e-4)
    assert scores["test/used_share"] == pytest.approx((h > 0.1).any(0).float().mean().item(), abs=1e-4)
    assert 0 < scores["test/active_share"] < scores["test/used_share"] <= 1


def test_contractive_leaf_is_no_noise():
    module = build("contractive").eval()
    with torch.inference_mode():
        r = module.test_step(Batch(GREY, torch.zeros(50)), 0)
    assert r.x_in is r.x
    assert r.corrupted is None
