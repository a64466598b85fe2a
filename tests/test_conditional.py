"""Conditional models: labels as an input of the decoder, samples by class, and data without labels."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from test_families import build, digits, images, trainer  # noqa: F401 - a fixture
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.callbacks.figures.class_samples import ClassSamples
from lit_ae.callbacks.figures.reconstruction_grid import ReconstructionGrid
from lit_ae.callbacks.scores.uncertainty import Uncertainty
from lit_ae.data.containers import ArrayDataset, Batch
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.samplers import Normal

BOTH = ["conditional_ae", "conditional_vae"]


def conditional(name, **changes):
    return build(name, num_classes=10, **changes)


@pytest.mark.parametrize("name", BOTH)
def test_decoder_gets_code_and_one_hot_label(name):
    module, z, y = conditional(name), torch.randn(4, 32), torch.tensor([3, 0, 9, 3])
    joined = torch.cat([z, F.one_hot(y, 10).float()], 1)
    raw = module.decoder.decoder(joined)
    assert torch.equal(module.raw(z, y), raw)
    assert torch.equal(module.decode(z, y), module.likelihood.mean(raw))
    assert not torch.equal(module.decode(z, (y + 1) % 10), module.decode(z, y))
    assert not torch.equal(module.decode(z), module.decode(z, y)), "no label is remembered from the last call"


@pytest.mark.parametrize("name", BOTH)
def test_step_uses_the_batch_s_labels(name):
    module, batch = conditional(name).eval(), images(6, (1, 28, 28))
    r, predicted = module.test_step(batch, 0), module.predict_step(batch, 0)
    assert torch.equal(r.x_hat, module.decode(r.latent.mu, batch.y))
    assert torch.equal(predicted.x_hat, module(batch.x, batch.y))
    other = module.test_step(Batch(batch.x, (batch.y + 1) % 10), 0)
    assert not torch.equal(other.x_hat, r.x_hat)


def test_only_the_vae_encodes_the_label():
    x = images(3, (1, 28, 28)).x
    for name, differs in zip(BOTH, (False, True), strict=True):
        module = conditional(name)
        if differs:
            torch.nn.init.normal_(module.shift)
        codes = [module.encode(x, torch.full((3,), label)).mu for label in (0, 1)]
        assert torch.equal(*codes) != differs


@pytest.mark.parametrize("name", BOTH)
def test_reconstruction_without_labels_is_refused(name):
    with pytest.raises(ValueError, match="needs the labels of x: give them as the argument y"):
        conditional(name)(images(3, (1, 28, 28)).x)


def test_only_the_vae_needs_labels_to_encode():
    x = images(3, (1, 28, 28)).x
    assert conditional("conditional_ae").encode(x).mu.shape == (3, 32)
    with pytest.raises(ValueError, match="ConditionalVAE needs the labels of x"):
        conditional("conditional_vae").encode(x)


@pytest.mark.parametrize("name", BOTH)
def test_samples_and_embeddings_take_labels(name):
    module, y = conditional(name), torch.tensor([4, 4, 7])
    z = torch.randn(3, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.allclose(module.sample(3, y=y, seed=5), module.decode(z, y))
        x = images(3, (1, 28, 28)).x
        assert torch.allclose(module.reconstruct(x, y), module.eval()(x, y))


@pytest.mark.parametrize("name", BOTH)
def test_codes_without_labels_get_the_training_frequencies(name):
    module = conditional(name)
    data = Digits(batch_size=64, limit=150)
    trainer(limit_val_batches=0).fit(module, datamodule=data)
    counts = torch.bincount(data.split("train").y, minlength=10)
    assert torch.allclose(module.decoder.frequencies, counts / 150)
    seen = []
    module.decoder.decoder.register_forward_pre_hook(lambda net, args: seen.append(args[0]))
    module.decode(torch.randn(300, 32))
    drawn = seen[0][:, 32:].sum(0)
    assert (drawn - 2 * counts).abs().max() <= 1
    assert drawn.sum() == 300


def test_samples_without_labels_have_all_classes_however_they_are_decoded(monkeypatch):
    module, seen = conditional("conditional_ae"), []
    shares = torch.arange(1, 11) / 55
    module.decoder.frequencies.copy_(shares)
    monkeypatch.setattr(module, "decode", lambda z, y: seen.extend(y.tolist()) or z)
    for batch_size in (1, 7, 1000):
        seen.clear()
        module.sample(1001, seed=3, batch_size=batch_size)
        counts = torch.bincount(torch.tensor(seen), minlength=10)
        assert (counts - 1001 * shares).abs().max() < 1
    seen.clear()
    for seed in range(400):
        module.sample(1, seed=seed)
    assert torch.allclose(torch.bincount(torch.tensor(seen), minlength=10) / 400, shares, atol=0.06)


@pytest.mark.parametrize("name", BOTH)
def test_generated_images_of_two_processes_are_those_of_one(name):
    """Also where n codes are decoded in several chunks."""
    module, n = conditional(name).eval(), 2300
    module.decoder.frequencies.copy_(torch.arange(1, 11) / 55)

    def generated(rank, processes):
        trainer = SimpleNamespace(lightning_module=module, global_rank=rank, world_size=processes)
        return Evaluation().generate(trainer, Normal().fit(torch.zeros(1, 32), 0), n)

    whole = generated(0, 1)
    generator = torch.Generator().manual_seed(0)
    z = Normal().fit(torch.zeros(1, 32), 0).sample(n, generator)
    y = module.mixed_labels(n)[torch.randperm(n, generator=generator)]
    with torch.no_grad():
        assert torch.allclose(whole[:1000], module.decode(z[:1000], y[:1000]).clamp(0, 1), atol=1e-6)
    for rank in (0, 1):
        assert torch.allclose(generated(rank, 2), whole[rank::2], atol=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_class_can_be_learnt_from_the_label_alone(name):
    """Images decoded from codes of zeros and a class are closest to the mean of that class."""
    module, data = conditional(name, latent_dim=1), Digits(batch_size=64, limit=150)
    trainer(60, limit_val_batches=0).fit(module, datamodule=data)
    x, y = data.split("train").x.float() / 255, data.split("train").y
    means = torch.stack([x[y == k].mean(0).flatten() for k in range(10)])
    with torch.no_grad():
        images_of = module.eval().decode(torch.zeros(10, 1), torch.arange(10)).flatten(1)
    assert (torch.cdist(images_of, means).argmin(1) == torch.arange(10)).sum() >= 7


def test_callbacks_give_the_labels(digits, monkeypatch):  # noqa: F811
    figures = {}

    def log(self, figure, name):
        figures[name] = figure

    logger = type("Figures", (), {"draws": lambda self, name: True, "log_figure": log})()
    monkeypatch.setattr("lit_ae.evaluation.access.run_logger", lambda trainer: logger)
    monkeypatch.setattr(Evaluation, "on_test_end", lambda *args: None)
    callbacks = [Evaluation(), ReconstructionGrid(), Uncertainty(draws=3), ClassSamples()]
    monkeypatch.setattr(digits, "class_names", tuple("abcdefghij"))
    module = conditional("conditional_vae")
    trainer(callbacks=callbacks).test(module, datamodule=digits, verbose=False)
    assert figures.keys() == {"reconstructions", "uncertainty", "calibration", "samples-by-class"}
    assert [axes.get_ylabel() for axes in figures["samples-by-class"].axes] == list("abcdefghij")


@pytest.mark.parametrize("name", BOTH)
def test_data_without_labels_are_refused(name):
    with pytest.raises(ValueError, match="needs labels and the data set has none: choose a labelled data set"):
        build(name, num_classes=0)
    data = Digits(limit=64)
    x = data.split("train").x
    data._splits = data._splits._replace(train=ArrayDataset(x, torch.full((64,), -1)))
    with pytest.raises(SettingError, match="64 of 64 samples of the train split have no label"):
        trainer().fit(conditional(name), datamodule=data)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_sample_without_a_label_is_refused_before_anything_is_trained(name, split):
    data = Digits(limit=64)
    data.split(split).y[3] = -1
    said = f"1 of 64 samples of the {split} split have no label, but model .* needs all of them: leave unlabelled"
    with pytest.raises(SettingError, match=said):
        (trainer().test if split == "test" else trainer().fit)(conditional(name), datamodule=data)
    loader = DataLoader(TensorDataset(torch.rand(8, 1, 28, 28)), batch_size=4)
    with pytest.raises(SettingError, match="8 of 8 samples of the train split have no label"):
        trainer().fit(conditional(name), loader)
    with pytest.raises(SettingError, match="4 of 4 samples of the loader's split have no label"):
        trainer().test(conditional(name), loader)


def test_number_of_classes_comes_from_the_data(store, lit_ae, settings):
    assert lit_ae("fit", *settings("conditional_vae"), "--trainer.logger=false") == 0
