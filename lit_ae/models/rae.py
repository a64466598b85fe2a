"""Regularised autoencoder."""

from typing import Any

from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.base import Latent, ReconstructionModule, Terms


class RAE(ReconstructionModule):
    """Regularised autoencoder: penalty β ½‖z‖² + λ L_REG, where L_REG is ‖θ‖² of the decoder's parameters θ (RAE-L2).

    Ghosh et al. 2020, equation 11. The code has no noise and the model no prior: codes are drawn from a density that is
    fitted to those of the training data (section 4), such as the samplers `FittedGaussian` and `Mixture`.

    Args:
        beta: weight β of ½‖z‖².
        weight: weight λ of L_REG.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `beta` or `weight` negative.
    """

    def __init__(self, beta: float = 1e-2, weight: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", beta=beta, weight=weight)
        self.beta, self.weight = beta, weight

    def decoder_penalty(self, latent: Latent, raw: Tensor) -> Tensor:
        """L_REG of each sample [B] with the decoder's output `raw` [B, *shape]; here the same for all."""
        squares = [parameter.square().sum() for parameter in self.decoder.parameters()]
        return sum(squares, latent.mu.new_zeros(len(latent.mu)))

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> tuple[Tensor, Terms]:
        """β ½‖z‖² + λ L_REG of each sample [B], and beside it both without their weights."""
        code, decoder = 0.5 * latent.mu.square().sum(1), self.decoder_penalty(latent, raw)
        return self.beta * code + self.weight * decoder, {"code_penalty": code, "decoder_penalty": decoder}
