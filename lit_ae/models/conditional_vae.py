"""Conditional variational autoencoder, whose encoder and decoder are given the class."""

from typing import Any

import torch
from torch import Tensor, nn

from lit_ae.models.base import Latent
from lit_ae.models.conditional_ae import ConditionalAE
from lit_ae.models.vae import VAE


class ConditionalVAE(ConditionalAE, VAE):
    """Conditional variational autoencoder: p(x | z, y) and q(z | x, y) with the prior N(0, I) for every class.

    Sohn et al. 2015, equation 4. The encoder sees x + e_y, where e_y is a learned array of x's shape for each class. A
    linear first layer computes W x + W e_y from it, which is what it would compute from x concatenated with a one-hot
    label; unlike a concatenation this also works with convolutions.

    Args:
        kwargs: as for `ConditionalAE` and `VAE`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift = nn.Parameter(torch.zeros(self.classes, *self.input_shape))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """μ(x, y), log σ²(x, y) and a draw, all [B, D], of x [B, *shape] with labels y [B]."""
        return super().encode(x + self.shift[self.needed(y)])
