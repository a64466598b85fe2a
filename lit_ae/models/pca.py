"""Principal component analysis: the linear baseline."""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from lit_ae.data.containers import Batch, Shape
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.precision import full_precision
from lit_ae.objectives.likelihoods import Gaussian, Pixels

MAX_FEATURES = 16_384  # whose covariance takes 2 GB


class PCA(ClosedFormModule):
    """Principal component analysis: z = V(x - m), x_hat = Vᵀz + m, the optimum of a linear autoencoder in closed form.

    Baldi & Hornik 1989. V [D, N] holds the leading eigenvectors of the covariance of the training data, and m is the
    mean of these data.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: number D of components.
        pixels: whether the squared error is the sum or the mean over pixels.

    Raises:
        SettingError: more components than features, or so many features that their covariance would be too large.
    """

    def __init__(self, input_shape: Shape, latent_dim: int = 16, pixels: Pixels = "sum") -> None:
        linear = partial(MLPEncoder, widths=[]), partial(MLPDecoder, widths=[])
        super().__init__(input_shape, latent_dim, torch.optim.SGD, *linear, Gaussian(pixels, "linear"))
        features = math.prod(input_shape)
        if latent_dim > features:
            raise SettingError(f"model.latent_dim is {latent_dim} but samples have {features} features: lower it")
        if features > MAX_FEATURES:
            raise SettingError(f"PCA takes at most {MAX_FEATURES:,} features, the data have {features:,}: select some")

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Codes V(x - m) [B, D]; in half precision the difference of Vx and Vm would lose most of its digits."""
        with full_precision(x.device):
            return super().encode(x, y)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstructions Vᵀz + m [B, *input_shape] of codes [B, D]."""
        with full_precision(z.device):
            return super().raw(z, y)

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
        components = components * largest.sign()  # fixes the sign, which otherwise depends on the solver
        for net, weight, bias in (
            (self.encoder, components, -components @ mean),
            (self.decoder, components.T, mean),
        ):
            (linear,) = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
