"""What the tests of pages in a browser share, and models for the explorer that need no training."""

from functools import partial

import torch

from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.digits import Digits
from lit_ae.explorer import page
from lit_ae.explorer.subjects import described
from lit_ae.models import GAN, VAE, VQVAE, ConditionalVAE, VampPriorVAE
from lit_ae.models.ae import AE
from lit_ae.models.rbm import RBM
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.nets.dcgan import DCGANGenerator
from lit_ae.nets.report_conv import ReportConvDecoder, ReportConvEncoder
from lit_ae.objectives.likelihoods import Bernoulli, Categorical, Gaussian

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1400, "height": 900}
GREY, COLOUR = (1, 28, 28), (3, 21, 18)  # 21 x 18 is cropped and padded


class Made(Digits):
    """Data of any shape, drawn at random, with labels and two factors; of bytes if they are images."""

    name = "made"
    factor_names = ("height", "tilt")

    def __init__(self, shape, classes=3, n=60, **settings):
        super().__init__(**settings)
        self.input_shape, self.num_classes, self.n = shape, classes, n
        self.class_names = tuple(f"kind {k}" for k in range(classes))

    def load(self):
        generator = torch.Generator().manual_seed(3)
        y = torch.arange(self.n) % self.num_classes
        x = torch.rand(self.n, *self.input_shape, generator=generator) / 2 + (y / 6).view(
            -1, *(1 for _ in self.input_shape)
        )
        x = (255 * x).byte() if len(self.input_shape) == 3 else x
        factors = torch.rand(self.n, 2, generator=generator)
        return Splits(*(ArrayDataset(x[part::3], y[part::3], factors[part::3]) for part in range(3)))


def _mlps(**settings):
    return {
        "encoder": partial(MLPEncoder, widths=[24, 16], **settings),
        "decoder": partial(MLPDecoder, widths=[16, 24], **settings),
    }


def _convs(norm="none", activation="relu"):
    settings = {"norm": norm, "activation": activation}
    return {
        "encoder": partial(ConvEncoder, channels=[4, 6], **settings),
        "decoder": partial(ConvDecoder, channels=[6, 4], **settings),
    }


REPORT_CONVS = {
    "encoder": partial(ReportConvEncoder, channels=[3, 4]),
    "decoder": partial(ReportConvDecoder, channels=[4, 3]),
}
# Each kind of network and family whose code and decoding the page computes itself
MODELS = {
    "tanh": lambda: AE(COLOUR, 5, **_mlps(activation="tanh", dropout=0.2)),
    "scaled input": lambda: AE(GREY, 3, encoder=partial(MLPEncoder, widths=[12], input_scale=2.5)),
    "layer norm": lambda: VAE(input_shape=GREY, latent_dim=6, **_mlps(activation="elu", norm="layer")),
    "batch norm": lambda: VAE(input_shape=(9,), latent_dim=4, **_mlps(activation="leaky_relu", norm="batch")),
    "linear": lambda: AE((9,), 3, likelihood=Gaussian(output="tanh"), **_mlps(activation="sigmoid")),
    "softmax": lambda: AE((9,), 3, likelihood=Categorical()),
    "conv": lambda: VAE(input_shape=COLOUR, latent_dim=4, likelihood=Bernoulli(), **_convs()),
    "learned prior": lambda: VampPriorVAE(
        input_shape=COLOUR, latent_dim=4, components=5, likelihood=Bernoulli(), **_convs()
    ),
    "conv batch norm": lambda: AE(GREY, 4, **_convs("batch", "leaky_relu")),
    "report conv": lambda: AE(COLOUR, 4, **REPORT_CONVS),
    "dcgan": lambda: GAN(input_shape=GREY, latent_dim=5, decoder=partial(DCGANGenerator, width=3)),
    "conditional": lambda: ConditionalVAE(num_classes=3, input_shape=(9,), latent_dim=4),
    "vector-quantised": lambda: VQVAE(input_shape=(9,), latent_dim=8, entries=7, entry_dim=4),
    "rbm": lambda: RBM(input_shape=(9,), latent_dim=6),
}


def model(name, seed=0):
    """A model of `MODELS` in evaluation mode, with weights that make its outputs differ and statistics of norms."""
    torch.manual_seed(seed)
    made = MODELS[name]().eval()
    scale = 6 if name == "dcgan" else 1.5  # whose weights start small
    with torch.no_grad():
        for key, value in made.state_dict().items():
            if value.is_floating_point() and "codebook" not in key and "counts" not in key:
                value.mul_(scale).add_(0.05 * (torch.rand(value.shape) - 0.5))
    return made


def subject(made, data, title="made", maps=()):
    """What the page shows of a model."""
    return described(title, title, made, data, samples=500, maps=maps)


def page_file(path, subjects, data, served=False):
    """The page of these subjects as a file."""
    if served:
        path.write_text(page.served(subjects, data), encoding="utf-8")
    else:
        page.write(subjects, data, path)
    return path
