"""The N-M-N encoder network."""

from functools import partial
from typing import Any

from torch import Tensor

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Categorical, Likelihood


class NMN(ReconstructionModule):
    """N-M-N encoder network, such as 8-3-8: N inputs and N outputs through M = `latent_dim` sigmoid units.

    Ackley, Hinton & Sejnowski 1985.

    Args:
        input_shape: shape (N,) of one sample, linked from the data module.
        likelihood: interprets the decoder's raw output; null: `Categorical`.
        kwargs: as for `ReconstructionModule`; without `encoder` and `decoder` there are no further layers.

    Raises:
        SettingError: the samples are not vectors.
    """

    def __init__(self, input_shape: Shape, likelihood: Likelihood | None = None, **kwargs: Any) -> None:
        direct = {"encoder": partial(MLPEncoder, widths=[]), "decoder": partial(MLPDecoder, widths=[])}
        kwargs |= {name: part for name, part in direct.items() if kwargs.get(name) is None}
        super().__init__(input_shape=input_shape, likelihood=likelihood or Categorical(), **kwargs)
        if len(input_shape) != 1:
            raise SettingError(
                f"NMN takes one-hot vectors but the data set gives {tuple(input_shape)}: use configs/data/one_hot.yaml"
            )

    def memorised(self, x: Tensor) -> Tensor:
        """Whether the largest output for each of x [N, N] is the one that x sets to 1, [N] bool."""
        right: Tensor = self(x).argmax(1) == x.argmax(1)
        return right

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Activations of the M units, [B, M]."""
        mu = self.encoder(x).sigmoid()
        return Latent(mu, None, mu)
