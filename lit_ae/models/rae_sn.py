"""Regularised autoencoder with a decoder of bounded slope."""

from typing import Any

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from lit_ae.models.rae import RAE


class RAESN(RAE):
    """RAE whose decoder is regularised by spectral normalisation in place of L_REG (Ghosh et al. 2020, section 3.1).

    The weights of each of its linear and convolutional layers are divided by their largest singular value, which power
    iteration follows during training (Miyato et al. 2018, algorithm 1), so that reconstructions by an MLP
    differ by no more than their codes.

    Args:
        beta: weight β of ½‖z‖².
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `beta` negative.
    """

    def __init__(self, beta: float = 1e-2, **kwargs: Any) -> None:
        super().__init__(beta=beta, weight=0.0, **kwargs)
        for layer in list(self.decoder.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                spectral_norm(layer)
