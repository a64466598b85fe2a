"""VAE whose penalty draws the covariance of all codes together towards the unit matrix."""

from typing import Any, Literal

import torch
from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.base import Latent, Terms
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.models.vae import VAE


class DIPVAE(VAE):
    """DIP-VAE: KL + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)² with the covariance C of the codes of a batch.

    Kumar et al. 2018: C is that of the means μ(x) (DIP-VAE-I, equation 6), or of the codes themselves, for which the
    mean of the posteriors' covariances is added (DIP-VAE-II, equation 7). The penalty on C, a value of the whole
    batch that each of its samples carries, is logged as `dip`.

    Args:
        kind: `I` or `II`.
        off_diagonal: weight λ_od of the covariances between dimensions.
        diagonal: weight λ_d of the variances' distance from 1.
        kwargs: as for `VAE`, without `free_bits`; `beta` and `annealing` are factors of the KL alone.

    Raises:
        SettingError: a negative weight.
    """

    def __init__(
        self, kind: Literal["I", "II"] = "II", off_diagonal: float = 10.0, diagonal: float = 10.0, **kwargs: Any
    ) -> None:
        super().__init__(free_bits=0.0, **kwargs)
        require_at_least(0, "model.{}", off_diagonal=off_diagonal, diagonal=diagonal)
        self.kind, self.off_diagonal, self.diagonal = kind, off_diagonal, diagonal

    def covariance(self, latent: Latent) -> Tensor:
        """C [D, D] over the batch (divisor B)."""
        assert latent.logvar is not None
        means = latent.mu - latent.mu.mean(0)
        c = means.T @ means / len(means)
        return c + torch.diag(latent.logvar.exp().mean(0)) if self.kind == "II" else c

    def on_train_start(self) -> None:
        """Refuse a batch size of 1."""
        super().on_train_start()
        refuse_batches_of_one(self)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """The weighted KL of each sample and the batch's penalty on C, [B]; 0 on C for a single sample."""
        kl_part, terms = super().penalty(x, x_in, latent, raw)
        if len(latent.mu) < 2:
            return kl_part, {**terms, "dip": torch.zeros_like(kl_part)}
        c = self.covariance(latent)
        variances = c.diagonal()
        covariances = c.square().sum() - variances.square().sum()
        dip = self.off_diagonal * covariances + self.diagonal * (variances - 1).square().sum()
        return kl_part + dip, {**terms, "dip": dip.expand(len(kl_part))}
