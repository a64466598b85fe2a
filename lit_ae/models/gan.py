"""Generative adversarial network."""

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.containers import Batch, Shape
from lit_ae.models.adversarial import AdversarialModule, adversary
from lit_ae.models.base import Stage
from lit_ae.nets import DecoderFactory, EncoderFactory, MLPEncoder
from lit_ae.objectives.likelihoods import Likelihood


class GAN(AdversarialModule):
    """Generative adversarial network: a generator z → x, z ~ N(0, I), against a discriminator (Goodfellow et al. 2014).

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the noise.
        generator_optimizer: null: Adam with a learning rate of 2e-4 and β₁ = 0.5 (Radford et al. 2016).
        discriminator_optimizer: null: the same as for the generator.
        decoder: builds the generator from (latent_dim, input_shape); null: an MLP with one hidden layer of 256 units,
            or of latent_dim if that is larger.
        discriminator: builds the discriminator from (input_shape, 1); null: an MLP with one hidden layer of 256 units.
        likelihood: interprets the generator's raw output; null: a sigmoid for images, otherwise no activation.
    """

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int = 16,
        generator_optimizer: OptimizerCallable | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
        decoder: DecoderFactory | None = None,
        discriminator: EncoderFactory | None = None,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__(input_shape, latent_dim, likelihood, decoder)
        self.generator_optimizer = generator_optimizer or adversary
        self.discriminator_optimizer = discriminator_optimizer or adversary
        self.discriminator = (discriminator or MLPEncoder)(self.input_shape, 1)

    def contest(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Real samples x and generated samples G(z), z ~ N(0, I), both [B, *shape]."""
        z = torch.randn(len(batch.x), self.latent_dim, device=batch.x.device)
        return batch.x, self.decode(z)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The discriminator's step and then the generator's, on the same generated samples."""
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
