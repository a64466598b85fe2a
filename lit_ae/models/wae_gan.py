"""Wasserstein autoencoder with a discriminator of its codes."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.adversarial_codes import AdversarialCodes
from lit_ae.models.base import Latent


class WAEGAN(AdversarialCodes):
    """Wasserstein autoencoder (WAE-GAN): penalty -λ log D(z), where D distinguishes codes from draws from N(0, I).

    Tolstikhin et al. 2018, algorithm 1. It differs from other reconstruction modules only in training, where the codes
    of a batch serve the steps of both players. The autoencoder's step comes first, whereas the paper's algorithm starts
    with the discriminator's; the alternation is the same. If D cannot distinguish them (D = ½), the penalty is λ log 2.

    Args:
        weight: weight λ of the penalty.
        kwargs: as for `AdversarialCodes`.

    Raises:
        SettingError: `weight` negative, or an `lr_scheduler` is set, which the two optimisers would not follow.
    """

    def __init__(self, weight: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", weight=weight)
        self.weight = weight

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """-λ log D(z) of each sample, [B]."""
        return self.weight * self.generator_loss(latent.z)

    def real_and_fake(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Draws from N(0, I), and the codes."""
        return torch.randn_like(z), z
