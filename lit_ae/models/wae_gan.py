"""Wasserstein autoencoder with an adversary on its codes."""

from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.models.adversarial import AdversarialModule
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import EncoderFactory


class WAEGAN(ReconstructionModule, AdversarialModule):
    """Penalty -λ log D(z), with D trained to tell codes from draws of N(0, I) (Tolstikhin et al. 2018, algorithm 1).

    A reconstruction module in every respect but training, where each batch's codes serve both players. The
    autoencoder moves first, where the algorithm has the discriminator first: the same alternation, a half-step on.
    At chance the penalty is λ log 2.

    Args:
        weight: λ.
        discriminator: builds the discriminator from ((latent_dim,), 1): an MLPEncoder.
        optimizer: of encoder and decoder.
        discriminator_optimizer: from YAML, no default.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, or an `lr_scheduler`, which its two optimisers do not follow.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        discriminator: EncoderFactory,
        discriminator_optimizer: OptimizerCallable,
        weight: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(optimizer=optimizer, **kwargs)
        if self.lr_scheduler is not None:
            raise SettingError("model.lr_scheduler is set, but WAEGAN steps two optimisers by itself: leave it out")
        if weight < 0:
            raise SettingError(f"model.weight is {weight}: it must not be negative")
        self.weight = weight
        self.discriminator = discriminator((self.latent_dim,), 1)
        self.generator_optimizer, self.discriminator_optimizer = optimizer, discriminator_optimizer

    configure_optimizers = AdversarialModule.configure_optimizers  # type: ignore[assignment]

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """-λ log D(z) of each sample, [B]."""
        return self.weight * self.generator_loss(latent.z)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The autoencoder's step, then the discriminator's; the former's loss."""
        autoencoder, discriminator = self.optimizers()  # type: ignore[attr-defined]
        with self.frozen_discriminator():
            r = self._step(batch, "train")
            loss = r.loss
            self.descend(autoencoder, "autoencoder_loss", loss)
        z = r.latent.z.detach()
        self.descend(discriminator, "discriminator_loss", self.discriminator_loss(torch.randn_like(z), z))
        return loss.mean().detach()
