"""Each family in each precision: its terms are finite and near those of float32, or it is refused in one line."""

import copy
import math
from importlib.util import find_spec

import lightning.pytorch as pl
import pytest
import torch
from test_families import EACH, FAMILIES, build, shapes_of
from torch import nn
from torch.utils.data import DataLoader

from lit_ae import tracking
from lit_ae.callbacks.training.layerwise_pretraining import LayerwisePretraining
from lit_ae.data.containers import Batch
from lit_ae.metrics.images.extractors import extract
from lit_ae.metrics.images.lenet import LeNet, LeNetExtractor

SETTINGS = {
    "hopfield": {"latent_dim": 20, "sweeps": 2},  # no more patterns than there are samples
    "pca": {"latent_dim": 20},  # nor components: nothing would be left but rounding
    "dec": {"pretrain_epochs": 1},
}
NATS = ("mi", "tc", "dimension_kl")  # differences of log densities, rounded like the densities: compared in nats
CLOSED_FORM = ("hopfield", "pca")  # before training, ties and zeros leave all to rounding
N = 64
# A term is at most quadratic in the outputs of a network, and an output is rounded with its weights and by itself, so
# that a term has four times the unit round-off; roundings of earlier layers average out over their units. In float32
# itself, a sum over 784 pixels has at most 784 roundings.
TOLERANCE = {"bf16-mixed": 4 * 2**-8, "64-true": 784 * 2**-24}


def samples(shape):
    """N images or one-hot vectors with labels from 0 to 9."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(N) % 10
    if len(shape) == 1:
        return list(zip(torch.eye(shape[0])[torch.arange(N) % shape[0]], labels, strict=True))
    prototypes = torch.rand(10, *shape, generator=generator)
    return list(zip((prototypes[labels] + torch.rand(N, *shape, generator=generator)) / 2, labels, strict=True))


@pytest.fixture
def same_noise(monkeypatch):
    """Random numbers are drawn in float32, whatever the precision: in float64 the same seed gives other ones."""
    randn, rand = torch.randn, torch.rand

    def drawn(draw, *size, dtype=None, device=None, generator=None):
        return draw(*size, dtype=torch.float32, generator=generator).to(dtype or torch.get_default_dtype())

    def like(draw):
        return lambda x: draw(x.shape, dtype=torch.float32).to(x.dtype)

    for name, draw in (("randn", randn), ("rand", rand)):
        monkeypatch.setattr(torch, name, lambda *size, draw=draw, **settings: drawn(draw, *size, **settings))
        monkeypatch.setattr(torch, f"{name}_like", like(draw))
    monkeypatch.setattr(torch, "randint_like", lambda x, n: (n * like(rand)(x)).floor())
    monkeypatch.setattr(
        torch, "bernoulli", lambda p, generator=None: (drawn(rand, p.shape, generator=generator) < p).to(p.dtype)
    )
    normal = torch.distributions.normal
    monkeypatch.setattr(normal, "_standard_normal", lambda size, dtype, device: drawn(randn, size, dtype=dtype))


def terms(name, model, precision, monkeypatch):
    """What a family logs of one batch: before training in validation, and in the first step of training."""
    model = copy.deepcopy(model)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    loader = DataLoader(samples(shapes_of(name)[0]), batch_size=N)
    quiet = {f"enable_{what}": False for what in ("checkpointing", "progress_bar", "model_summary")}
    settings = {"accelerator": "cpu", "precision": precision, "logger": False, "max_epochs": 1, **quiet}
    found, track = {}, model.track

    def tracked(stage, **values):
        assert all(value.dtype in (torch.float32, torch.float64) for value in values.values()), values
        track(stage, **values)

    monkeypatch.setattr(model, "track", tracked)
    for train in (False, True):
        if train or name not in CLOSED_FORM:
            pl.seed_everything(3, verbose=False)
            trainer = pl.Trainer(**settings)
            trainer.fit(model, loader) if train else trainer.validate(model, loader, verbose=False)
            assert trainer.precision == precision
            found |= {key: value.item() for key, value in trainer.callback_metrics.items()}
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    return found


@pytest.mark.parametrize("name", EACH)
def test_terms_are_near_those_of_float32(name, same_noise, monkeypatch, record_property):
    """From the same weights, batch and noise, so that only roundings differ."""
    model = build(name, **SETTINGS.get(name, {}))
    wanted = terms(name, model, "32-true", monkeypatch)
    assert wanted
    for precision, tolerance in TOLERANCE.items():
        found = terms(name, model, precision, monkeypatch)
        assert found.keys() == wanted.keys()
        assert all(map(math.isfinite, found.values()))
        apart = {
            key: abs(found[key] - value) / max(abs(value), key.endswith(NATS), 1e-12)
            for key, value in wanted.items()
            if not (name == "dec" and key.startswith("train/"))  # the AE's own training has changed the weights
        }
        worst = max(apart, key=apart.__getitem__)
        record_property(precision, f"{apart[worst]:.1e} {worst}")
        assert apart[worst] <= tolerance, f"{worst} in {precision}: {found[worst]} instead of {wanted[worst]}"


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "transformer-engine", "transformer-engine-float16"])
def test_other_precisions_are_refused_in_one_line(store, lit_ae, settings, capsys, precision):
    if precision.startswith("transformer") and find_spec("transformer_engine"):
        pytest.skip("the library of this precision is installed")
    assert lit_ae("fit", *settings("ae"), f"--trainer.precision={precision}") == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "trainer" in error
    assert precision.split("-")[0] in error.replace("_", "-")


@pytest.mark.parametrize(("given", "stored"), [("16-mixed", "bf16-mixed"), ("bf16", "bf16-mixed"), ("64", "64-true")])
def test_a_run_stores_the_precision_that_it_was_computed_in(store, lit_ae, settings, given, stored):
    """Aliases by one name, and what Lightning takes instead of float16 on a processor."""
    assert lit_ae("fit", *settings("ae"), "--trainer.accelerator=cpu", f"--trainer.precision={given}") == 0
    (run,) = tracking.search("lit_ae")
    assert run.params["trainer.precision"] == stored


@pytest.mark.parametrize("name", FAMILIES)
def test_models_in_double_precision_decode_what_is_drawn_in_single(name):
    if name == "classifier":
        pytest.skip("it decodes nothing")
    model = build(name, **SETTINGS.get(name, {})).double().eval()
    if name == "rbm":
        model.sample_steps = 2
    for codes in (torch.randn(3, model.latent_dim), torch.randn(3, model.latent_dim, dtype=torch.float64)):
        assert model.decode(codes).dtype == torch.float64
    assert model.sample(3).isfinite().all()


def test_images_in_double_precision_have_the_features_of_single():
    extractor = LeNetExtractor(LeNet(1, 10), "digits", 1.0)
    images = torch.rand(3, 1, 28, 28)
    extracted = [extract(extractor, images.to(dtype)).features for dtype in (torch.float32, torch.float64)]
    assert torch.equal(*extracted)


@pytest.mark.parametrize("method", ["autoencoder", "rbm"])
def test_layerwise_pretraining_in_double_precision(method):
    loader = DataLoader(samples((1, 28, 28)), batch_size=N)
    quiet = {f"enable_{what}": False for what in ("checkpointing", "progress_bar", "model_summary")}
    pretraining = LayerwisePretraining(epochs=1, method=method)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", precision="64-true", logger=False, callbacks=[pretraining], **quiet
    )
    trainer.fit(build("ae"), loader)
    assert math.isfinite(trainer.callback_metrics["train/loss"].item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_give_single_precision_to_the_terms(dtype):
    model = build("iwae")
    with torch.autocast("cpu", dtype):
        r = model.reconstruct_batch(Batch(torch.rand(8, 1, 28, 28), torch.zeros(8).long()), "train")
        assert {value.dtype for value in (r.x_hat, r.nll, r.penalty, *r.latent[:3], *r.terms.values())} == {
            torch.float32
        }
        assert (r.terms["kl"] >= 0).all()
