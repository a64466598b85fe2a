"""Every likelihood against data of every range: taken, or refused with both settings and the likelihoods that fit."""

from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_ae as library
from lit_ae.data.array import Array
from lit_ae.errors import SettingError
from lit_ae.models import AE
from lit_ae.objectives.likelihoods import Bernoulli, Categorical, Gaussian, Huber

LIKELIHOODS = {
    **{
        f"{kind.__name__} {output}": (kind, output)
        for kind in (Gaussian, Huber)
        for output in ("linear", "tanh", "sigmoid")
    },
    "Bernoulli": (Bernoulli, None),
    "Categorical": (Categorical, None),
}
EVERYTHING = ["linear"]
SYMMETRIC = [*EVERYTHING, "tanh"]
PIXELS = [*SYMMETRIC, "sigmoid", "Bernoulli"]
RNG = np.random.default_rng(0)
DATA = {
    "pixels": (RNG.random((20, 5)), PIXELS),
    "bytes": (RNG.integers(2, 256, (20, 5)).astype(np.uint8), PIXELS),
    "one pixel too bright by rounding": (np.linspace(0, 1 + 1e-7, 100).reshape(20, 5), PIXELS),
    "symmetric": (np.linspace(-1, 1, 100).reshape(20, 5), SYMMETRIC),
    "counts": (RNG.poisson(3.0, (20, 5)), EVERYTHING),
    "grey values as floats": (np.linspace(0, 255, 100).reshape(20, 5), EVERYTHING),
    "standardised": (RNG.standard_normal((20, 5)), EVERYTHING),
    "one-hot": (np.eye(5)[np.arange(20) % 5], [*PIXELS, "Categorical"]),
    "one-hot truth values": (np.eye(5)[np.arange(20) % 5].astype(bool), [*PIXELS, "Categorical"]),
    "distributions": (RNG.dirichlet(np.ones(5), 20), [*PIXELS, "Categorical"]),
    "one row in 20 is no distribution": (np.vstack([np.eye(5)[np.arange(19) % 5], np.zeros((1, 5))]), PIXELS),
}


def build(kind, output, features=5):
    return AE(input_shape=(features,), latent_dim=2, likelihood=kind() if output is None else kind(output=output))


def trainer(folder):
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **quiet)


def verdict(run):
    """The message of a refusal; empty if the data are taken."""
    try:
        run()
    except SettingError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("loader", ["data module", "plain"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", DATA)
def test_every_range_against_every_likelihood(kind, likelihood, loader, tmp_path):
    x, taken = DATA[kind]
    module = build(*LIKELIHOODS[likelihood])
    if loader == "plain":
        samples = torch.from_numpy(x if x.dtype == np.uint8 else x.astype(np.float32))
        message = verdict(lambda: module.on_after_batch_transfer(samples, 0))
    else:
        np.save(tmp_path / "x.npy", x)
        data = Array(tmp_path / "x.npy", val_share=0.2, test_share=0.2)
        module.trainer = SimpleNamespace(datamodule=data, precision="32-true", world_size=1)
        messages = [verdict(lambda stage=stage: module.setup(stage)) for stage in ("fit", "test")]
        message = max(messages)
    fits = likelihood in taken or likelihood.split()[-1] in taken
    assert bool(message) != fits, message
    if message:
        name = likelihood.split()[0]
        assert "the data (--data) have" in message
        assert f"model.likelihood is {name}" in message
        outputs = " or ".join(output for output in ("linear", "tanh", "sigmoid") if output in taken)
        assert f"Gaussian or Huber with --model.likelihood.output={outputs}," in message
        assert ("=Bernoulli," in message) == ("Bernoulli" in taken)
        assert "\n" not in message


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("likelihood", ["Gaussian linear", "Bernoulli", "Categorical"])
def test_the_first_value_that_is_not_finite_is_named(likelihood, value, word, tmp_path):
    x = torch.full((8, 5), 0.2)
    x[2, 3] = x[5, 0] = value
    module = build(*LIKELIHOODS[likelihood])
    message = verdict(lambda: trainer(tmp_path).fit(module, DataLoader(x, batch_size=8)))
    assert message.startswith(f"the data (--data) hold {word} at index [2, 3]:")


@pytest.mark.parametrize("family", ["AE", "VAE", "GAN", "Classifier"])
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
def test_samples_that_would_be_broadcast_are_refused(family, shape, tmp_path):
    labels = {"num_classes": 3} if family == "Classifier" else {}
    module = getattr(library, family)(input_shape=(1, 28, 28), **labels)
    said = f"the data (--data) have samples of shape {list(shape)}, but input_shape is [1, 28, 28]: reshape them"
    batch = [torch.zeros(4, *shape), torch.tensor([0, 1, 2, 0])]
    assert verdict(lambda: module.on_after_batch_transfer(batch, 0)).startswith(said)
    whole = [torch.zeros(4, 1, 28, 28).long(), batch[1]]
    assert "samples of type torch.int64: give bytes" in verdict(lambda: module.on_after_batch_transfer(whole, 0))


@pytest.mark.parametrize("stage", ["fit", "test", "predict"])
def test_a_data_module_of_another_shape_than_the_models_is_refused(stage, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 5)))
    module, data = AE(input_shape=(1, 5), latent_dim=2), Array(tmp_path / "x.npy")
    module.trainer = SimpleNamespace(datamodule=data, precision="32-true", world_size=1)
    said = "the data (--data) have samples of shape [5], but input_shape is [1, 5]: reshape them to [N, 1, 5]"
    assert verdict(lambda: module.setup(stage)).startswith(said)


@pytest.mark.parametrize("family", ["ConditionalAE", "Classifier"])
def test_labels_beyond_the_models_classes_are_refused(family, tmp_path):
    module = getattr(library, family)(input_shape=(5,), num_classes=2)
    loader = DataLoader(TensorDataset(torch.zeros(4, 5), torch.tensor([0, 1, 2, 0])), batch_size=4)
    message = verdict(lambda: trainer(tmp_path).fit(module, loader))
    assert "the label 2, but num_classes is 2: give labels from 0 to 1" in message


def test_pixels_too_bright_by_rounding_are_white(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(-1e-8, 1 + 1e-7, 320).reshape(16, 4, 5))
    data = Array(tmp_path / "x.npy")
    ranges = [data.split(name).value_range() for name in ("train", "val", "test")]
    assert (min(low for low, _ in ranges), max(high for _, high in ranges)) == (0, 1)
    np.save(tmp_path / "x.npy", np.linspace(0, 1.01, 320).reshape(16, 4, 5))
    with pytest.raises(SettingError, match=r"holds pixels from 0 to 1\.01"):
        Array(tmp_path / "x.npy")


def test_samples_that_are_no_distribution_are_counted(tmp_path):
    x = torch.eye(5).repeat(600, 1)
    x[1500] = 0.5
    with pytest.raises(
        SettingError, match=r"have 1 samples whose values do not add up to 1, the first, number 1500, to 2\.5"
    ):
        Categorical().check_samples(x)
    Categorical().check_samples(torch.eye(5).mul(255).to(torch.uint8))
