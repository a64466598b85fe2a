"""Greedy layer-wise pretraining: what it changes, and that it helps."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn

from lit_ae.callbacks.training.layerwise_pretraining import LayerwisePretraining, blocks, layer_pairs
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.models.rbm import RBM
from lit_ae.models.sparse_ae import SparseAE
from lit_ae.models.vae import VAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvEncoder
from lit_ae.objectives.likelihoods import Gaussian


@pytest.fixture(scope="module")
def digits():
    return Digits(limit=200)


def autoencoder(widths=(48, 24), decoder_widths=None, encoder=MLPEncoder, **settings):
    seed_everything(0, verbose=False)
    return AE(
        input_shape=(1, 28, 28),
        latent_dim=8,
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        encoder=partial(encoder, widths=list(widths), **settings) if encoder is MLPEncoder else encoder,
        decoder=partial(MLPDecoder, widths=list(decoder_widths or widths[::-1]), **settings),
        likelihood=Gaussian(),
    )


def fit(module, digits, *callbacks, epochs=1):
    trainer = Trainer(
        max_epochs=epochs, callbacks=list(callbacks), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=digits)
    return trainer.callback_metrics["val/mse"].item()


def test_blocks_of_an_mlp_and_their_pairs():
    module = autoencoder(norm="batch", dropout=0.1)
    kinds = [[type(layer) for layer in block] for block in blocks(module.encoder.layers)]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert kinds == [hidden, hidden, [nn.Linear]]
    sizes = [(up[0].in_features, up[0].out_features) for up, _ in layer_pairs(module)]
    assert sizes == [(784, 48), (48, 24), (24, 8)]
    assert [(down[0].out_features, down[0].in_features) for _, down in layer_pairs(module)] == sizes


@pytest.mark.parametrize(("method", "activation"), [("autoencoder", "relu"), ("rbm", "sigmoid")])
def test_pretrained_beats_the_same_net_after_the_same_joint_epochs(method, activation, digits):
    plain = fit(autoencoder(activation=activation), digits)
    pretrained = fit(autoencoder(activation=activation), digits, LayerwisePretraining(5, method, lr=3e-3))
    assert pretrained < 0.95 * plain


def test_each_layer_is_trained_on_its_own_on_the_layers_below(monkeypatch):
    module, own, reached = autoencoder(), [], []

    def record(module, optimizer, loss, epochs):
        own.append({id(p) for group in optimizer.param_groups for p in group["params"]})
        module.zero_grad()
        loss(torch.rand(5, 1, 28, 28)).mean().backward()
        reached.append({id(p) for p in module.parameters() if p.grad is not None})
        return [0.0] * epochs

    monkeypatch.setattr("lit_ae.callbacks.training.layerwise_pretraining.descend", record)
    LayerwisePretraining(1).on_train_start(Trainer(logger=False, accelerator="cpu"), module)
    assert [len(parameters) for parameters in own] == [4, 4, 4]
    assert own == reached, "gradients reach the layer's parameters and no others"
    assert set.union(*own) == {id(p) for p in module.parameters()}


def test_rbm_initialises_the_layers():
    rbm, up, down = RBM((6,), 4, torch.optim.SGD), nn.Linear(6, 4), nn.Linear(4, 6)
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_()
    rbm.hand_down(up, down)
    x = torch.rand(3, 6)
    assert torch.allclose(up(x).sigmoid(), rbm.encode(x).mu)
    assert torch.allclose(down(up(x).sigmoid()).sigmoid(), rbm(x))


def test_nets_that_cannot_be_paired_are_refused(digits):
    with pytest.raises(SettingError, match="needs MLPEncoder and MLPDecoder but the model has ConvEncoder and"):
        fit(autoencoder(encoder=ConvEncoder), digits, LayerwisePretraining())
    with pytest.raises(SettingError, match=r"set the decoder's to \[24, 48\]"):
        fit(autoencoder(decoder_widths=(24, 47)), digits, LayerwisePretraining())
    with pytest.raises(SettingError, match=r"LayerwisePretraining\.epochs is 0"):
        LayerwisePretraining(0)
    for family in (VAE, SparseAE):  # a mean and a log variance; a sigmoid on the code
        module = family(
            input_shape=(1, 28, 28), latent_dim=6, likelihood=Gaussian(), encoder=partial(MLPEncoder, widths=[8]),
            decoder=partial(MLPDecoder, widths=[8]),
        )  # fmt: skip
        with pytest.raises(SettingError, match=f"from which {family.__name__} makes its code first"):
            fit(module, digits, LayerwisePretraining())
    for dropout in (-0.1, 1.0):
        with pytest.raises(SettingError, match=rf"LayerwisePretraining\.dropout is {dropout}"):
            LayerwisePretraining(dropout=dropout)
    with pytest.raises(SettingError, match=r"method is rbm and model\.encoder\.input_scale 2\.0"):
        LayerwisePretraining(method="rbm").setup(None, scaled(2.0), "fit")


def scaled(factor):
    seed_everything(0, verbose=False)
    encoder = partial(MLPEncoder, widths=[48, 24], input_scale=factor)
    return AE(input_shape=(1, 28, 28), latent_dim=8, encoder=encoder, decoder=partial(MLPDecoder, widths=[24, 48]))


def losses_of(monkeypatch, module, callback, x):
    """The loss [B] of each layer for samples x, before any training."""
    found = []

    def record(module, optimizer, loss, epochs):
        found.append(loss(x).detach())
        return [0.0] * epochs

    monkeypatch.setattr("lit_ae.callbacks.training.layerwise_pretraining.descend", record)
    callback.on_train_start(Trainer(logger=False, accelerator="cpu"), module)
    return found


def test_layers_see_the_scaled_input_and_reconstruct_the_samples(monkeypatch):
    x = torch.rand(5, 1, 28, 28)
    first, second, _ = losses_of(monkeypatch, scaled(3.0), LayerwisePretraining(1), x)
    module = scaled(1.0)
    up, down = module.encoder.layers, module.decoder.layers
    h = up[1](up[0](3 * x.flatten(1)))
    torch.testing.assert_close(first, (down[4](h).sigmoid() - x.flatten(1)).square().sum(1))
    h2 = up[3](up[2](h))
    torch.testing.assert_close(second, (down[3](down[2](h2)) - h).square().sum(1))


def test_dropout_corrupts_inputs_and_activations_but_not_the_targets(monkeypatch):
    """Kept values are divided by the share that is kept, as in Xie et al. 2016, equations 6 to 9."""
    masks = []

    def halves(values, share, training=True):
        masks.append((torch.arange(values.shape[1]) % 2).to(values.dtype))
        return values * masks[-1] / (1 - share)

    monkeypatch.setattr("lit_ae.callbacks.training.layerwise_pretraining.F.dropout", halves)
    x = torch.rand(5, 1, 28, 28)
    first, *_ = losses_of(monkeypatch, scaled(3.0), LayerwisePretraining(1, dropout=0.2), x)
    module = scaled(1.0)
    h = module.encoder.layers[1](module.encoder.layers[0](3 * x.flatten(1) * masks[0] / 0.8))
    x_hat = module.decoder.layers[4](h * masks[1] / 0.8).sigmoid()
    torch.testing.assert_close(first, (x_hat - x.flatten(1)).square().sum(1))
