"""Trainings on one's own loader, in evaluation mode at first, in several processes, and on data that do not fit."""

import pytest
import torch
from lightning.pytorch import Callback
from test_ddp import clean_process  # noqa: F401 - a fixture
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lit_ae.callbacks.training.l1_penalty import L1Penalty
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits, no_labels
from lit_ae.errors import SettingError
from lit_ae.models import AE, DEC, NMN, PCA, RBM, VAE, VQVAE, WAE, BetaTCVAE, ConditionalAE, DenoisingAE, SparseAE
from lit_ae.models.classifier import Classifier
from lit_ae.models.hopfield import Hopfield
from lit_ae.nets import Decoder, Encoder, MLPEncoder
from lit_ae.nets.batch_norm import refuse_batch_of_one
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.objectives.corruptions import SaltAndPepper
from lit_ae.testing.subject import plain_trainer

X = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0.7).long()


class Given(BaseDataModule):
    """The same samples in each split."""

    name = "given"
    num_classes = 0

    def __init__(self, x, batch_size=16):
        super().__init__(batch_size=batch_size)
        self.x, self.input_shape = x, tuple(x.shape[1:])

    def load(self):
        return Splits(*[ArrayDataset(self.x, no_labels(len(self.x)))] * 3)


def loader(x=X, y=Y, size=16, shuffle=False):
    return DataLoader(TensorDataset(x, y), size, shuffle=shuffle)


def build(family, **settings):
    torch.manual_seed(0)
    return family(**{"input_shape": (6,), "latent_dim": 2, **settings})


# -- mode --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: build(VQVAE, entries=8, entry_dim=1),
        lambda: build(VAE, free_bits=3.0),
        lambda: build(AE, encoder=lambda shape, n: MLPEncoder(shape, n, dropout=0.5)),
    ],
)
def test_a_model_that_was_loaded_for_evaluation_is_trained_in_training_mode(make):
    ends = []
    for prepare in (nn.Module.train, nn.Module.eval):
        module = prepare(make())
        torch.manual_seed(1)
        plain_trainer().fit(module, loader())
        ends.append(module.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_part_that_is_set_to_evaluation_stays_so():
    module = build(AE, encoder=lambda shape, n: MLPEncoder(shape, n, dropout=0.5))
    module.encoder.eval()
    plain_trainer().fit(module, loader())
    assert module.training
    assert not module.encoder.training


# -- several processes -------------------------------------------------------------------------------------------------


class Kept(Callback):
    """Writes what each process has at the end."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), self.folder / f"{trainer.global_rank}.pt")


def in_two_processes(module, train, folder):
    """The weights that each process has at the end."""
    plain_trainer(strategy="ddp_fork", devices=2, callbacks=[Kept(folder)]).fit(module, train)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: build(PCA),
        lambda: build(DEC, clusters=2, pretrain_epochs=1, tolerance=0),
        lambda: build(ConditionalAE, num_classes=2),
        lambda: build(VQVAE, entries=32, entry_dim=1),
    ],
    ids=["PCA", "DEC", "ConditionalAE", "VQVAE"],
)
def test_processes_have_one_model_of_all_samples_of_a_plain_loader(make, tmp_path, clean_process):  # noqa: F811
    module = make()
    first, second = in_two_processes(module, loader(shuffle=True), tmp_path)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    if isinstance(module, PCA):
        torch.testing.assert_close(first["decoder.layers.0.bias"], X.mean(0))
    if isinstance(module, ConditionalAE):
        torch.testing.assert_close(first["decoder.frequencies"], torch.bincount(Y) / len(Y))


def test_a_frozen_encoder_takes_no_part_in_two_processes(tmp_path, clean_process):  # noqa: F811
    autoencoder = build(AE)
    trainer = plain_trainer()
    trainer.fit(autoencoder, loader())
    trainer.save_checkpoint(tmp_path / "ae.ckpt")
    classifier = build(Classifier, num_classes=2, pretrained=str(tmp_path / "ae.ckpt"), freeze=True)
    first, second = in_two_processes(classifier, loader(), tmp_path)
    assert torch.equal(first["head.weight"], second["head.weight"])
    for name, value in autoencoder.encoder.state_dict().items():
        assert torch.equal(first[f"encoder.{name}"], value)


# -- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: build(WAE), lambda: build(SparseAE), lambda: build(BetaTCVAE)])
@pytest.mark.parametrize("own", [True, False], ids=["a plain loader", "a data module"])
def test_batches_of_one_are_refused(make, own):
    given = {"train_dataloaders": loader(size=1)} if own else {"datamodule": Given(X, batch_size=1)}
    with pytest.raises(SettingError, match=r"batch_size is 1, but the penalty of \w+ compares"):
        plain_trainer().fit(make(), **given)


def test_the_number_of_samples_has_to_be_known():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter(zip(X, Y, strict=True))

    with pytest.raises(SettingError, match="BetaTCVAE needs the number of training samples"):
        plain_trainer().fit(build(BetaTCVAE), DataLoader(Endless(), 16))


@pytest.mark.parametrize("x", [2 * X - 1, 10 + X])
def test_a_hopfield_network_and_salt_and_pepper_take_pixels_alone(x):
    for module in (build(Hopfield), build(DenoisingAE, corruption=SaltAndPepper())):
        with pytest.raises(SettingError, match="values from"):
            plain_trainer().fit(module, loader(x))
        with pytest.raises(SettingError, match="values from"):
            plain_trainer().fit(module, datamodule=Given(x))
    plain_trainer().fit(build(Hopfield), loader())
    plain_trainer().fit(build(DenoisingAE, corruption=SaltAndPepper()), loader())


def test_l1_is_that_of_an_rbm_and_refused_where_there_are_no_weights():
    penalty = L1Penalty(1e3)
    plain_trainer(callbacks=[penalty]).fit(build(RBM), loader())
    assert len(penalty.weights) == 1

    class Shifted(AE):
        def __init__(self, **kwargs):
            super().__init__(encoder=Shift, decoder=Back, **kwargs)

    with pytest.raises(SettingError, match="L1Penalty finds no weights of layers in Shifted"):
        plain_trainer(callbacks=[penalty]).fit(build(Shifted, latent_dim=6), loader())


class Shift(Encoder):
    def __init__(self, input_shape, out_features):
        super().__init__(input_shape, out_features)
        self.shift = nn.Parameter(torch.zeros(out_features))

    def forward(self, x):
        return x + self.shift


class Back(Decoder):
    def forward(self, z):
        return z


def test_an_nmn_has_no_further_layers():
    shapes = [tuple(p.shape) for p in build(NMN, latent_dim=3).parameters()]
    assert sorted(shapes) == [(3,), (3, 6), (6,), (6, 3)]


def test_a_decoder_without_channels_is_refused():
    with pytest.raises(SettingError, match=r"ConvDecoder\.channels is empty"):
        ConvDecoder(2, (1, 8, 8), channels=[])


@pytest.mark.parametrize(("n", "processes", "fits"), [(33, 1, False), (33, 2, True), (65, 2, False), (64, 1, True)])
def test_a_batch_of_one_of_each_process_cannot_be_normalised(n, processes, fits):
    module = build(AE, encoder=lambda shape, d: MLPEncoder(shape, d, norm="batch"))
    data = Given(X.repeat(2, 1)[:n], batch_size=32)
    if fits:
        refuse_batch_of_one(module, data, processes)
        return
    with pytest.raises(SettingError, match=r"data\.batch_size is 32, which makes a batch of one"):
        refuse_batch_of_one(module, data, processes)


@pytest.mark.parametrize(("channels", "fits"), [([4, 4], True), ([4, 4, 4], False)])
def test_a_map_of_one_pixel_cannot_be_normalised_over_a_batch_of_one(channels, fits):
    """Images of 8 x 8: three layers leave one pixel, of which a batch of one has no variance."""
    module = AE((1, 8, 8), 2, encoder=lambda shape, d: ConvEncoder(shape, d, channels=channels, norm="batch"))
    data = Given(torch.rand(17, 1, 8, 8))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    if fits:
        refuse_batch_of_one(module, data)
    else:
        with pytest.raises(SettingError, match="makes a batch of one"):
            refuse_batch_of_one(module, data)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
