"""Principal component analysis: the linear baseline."""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.likelihoods import Gaussian, Pixels
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.nets import MLPDecoder, MLPEncoder, Shape

MAX_FEATURES = 16_384  # a covariance of 2 GB


class PCA(ClosedFormModule):
    """z = V(x - m), x_hat = Vᵀz + m: the linear autoencoder's optimum (Baldi & Hornik 1989), found without gradient.

    V [D, N] holds the leading eigenvectors of the training data's covariance, m their mean.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number D of components.
        pixels: whether the squared error sums over pixels or is their mean.

    Raises:
        SettingError: more components than features, or more features than a covariance can be held of.
    """

    def __init__(self, input_shape: Shape, latent_dim: int, pixels: Pixels = "sum") -> None:
        linear = partial(MLPEncoder, widths=[]), partial(MLPDecoder, widths=[])
        super().__init__(input_shape, latent_dim, torch.optim.SGD, *linear, Gaussian(pixels, "linear"))
        features = math.prod(input_shape)
        if latent_dim > features:
            raise SettingError(f"model.latent_dim is {latent_dim} but samples have {features} features: lower it")
        if features > MAX_FEATURES:
            raise SettingError(f"PCA takes at most {MAX_FEATURES:,} features, the data have {features:,}: select some")

    def solve(self, batches: Iterator[Batch]) -> None:
        """Mean and covariance in double precision, then one symmetric eigenproblem."""
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for x, _ in batches:
            flat = x.flatten(1).double().cpu()  # [B, N]
            count, total, square = count + len(flat), total + flat.sum(0), square + flat.T @ flat
        mean = total / count
        vectors = torch.linalg.eigh(square / count - mean.outer(mean)).eigenvectors  # [N, N], eigenvalues rising
        components = vectors.flip(1)[:, : self.latent_dim].T  # [D, N]
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        components = components * largest.sign()  # of the two signs the one that does not depend on the solver
        for net, weight, bias in (
            (self.encoder, components, -components @ mean),
            (self.decoder, components.T, mean),
        ):
            (linear,) = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
