"""Regularised autoencoder with a gradient penalty."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.base import Latent
from lit_ae.models.rae import RAE
from lit_ae.objectives.penalties import jacobian_norm_estimate


class RAEGP(RAE):
    """RAE whose L_REG is the gradient penalty ‖∂x_hat/∂z‖²_F at the sample's code (Ghosh et al. 2020, section 3.1).

    Estimated without bias from random directions, with one backward pass each (Hutchinson 1990), in training and
    evaluation. The decoder should have no batch norm, with which an output also depends on the codes of other samples.

    Args:
        probes: number of random directions.
        kwargs: as for `RAE`.

    Raises:
        SettingError: `probes` below 1, or as for `RAE`.
    """

    def __init__(self, beta: float = 1e-2, weight: float = 1e-2, probes: int = 1, **kwargs: Any) -> None:
        super().__init__(beta=beta, weight=weight, **kwargs)
        require_at_least(1, "model.{}", probes=probes)
        self.probes = probes

    def decoder_penalty(self, latent: Latent, raw: Tensor) -> Tensor:
        """‖∂x_hat/∂z‖²_F of each sample [B]."""
        differentiable = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            z = latent.mu if differentiable else latent.mu.clone()
            z = z if z.requires_grad else z.requires_grad_()
            x_hat = self.decode(z).flatten(1)
            with torch.set_grad_enabled(differentiable):
                return jacobian_norm_estimate(x_hat, z, self.probes)
