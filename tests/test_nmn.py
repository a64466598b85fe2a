"""The N-M-N network and its data."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lit_ae.callbacks.scores.hidden_codes import HiddenCodes, table
from lit_ae.data.one_hot import OneHot
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models.nmn import NMN
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Categorical


def network(n, m):
    linear = {"encoder": partial(MLPEncoder, widths=[]), "decoder": partial(MLPDecoder, widths=[])}
    adam = partial(torch.optim.Adam, lr=0.1)
    return NMN(input_shape=(n,), latent_dim=m, optimizer=adam, likelihood=Categorical(), **linear)


@pytest.mark.parametrize(("n", "m"), [(8, 3), (5, 2)])
def test_network_memorises_its_vectors_by_distinct_codes(n, m):
    seed_everything(0, verbose=False)
    module, data = network(n, m), OneHot(n, batch_size=n)
    trainer = Trainer(
        max_epochs=5, callbacks=[Evaluation(), HiddenCodes()], accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    (scores,) = trainer.test(module, datamodule=data, verbose=False)
    assert scores["test/memorised"] == 1
    codes = module.encode(torch.eye(n)).mu
    assert codes.shape == (n, m)
    assert torch.pdist(codes).min() > 0.2


def test_every_split_holds_the_same_vectors():
    data = OneHot(4, repeats=3)
    assert data.input_shape == (4,)
    assert torch.equal(data.split("train").x, torch.eye(4).repeat(3, 1))
    assert torch.equal(data.split("val").x, torch.eye(4))
    assert torch.equal(data.split("test").x, torch.eye(4))
    assert data.split("train").y.tolist() == [-1] * 12


def test_table_shows_every_code():
    figure = table(torch.tensor([[0.0, 1.0], [0.25, 0.5], [1.0, 1.0]]), "codes")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.00", "1.00", "0.25", "0.50", "1.00", "1.00"]


@pytest.mark.parametrize("setting", [{"n": 1}, {"repeats": 0}])
def test_settings_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(SettingError, match=rf"data\.{name} is \d: it must be at least"):
        OneHot(**setting)


def test_images_are_refused():
    with pytest.raises(SettingError, match="NMN takes one-hot vectors"):
        NMN(
            input_shape=(1, 8, 8), latent_dim=2, optimizer=None, encoder=MLPEncoder, decoder=MLPDecoder, likelihood=None
        )
