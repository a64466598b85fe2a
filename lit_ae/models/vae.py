"""Variational autoencoder."""

import math
from typing import Any

import torch
from torch import Tensor

from lit_ae.divergences import kl_standard_normal_by_dimension
from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.schedules import Schedule


class VAE(ReconstructionModule):
    """Gaussian posterior with diagonal covariance; penalty β KL(q(z|x) ‖ N(0, I)).

    Kingma & Welling 2014, equation 10; β-VAE with β ≠ 1: Higgins et al. 2017, equation 4. Annealing and free bits
    are of training alone: the penalty that validation and test report is β KL.

    Args:
        beta: weight β of the KL term.
        annealing: its factor over training (`LinearSchedule`, `CyclicalSchedule`); 1 throughout where null.
        free_bits: λ, nats that each code dimension has free of penalty: Σ_d max(λ, KL_d), with KL_d the batch's
            mean (Kingma et al. 2016, equation 15).
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `beta` or `free_bits` negative, or annealing over a training of no known length.
    """

    heads = 2

    def __init__(
        self, beta: float = 1.0, annealing: Schedule | None = None, free_bits: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in {"beta": beta, "free_bits": free_bits}.items():
            if value < 0:
                raise SettingError(f"model.{name} is {value}: it must not be negative")
        self.beta, self.annealing, self.free_bits = beta, annealing, free_bits
        self.annealed_beta = beta

    def on_train_start(self) -> None:
        """Learn how many steps the annealing has."""
        if self.annealing:
            self.steps = self.trainer.estimated_stepping_batches
            if math.isinf(self.steps):
                raise SettingError("model.annealing needs a training of known length: set trainer.max_epochs")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the step's weight."""
        if self.annealing:
            self.annealed_beta = self.beta * self.annealing(self.global_step / self.steps)

    def encode(self, x: Tensor) -> Latent:
        """μ(x), log σ²(x) and z = μ + σ ε, all [B, D]."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return Latent(mu, logvar, mu + (0.5 * logvar).exp() * torch.randn_like(mu))

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """β KL of each sample, [B]."""
        assert latent.logvar is not None
        kl = kl_standard_normal_by_dimension(latent.mu, latent.logvar)  # [B, D]
        if not self.training:
            return self.beta * kl.sum(1)
        if self.free_bits:
            kl = torch.where(kl.mean(0) < self.free_bits, self.free_bits, kl)
        return self.annealed_beta * kl.sum(1)
