"""VAE whose penalty weighs the mutual information between sample and code."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, Terms
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.models.vae import VAE
from lit_ae.objectives.divergences import Kernel, mmd


class InfoVAE(VAE):
    """Penalty (1 - α) KL(q(z|x) ‖ p(z)) + (α + λ - 1) MMD²(q(z), p(z)) (Zhao et al. 2019, equation 6).

    α is the weight of the mutual information that the KL takes away: α = 0, λ = 1 is the VAE, and α = 1 leaves MMD²
    alone, as in a WAE with noise on the code. The estimate of MMD² compares a batch of codes with as many draws from
    N(0, I); it is logged as `mmd` and may be negative.

    Args:
        alpha: weight α.
        scale: weight λ of the divergence of all codes together.
        kernel: `rbf` or `imq`, as for `WAE`.
        bandwidth: its squared distance h; null: the median of the batch.
        kwargs: as for `VAE`, without `beta` and `free_bits`; `annealing` is a factor of the whole penalty.

    Raises:
        SettingError: α above 1, α + λ below 1, or `bandwidth` not positive.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        scale: float = 100.0,
        kernel: Kernel = "imq",
        bandwidth: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=1.0, free_bits=0.0, **kwargs)
        if not alpha <= 1 <= alpha + scale:
            raise SettingError(
                f"model.alpha is {alpha} and model.scale {scale}: alpha must be at most 1 and their sum at least 1, so "
                "that no divergence is rewarded"
            )
        require_at_least(0, "model.{}", scale=scale)
        if bandwidth is not None and bandwidth <= 0:
            raise SettingError(f"model.bandwidth is {bandwidth}: it must be positive, or null for the batch's median")
        self.alpha, self.scale, self.kernel, self.bandwidth = alpha, scale, kernel, bandwidth

    def on_train_start(self) -> None:
        """Refuse a batch size of 1."""
        super().on_train_start()
        refuse_batches_of_one(self)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """The weighted sum of both divergences, and each by itself; all [B]. MMD² of a single sample counts as 0."""
        z, kl = latent.z, self.kl(latent)
        distance = mmd(z, torch.randn_like(z), self.kernel, self.bandwidth) if len(z) > 1 else torch.zeros_like(kl)
        factor = self.annealing(self.global_step / self.steps) if self.annealing and self.training else 1.0
        penalty = factor * ((1 - self.alpha) * kl + (self.alpha + self.scale - 1) * distance)
        return penalty, {"kl": kl, "mmd": distance}
