"""Two optimisers that play against each other, once for every adversarial family."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from lit_ae.data.base import Batch
from lit_ae.models.base import GenerativeModule, Stage


def real_logit_loss(logits: Tensor) -> Tensor:
    """-log D of each sample [B, 1] → [B]: the discriminator's on real, the generator's (non-saturating) on fake."""
    return F.softplus(-logits).flatten()


def fake_logit_loss(logits: Tensor) -> Tensor:
    """-log(1 - D) of each sample [B, 1] → [B]."""
    return F.softplus(logits).flatten()


class AdversarialModule(GenerativeModule, ABC):
    """Manual optimisation: one discriminator step, then one generator step, on every batch.

    A family says what the discriminator is to tell apart; what it generates is made once for both steps.
    """

    discriminator: nn.Module
    generator_optimizer: OptimizerCallable
    discriminator_optimizer: OptimizerCallable
    automatic_optimization = False

    @abstractmethod
    def contest(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Real and fake [B, ...] as the discriminator gets them, the fake with its graph."""

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

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of each player."""
        generator, discriminator = self.optimizers()  # type: ignore[attr-defined]
        real, fake = self.contest(batch)
        d_loss = self.discriminator_loss(real, fake.detach())
        self._descend(discriminator, "discriminator_loss", d_loss)
        self.discriminator.requires_grad_(False)  # the generator's step needs no gradient of its weights
        g_loss = self.generator_loss(fake)
        self._descend(generator, "generator_loss", g_loss)
        self.discriminator.requires_grad_(True)
        self.track("train", generator_loss=g_loss, discriminator_loss=d_loss)

    def _descend(self, optimizer: LightningOptimizer, name: str, terms: Tensor) -> None:
        self.check_finite(terms, **{name: terms})
        optimizer.zero_grad()
        self.manual_backward(terms.mean())
        optimizer.step()

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
