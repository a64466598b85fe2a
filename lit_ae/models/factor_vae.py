"""VAE with a discriminator that estimates the total correlation of its code."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.adversarial_codes import AdversarialCodes
from lit_ae.models.base import Latent, Terms
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.models.vae import VAE
from lit_ae.nets.precision import full


class FactorVAE(AdversarialCodes, VAE):
    """Penalty KL + γ TC(z), where a discriminator D of codes gives TC(z) ≈ log D(z) - log(1 - D(z)) (Kim & Mnih 2018).

    Equation 2 and algorithm 2, except that D's other codes are those of the same batch, each dimension shuffled by
    itself, and not of a second batch. The estimate, D's logit, is logged as `tc`.

    Args:
        gamma: weight γ of the total correlation.
        kwargs: as for `AdversarialCodes` and `VAE`, without `free_bits`; `beta` and `annealing` are factors of the KL
            alone.

    Raises:
        SettingError: `gamma` negative, or an `lr_scheduler` is set, which the two optimisers would not follow.
    """

    def __init__(self, gamma: float = 10.0, **kwargs: Any) -> None:
        super().__init__(free_bits=0.0, **kwargs)
        require_at_least(0, "model.{}", gamma=gamma)
        self.gamma = gamma

    def on_train_start(self) -> None:
        """Refuse a batch size of 1."""
        super().on_train_start()
        refuse_batches_of_one(self)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """The weighted KL plus γ times D's logit of the code, and both by themselves; all [B]."""
        kl_part, terms = VAE.penalty(self, x, x_in, latent, raw)
        tc = full(self.discriminator(latent.z)).flatten()
        return kl_part + self.gamma * tc, {**terms, "tc": tc}

    def real_and_fake(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The codes, and the same with each dimension in an order of its own (algorithm 1)."""
        return z, z.gather(0, torch.rand_like(z).argsort(0))
