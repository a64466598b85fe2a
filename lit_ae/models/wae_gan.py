"""Wasserstein autoencoder with a discriminator of its codes."""

from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.adversarial import AdversarialModule, adversary
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets import EncoderFactory, MLPEncoder


class WAEGAN(ReconstructionModule, AdversarialModule):
    """Wasserstein autoencoder (WAE-GAN): penalty -λ log D(z), where D distinguishes codes from draws from N(0, I).

    Tolstikhin et al. 2018, algorithm 1. It differs from other reconstruction modules only in training, where the codes
    of a batch serve the steps of both players. The autoencoder's step comes first, whereas the paper's algorithm starts
    with the discriminator's; the alternation is the same. If D cannot distinguish them (D = ½), the penalty is λ log 2.

    Args:
        optimizer: optimiser of encoder and decoder; null: Adam with a learning rate of 1e-3.
        discriminator: builds the discriminator from ((latent_dim,), 1); null: an MLP with one hidden layer of 256
            units.
        discriminator_optimizer: null: Adam with a learning rate of 2e-4 and β₁ = 0.5.
        weight: weight λ of the penalty.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, or an `lr_scheduler` is set, which the two optimisers would not follow.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable | None = None,
        discriminator: EncoderFactory | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
        weight: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(optimizer=optimizer, **kwargs)
        if self.lr_scheduler is not None:
            raise SettingError("model.lr_scheduler is set, but WAEGAN steps two optimisers by itself: leave it out")
        require_at_least(0, "model.{}", weight=weight)
        self.weight = weight
        self.discriminator = (discriminator or MLPEncoder)((self.latent_dim,), 1)
        self.generator_optimizer = self.optimizer
        self.discriminator_optimizer = discriminator_optimizer or adversary

    configure_optimizers = AdversarialModule.configure_optimizers  # type: ignore[assignment]

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """-λ log D(z) of each sample, [B]."""
        return self.weight * self.generator_loss(latent.z)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The autoencoder's step, whose loss is returned, and then the discriminator's."""
        autoencoder, discriminator = self.optimizers()  # type: ignore[attr-defined]
        with self.frozen_discriminator():
            r = self._step(batch, "train")
            loss = r.loss
            self.descend(autoencoder, "autoencoder_loss", loss)
        z = r.latent.z.detach()
        self.descend(discriminator, "discriminator_loss", self.discriminator_loss(torch.randn_like(z), z))
        return loss.mean().detach()
