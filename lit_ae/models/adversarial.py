"""Two players with an optimiser each, for all adversarial families."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from lit_ae.data.containers import Batch
from lit_ae.models.base import GenerativeModule
from lit_ae.nets.precision import full

adversary: OptimizerCallable = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))  # the default


def real_logit_loss(logits: Tensor) -> Tensor:
    """-log D, [B], of logits [B, 1]: the discriminator's loss on real and the generator's on fake samples."""
    return F.softplus(-full(logits)).flatten()


def fake_logit_loss(logits: Tensor) -> Tensor:
    """-log(1 - D), [B], of logits [B, 1]: the discriminator's loss on fake samples."""
    return F.softplus(full(logits)).flatten()


class AdversarialModule(GenerativeModule, ABC):
    """Manual optimisation of a discriminator against a generator, to which all other parameters belong.

    The step of a family decides which samples the discriminator has to distinguish.
    """

    discriminator: nn.Module
    generator_optimizer: OptimizerCallable
    discriminator_optimizer: OptimizerCallable
    automatic_optimization = False

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step of each player."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """½ (-log D(real) - log(1 - D(fake))) of each pair of samples [B]; it is log 2 if D = ½ everywhere."""
        return 0.5 * (real_logit_loss(self.discriminator(real)) + fake_logit_loss(self.discriminator(fake)))

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-log D(fake) of each sample [B], the non-saturating loss (Goodfellow et al. 2014, section 3)."""
        return real_logit_loss(self.discriminator(fake))

    def generator_parameters(self) -> list[nn.Parameter]:
        """The parameters of the first optimiser: all but the discriminator's."""
        own = {id(p) for p in self.discriminator.parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The generator's optimiser and the discriminator's, in this order."""
        return [
            self.generator_optimizer(self.generator_parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    @contextmanager
    def frozen_discriminator(self) -> Iterator[None]:
        """Inside it no gradients of the discriminator's weights are computed: the generator does not need them."""
        self.discriminator.requires_grad_(False)
        yield
        self.discriminator.requires_grad_(True)

    def descend(self, optimizer: LightningOptimizer, name: str, terms: Tensor) -> None:
        """One step of an optimiser that lowers the mean of terms [B]; `name` names them if they are not finite."""
        self.check_finite(terms, **{name: terms})
        optimizer.zero_grad()
        self.manual_backward(terms.mean())
        optimizer.step()
