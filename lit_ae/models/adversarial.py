"""Two optimisers that play against each other, once for every adversarial family."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from lit_ae.data.base import Batch
from lit_ae.models.base import GenerativeModule


def real_logit_loss(logits: Tensor) -> Tensor:
    """-log D of each sample [B, 1] → [B]: the discriminator's on real, the generator's (non-saturating) on fake."""
    return F.softplus(-logits).flatten()


def fake_logit_loss(logits: Tensor) -> Tensor:
    """-log(1 - D) of each sample [B, 1] → [B]."""
    return F.softplus(logits).flatten()


class AdversarialModule(GenerativeModule, ABC):
    """Manual optimisation: a generator, which is all that a family has but its discriminator, against the latter.

    A family says in its step what the discriminator is to tell apart.
    """

    discriminator: nn.Module
    generator_optimizer: OptimizerCallable
    discriminator_optimizer: OptimizerCallable
    automatic_optimization = False

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step of each player."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log D(real) - log(1 - D(fake)) of each sample [B], halved so that chance is log 2."""
        return 0.5 * (real_logit_loss(self.discriminator(real)) + fake_logit_loss(self.discriminator(fake)))

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-log D(fake) of each sample [B]: the non-saturating form (Goodfellow et al. 2014, section 3)."""
        return real_logit_loss(self.discriminator(fake))

    def generator_parameters(self) -> list[nn.Parameter]:
        """What the first optimiser moves: everything but the discriminator."""
        own = {id(p) for p in self.discriminator.parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Generator's first, discriminator's second."""
        return [
            self.generator_optimizer(self.generator_parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    @contextmanager
    def frozen_discriminator(self) -> Iterator[None]:
        """The generator's step needs no gradient of the discriminator's weights."""
        self.discriminator.requires_grad_(False)
        yield
        self.discriminator.requires_grad_(True)

    def descend(self, optimizer: LightningOptimizer, name: str, terms: Tensor) -> None:
        """One step along the gradient of mean(terms), [B]; `name` is for the message where one is not finite."""
        self.check_finite(terms, **{name: terms})
        optimizer.zero_grad()
        self.manual_backward(terms.mean())
        optimizer.step()
