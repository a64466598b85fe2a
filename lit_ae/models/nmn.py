"""The N-M-N encoder network."""

from typing import Any

from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import Shape


class NMN(ReconstructionModule):
    """N units in and out through M = `latent_dim` sigmoid units (Ackley, Hinton & Sejnowski 1985; 8-3-8, 5-2-5).

    Args:
        input_shape: (N,), linked from the data module.
        kwargs: as for `ReconstructionModule`; the likelihood is meant to be `Categorical`.

    Raises:
        SettingError: the data are no vectors.
    """

    def __init__(self, input_shape: Shape, **kwargs: Any) -> None:
        super().__init__(input_shape=input_shape, **kwargs)
        if len(input_shape) != 1:
            raise SettingError(
                f"NMN takes one-hot vectors but the data set gives {tuple(input_shape)}: use configs/data/one_hot.yaml"
            )

    def encode(self, x: Tensor) -> Latent:
        """Activities of the M units, [B, M]."""
        mu = self.encoder(x).sigmoid()
        return Latent(mu, None, mu)
