"""Generative adversarial network."""

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.base import Batch
from lit_ae.likelihoods import Likelihood
from lit_ae.models.adversarial import AdversarialModule
from lit_ae.models.base import Stage
from lit_ae.nets import DecoderFactory, EncoderFactory, Shape


class GAN(AdversarialModule):
    """Generator z ~ N(0, I) → x against a discriminator real / fake (Goodfellow et al. 2014).

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the noise.
        decoder: builds the generator from (latent_dim, input_shape).
        discriminator: builds the discriminator from (input_shape, 1).
        likelihood: reads the generator's raw output as an image.
        generator_optimizer: from YAML, no default.
        discriminator_optimizer: from YAML, no default.
    """

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int,
        generator_optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable,
        decoder: DecoderFactory,
        discriminator: EncoderFactory,
        likelihood: Likelihood,
    ) -> None:
        super().__init__(input_shape, latent_dim, likelihood, decoder)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.discriminator = discriminator(self.input_shape, 1)

    def contest(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images x and G(z), z ~ N(0, I), both [B, *shape]."""
        z = torch.randn(len(batch.x), self.latent_dim, device=batch.x.device)
        return batch.x, self.decode(z)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The discriminator's step, then the generator's, on images that are made once for both."""
        generator, discriminator = self.optimizers()  # type: ignore[attr-defined]
        real, fake = self.contest(batch)
        d_loss = self.discriminator_loss(real, fake.detach())
        self.descend(discriminator, "discriminator_loss", d_loss)
        with self.frozen_discriminator():
            g_loss = self.generator_loss(fake)
            self.descend(generator, "generator_loss", g_loss)
        self.track("train", generator_loss=g_loss, discriminator_loss=d_loss)

    def _evaluate(self, batch: Batch, stage: Stage) -> None:
        real, fake = self.contest(batch)
        losses = self.generator_loss(fake), self.discriminator_loss(real, fake)
        self.track(stage, generator_loss=losses[0], discriminator_loss=losses[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Both losses on held-out data."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Both losses on held-out data."""
        self._evaluate(batch, "test")
