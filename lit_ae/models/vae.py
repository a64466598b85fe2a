"""Variational autoencoder."""

import math
from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, ReconstructionModule, Terms
from lit_ae.models.checkpoints import load_others, load_pretrained, saved_part
from lit_ae.objectives.divergences import kl_standard_normal_by_dimension
from lit_ae.objectives.schedules import Schedule


class VAE(ReconstructionModule):
    """Variational autoencoder: Gaussian posterior with diagonal covariance, penalty β KL(q(z|x) ‖ N(0, I)).

    Kingma & Welling 2014, equation 10; with β ≠ 1 it is the β-VAE (Higgins et al. 2017, equation 4). Annealing and
    free bits only affect training: in validation and test the penalty is β KL.

    Args:
        beta: weight β of the KL term.
        annealing: factor of β during training (`LinearSchedule`, `CyclicalSchedule`); null: 1 throughout.
        free_bits: λ, nats of each code dimension that are not penalised: Σ_d max(λ, KL_d), where KL_d is the mean
            over the batch (Kingma et al. 2016, equation 15).
        pretrained: checkpoint of a model with the same networks, from whose weights training starts (Burda et al. 2016,
            table 2, continue a VAE as an IWAE in this way).
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `beta` or `free_bits` negative, annealing over a training whose length is not known, or a
            checkpoint that does not fit.
    """

    heads = 2
    scaled_by_prior = True

    def __init__(
        self,
        beta: float = 1.0,
        annealing: Schedule | None = None,
        free_bits: float = 0.0,
        pretrained: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", beta=beta, free_bits=free_bits)
        self.beta, self.annealing, self.free_bits, self.pretrained = beta, annealing, free_bits, pretrained
        self.steps = math.inf  # of the whole training, once it has started

    def on_train_start(self) -> None:
        """Load the weights to start from, and find out how many steps the training has, for the annealing."""
        super().on_train_start()
        if self.pretrained and not self.trainer.ckpt_path:
            for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
                load_pretrained(part, saved_part(self.pretrained, name), self.pretrained)
            load_others(self, self.pretrained)
        self.steps = self.steps_in_all() if self.annealing else math.inf
        if self.annealing and math.isinf(self.steps):
            raise SettingError("model.annealing needs a training of known length: set trainer.max_epochs")

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """μ(x), log σ²(x) and z = μ + σ ε, all [B, D]."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return Latent(mu, logvar, mu + (0.5 * logvar).exp() * torch.randn_like(mu))

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """β KL of each sample, [B], and the KL without β as the term `kl`."""
        kl = self.kl(latent)
        if not self.training:
            return self.beta * kl, {"kl": kl}
        beta = self.beta * self.annealing(self.global_step / self.steps) if self.annealing else self.beta
        if not self.free_bits:
            return beta * kl, {"kl": kl}
        assert latent.logvar is not None
        by_dimension = kl_standard_normal_by_dimension(latent.mu, latent.logvar)  # [B, D]
        paid = torch.where(by_dimension.mean(0) < self.free_bits, self.free_bits, by_dimension)
        return beta * paid.sum(1), {"kl": kl}
