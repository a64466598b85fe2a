"""Every family from its defaults: built in one line, trained by a plain Trainer on a plain DataLoader."""

import inspect
import math
import pkgutil
from importlib import import_module

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_ae
import lit_ae.models
from lit_ae.errors import SettingError
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.models.hopfield import BlackAndWhite
from lit_ae.models.tracked import TrackedModule
from lit_ae.objectives.likelihoods import Bernoulli, Categorical, Gaussian

for module in pkgutil.iter_modules(lit_ae.models.__path__, "lit_ae.models."):
    import_module(module.name)

BASES = {"ReconstructionModule", "GenerativeModule"}
VECTORS = {"NMN"}  # families that are not for images
CLASSES = {"Classifier", "ConditionalAE", "ConditionalVAE"}  # families that are given classes
BINARY = {"RBM": Bernoulli, "NMN": Categorical}  # families whose likelihood does not follow the data
SHORT = {"DEC": {"pretrain_epochs": 1}}  # what would take seconds


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


FAMILIES = {
    cls.__name__: cls
    for cls in subclasses(TrackedModule)
    if cls.__module__.startswith("lit_ae.") and not inspect.isabstract(cls) and cls.__name__ not in BASES
}
ENCODERS = sorted(name for name, cls in FAMILIES.items() if issubclass(cls, ReconstructionModule))


def build(name, shape=None, **settings):
    shape = shape or ((8,) if name in VECTORS else (1, 28, 28))
    classes = {"num_classes": 3} if name in CLASSES else {}
    return FAMILIES[name](input_shape=shape, latent_dim=16, **classes, **settings)


def batches(name, shape, kind, n=48, batch_size=16):
    """A plain loader: x alone, (x, y), or (x, y) with x of bytes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.eye(8).repeat(n // 8, 1) if name in VECTORS else torch.rand(n, *shape, generator=generator)
    y = torch.arange(n) % 3
    x = (x * 255).to(torch.uint8) if kind == "bytes" else x
    return DataLoader(TensorDataset(*((x,) if kind == "x" else (x, y))), batch_size=batch_size)


def trainer(epochs=1):
    return lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


def test_every_family_is_exported():
    assert len(FAMILIES) >= 20
    assert {name for name in FAMILIES if getattr(lit_ae, name) is FAMILIES[name]} == set(FAMILIES)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_shape_and_size_of_the_code_are_enough(name):
    model = build(name)
    assert model.latent_dim == 16
    if isinstance(model, GenerativeModule):
        shape = (8,) if name in VECTORS else (1, 28, 28)
        assert model.input_shape == shape
        assert model.decode(torch.rand(2, 16)).shape == (2, *shape)
    if name in ENCODERS and not isinstance(model, ClosedFormModule):
        group = model.configure_optimizers()
        first = group[0] if isinstance(group, list) else group
        assert isinstance(first, torch.optim.Adam)
        assert first.defaults["lr"] == 1e-3


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in sorted(FAMILIES) for kind in ("x", "xy", "bytes") if kind != "x" or name not in CLASSES],
)
def test_a_plain_trainer_trains_it_from_a_plain_loader(name, kind):
    shape = (8,) if name in VECTORS else (1, 12, 12)
    torch.manual_seed(0)
    model, run, loader = build(name, shape, **SHORT.get(name, {})), trainer(), batches(name, shape, kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert getattr(run, "datamodule", None) is None
    run.fit(model, loader, loader)
    after = model.state_dict()
    assert [key for key in before if not torch.equal(before[key], after[key])], "nothing was trained"
    logged = {key: value.item() for key, value in run.callback_metrics.items()}
    key = "generator_loss" if name == "GAN" else "loss"
    assert {f"train/{key}", f"val/{key}"} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())
    if isinstance(model, ReconstructionModule):
        assert 0 < logged["val/mse"] < 1, "bytes are scaled to [0, 1]"
    (tested,) = run.test(model, loader, verbose=False)
    assert math.isfinite(tested[f"test/{key}"])


def test_bytes_are_the_same_as_their_floats():
    shape, values = (1, 12, 12), []
    x = torch.randint(0, 256, (48, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for data in (x, x / 255):
        torch.manual_seed(0)
        model, run = lit_ae.AE(input_shape=shape), trainer()
        run.fit(model, DataLoader(data, batch_size=16))
        values.append(run.callback_metrics["train/loss"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_it_learns():
    """Three images, many times each: after 20 epochs the reconstructions are far better than after one."""
    x = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0)).repeat(32, 1, 1, 1)
    errors = []
    for epochs in (1, 20):
        torch.manual_seed(0)
        model = lit_ae.VAE(input_shape=(1, 12, 12), latent_dim=4)
        trainer(epochs).fit(model, DataLoader(x, batch_size=16, shuffle=True))
        errors.append((model.reconstruct(x) - x).square().mean().item())
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize("name", ENCODERS)
def test_the_likelihood_follows_the_kind_of_the_data(name):
    image = build(name).likelihood
    if name in BINARY:
        assert type(image) is BINARY[name]
        return
    assert type(image) is (BlackAndWhite if name == "Hopfield" else Gaussian)
    if name in ("PCA", "Hopfield"):  # linear by definition; patterns of 0 and 1
        assert isinstance(image.activation, torch.nn.Identity)
        return
    assert isinstance(image.activation, torch.nn.Sigmoid), "pixels lie in [0, 1]"
    assert isinstance(build(name, (40,)).likelihood.activation, torch.nn.Identity), "vectors are unbounded"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_missing_classes_are_refused(name):
    with pytest.raises(SettingError, match="label"):
        trainer().fit(build(name, (1, 12, 12)), batches(name, (1, 12, 12), "x"))


@pytest.mark.parametrize("batch", [{"x": 1}, [torch.rand(2, 8)] * 3, "text"])
def test_other_batches_are_refused(batch):
    loader = DataLoader([0, 1], batch_size=2, collate_fn=lambda items: batch)
    with pytest.raises(SettingError, match=r"data loader gives a .*tensor"):
        trainer().fit(lit_ae.AE(input_shape=(8,)), loader)
