"""Generative adversarial network."""

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lit_ae.data.base import Batch
from lit_ae.likelihoods import Likelihood
from lit_ae.models.adversarial import AdversarialModule
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
