"""The classifier on an encoder: its initial weights, which weights are trained, and refused settings."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset

from lit_ae import load
from lit_ae.data.containers import SPLITS, Batch
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.models.classifier import Classifier
from lit_ae.models.vae import VAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian

NET = {
    "input_shape": (1, 28, 28),
    "latent_dim": 10,
    "optimizer": partial(torch.optim.Adam, lr=1e-3),
    "encoder": partial(MLPEncoder, widths=[64]),
}
DECODER = {"decoder": partial(MLPDecoder, widths=[64]), "likelihood": Gaussian()}


def trainer(epochs, checks=0):
    return Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=checks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of an AE that has learned something, and of a VAE as it was made."""
    folder = tmp_path_factory.mktemp("checkpoints")
    seed_everything(0, verbose=False)
    for family, epochs in ((AE, 10), (VAE, 0)):
        module, run = family(**NET, **DECODER), trainer(epochs)
        run.fit(module, datamodule=Digits(limit=600))
        run.save_checkpoint(folder / f"{family.__name__}.ckpt")
    return folder


@pytest.mark.parametrize("family", ["AE", "VAE"])
def test_encoder_starts_as_it_was_trained_and_gives_the_mean_code(saved, family):
    path = str(saved / f"{family}.ckpt")
    module = Classifier(num_classes=10, pretrained=path, **NET)
    source = {"AE": AE, "VAE": VAE}[family](**NET, **DECODER)
    source.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    x = torch.rand(4, 1, 28, 28)
    assert torch.equal(module.encoder(x)[:, :10], source.encode(x).mu)
    assert torch.equal(module(x), module.head(source.encode(x).mu))
    probs = module.predict_step(Batch(x, torch.zeros(4)), 0)
    assert probs.sum(1).allclose(torch.ones(4))


@pytest.mark.parametrize(("family", "freeze"), [("AE", True), ("VAE", False)])
def test_a_checkpoint_holds_all_that_it_needs(saved, family, freeze, tmp_path):
    """The autoencoder's file may be gone by the time the classifier is loaded, as a download of a worker is."""
    source = tmp_path / "source.ckpt"
    source.write_bytes((saved / f"{family}.ckpt").read_bytes())
    module, run = Classifier(num_classes=10, pretrained=str(source), freeze=freeze, **NET), trainer(1)
    run.fit(module, datamodule=Digits(limit=60))
    run.save_checkpoint(tmp_path / "classifier.ckpt")
    source.unlink()
    loaded, x = load(tmp_path / "classifier.ckpt"), torch.rand(4, 1, 28, 28)
    assert torch.equal(loaded(x), module.eval()(x))


def test_a_code_of_another_size_is_refused(saved):
    """The 20 outputs of the VAE's encoder are not those of a code of 20, nor the AE's 10 two of 5."""
    for family, size in (("VAE", 20), ("AE", 5)):
        with pytest.raises(SettingError, match=rf"latent_dim is {size}, and .* has a code of 10 dimensions"):
            Classifier(num_classes=10, pretrained=str(saved / f"{family}.ckpt"), **(NET | {"latent_dim": size}))


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_encoder_stays_and_the_rest_learns(saved, freeze):
    seed_everything(0, verbose=False)
    module = Classifier(num_classes=10, pretrained=str(saved / "AE.ckpt"), freeze=freeze, **NET)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = trainer(20)
    run.fit(module, datamodule=Digits(batch_size=32, limit=600))
    changed = {
        name.split(".")[0] for name, value in module.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == ({"head"} if freeze else {"head", "encoder"})
    (scores,) = run.test(module, datamodule=Digits(), verbose=False)
    x, y = Digits().split("test")[:]
    with torch.no_grad():
        logits = module(x / 255)
    assert scores["test/accuracy"] == pytest.approx((logits.argmax(1) == y).double().mean().item())
    assert scores["test/loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert scores["test/accuracy"] > 0.5


def test_labelled_samples_are_as_many_of_each_class_and_follow_the_seed():
    def drawn(seed):
        seed_everything(seed, verbose=False)
        return Digits(labels_per_class=3).split("train")

    one, same, other = drawn(0), drawn(0), drawn(1)
    assert one.y.bincount().tolist() == [3] * 10
    assert torch.equal(one.x, same.x)
    assert not torch.equal(one.x, other.x)
    everything = Digits()
    assert len(Digits(labels_per_class=3).split("val")) == len(everything.split("val"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrained": "absent.ckpt"}, r"model\.pretrained absent\.ckpt is not a file: give a checkpoint$"),
        ({"freeze": True}, r"model\.freeze keeps a trained encoder as it is: give its checkpoint as model\.pretrained"),
        ({"num_classes": 0}, "needs labels and the data set has none"),
        ({"latent_dim": 0}, r"model\.latent_dim is 0"),
    ],
)
def test_bad_setting_is_refused(change, message):
    with pytest.raises(SettingError, match=message):
        Classifier(**{**NET, "num_classes": 10, **change})


def test_checkpoint_of_another_net_is_refused(saved):
    net = {**NET, "encoder": partial(MLPEncoder, widths=[32])}
    with pytest.raises(SettingError, match=r"AE\.ckpt does not fit MLPEncoder: give the networks and the latent_dim"):
        Classifier(num_classes=10, pretrained=str(saved / "AE.ckpt"), **net)


def test_truncated_checkpoint_is_refused(saved, tmp_path):
    path = tmp_path / "half.ckpt"
    content = (saved / "AE.ckpt").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SettingError, match=r"half\.ckpt cannot be read as a checkpoint .*it is damaged"):
        Classifier(num_classes=10, pretrained=str(path), **NET)


def half_labelled(limit=64, known=slice(None, None, 2)):
    """Digits of which only these have a label, in every split."""
    data = Digits(limit=limit, batch_size=16)
    for name in SPLITS:
        part = data.split(name)
        y = torch.full_like(part.y, -1)
        y[known] = part.y[known]
        part.y = y
    return data


@pytest.mark.parametrize("checks", [0, 2])
def test_unlabelled_samples_take_no_part(checks):
    """The first batch of validation, which the sanity check reads, has no label."""
    seed_everything(0, verbose=False)
    data, module = half_labelled(known=slice(16, None, 3)), Classifier(num_classes=10, **NET)
    run = trainer(2, checks)
    data.eval_batch_size = 16
    run.fit(module, datamodule=data)
    (scores,) = run.test(module, datamodule=data, verbose=False)
    test = data.split("test")
    with torch.no_grad():
        logits, y = module(test.x[test.y >= 0] / 255), test.y[test.y >= 0]
    assert scores["test/loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert scores["test/accuracy"] == pytest.approx((logits.argmax(1) == y).double().mean().item())


def test_the_loss_of_a_batch_is_the_mean_over_its_labelled_samples():
    module = Classifier(num_classes=10, **NET)
    x, y = torch.rand(6, 1, 28, 28), torch.tensor([1, -1, 2, -1, -1, 3])
    expected = torch.nn.functional.cross_entropy(module(x[y >= 0]), y[y >= 0])
    torch.testing.assert_close(module.training_step(Batch(x, y), 0), expected)
    module.training_step(Batch(x, torch.full_like(y, -1)), 0).backward()
    assert all(p.grad is None or not p.grad.any() for p in module.parameters())


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_labels_is_refused(split):
    data = Digits(limit=64)
    data.split(split).y[:] = -1
    module, run = Classifier(num_classes=10, **NET), trainer(1)
    said = f"64 of 64 samples of the {split} split have no label, but model Classifier needs some"
    with pytest.raises(SettingError, match=said):
        run.test(module, datamodule=data) if split == "test" else run.fit(module, datamodule=data)
    loader = DataLoader(TensorDataset(torch.rand(8, 1, 28, 28)), batch_size=4)
    with pytest.raises(SettingError, match="8 of 8 samples of the train split have no label"):
        trainer(1).fit(module, loader, loader)


def test_more_labels_than_there_are_is_refused():
    with pytest.raises(SettingError, match=r"--data\.labels_per_class is 500 but class 0 has \d+ samples"):
        Digits(labels_per_class=500).split("train")
