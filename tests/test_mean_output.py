"""The decoder's output starts at the mean of the training samples."""

from types import SimpleNamespace

import pytest
import torch

from lit_ae import tracking
from lit_ae.callbacks.training.mean_output import MeanOutput
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.nets.mlp import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import EDGE, Bernoulli, Categorical, Gaussian, Huber

SHAPE = (1, 8, 8)


class Made(BaseDataModule):
    """2,500 images, bytes or floats in [0, 1], of which the first pixel is always 0 and the last always 1."""

    name, input_shape = "made", SHAPE

    def __init__(self, dtype=torch.uint8, **kwargs):
        super().__init__(**kwargs)
        x = torch.randint(0, 256, (2500, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        x[:, 0, 0, 0], x[:, 0, 7, 7] = 0, 255
        self.x = x if dtype == torch.uint8 else x / 255

    def load(self):
        return Splits(*(ArrayDataset(self.x, torch.zeros(len(self.x), dtype=torch.int64)) for _ in range(3)))


def begun(module, data, ckpt_path=None):
    MeanOutput().on_fit_start(SimpleNamespace(datamodule=data, ckpt_path=ckpt_path), module)
    return module


def autoencoder(likelihood, encoder=MLPEncoder, decoder=MLPDecoder):
    return AE(input_shape=SHAPE, latent_dim=3, likelihood=likelihood, encoder=encoder, decoder=decoder)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Gaussian(), Gaussian(output="linear"), Gaussian(output="tanh"), Huber()]
)
def test_an_output_that_ignores_the_code_is_the_mean(likelihood, dtype):
    data = Made(dtype)
    data.setup("fit")
    module = autoencoder(likelihood)
    torch.nn.init.zeros_(module.decoder.layers[-1].weight)
    begun(module, data)
    mean = (data.x.double() / (255 if dtype == torch.uint8 else 1)).mean(0)
    found = module.likelihood.mean(module.raw(torch.randn(5, 3), None)).double()
    torch.testing.assert_close(found, mean.expand(5, *SHAPE), rtol=0, atol=1.1 * EDGE)
    assert (found - mean).abs()[:, 0, 1:7].max() < 1e-6  # except at the edge, which no sigmoid reaches


def test_a_training_that_goes_on_keeps_its_weights():
    module = autoencoder(Bernoulli())
    before = module.decoder.layers[-1].bias.clone()
    begun(module, Made(), ckpt_path="last.ckpt")
    assert torch.equal(module.decoder.layers[-1].bias, before)


def test_another_decoder_is_refused():
    data = Made()
    data.setup("fit")
    with pytest.raises(SettingError, match=r"MeanOutput needs a decoder whose last layer is linear.*AE has none"):
        begun(autoencoder(Bernoulli(), ConvEncoder, ConvDecoder), data)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(output="tanh"), Gaussian(output="linear"), Categorical()])
def test_raw_is_the_inverse_of_the_mean_image(likelihood):
    x = torch.rand(7, 1, 4, 4, dtype=torch.float64).clamp(2 * EDGE, 1 - 2 * EDGE)
    x = x / x.sum((1, 2, 3), keepdim=True) if isinstance(likelihood, Categorical) else x
    torch.testing.assert_close(likelihood.mean(likelihood.raw(x)), x, rtol=0, atol=1e-3 if x.min() < EDGE else 1e-12)
    assert likelihood.raw(torch.tensor([[0.0, 1.0]])).isfinite().all()


def test_a_vae_begins_at_the_mean_on_the_command_line(store, lit_ae, settings, tmp_path):
    """The first epoch's loss is far below that of grey images."""
    fit = ("fit", *settings("vae_bernoulli"), "--data.binarise=true")
    assert lit_ae(*fit) == 0
    assert lit_ae(*fit, "--config", "mean_output") == 0
    begun_there, plain = tracking.search("lit_ae")
    assert begun_there.metrics["train/loss"] < 0.8 * plain.metrics["train/loss"]
