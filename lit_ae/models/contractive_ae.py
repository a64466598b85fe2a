"""Contractive autoencoder."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.objectives.penalties import jacobian_norm, jacobian_norm_estimate


class ContractiveAE(ReconstructionModule):
    """Contractive autoencoder: the penalty λ ‖∂h/∂x‖²_F makes a code that changes little with its input.

    Rifai et al. 2011, equations 5 and 6. The paper ties the decoder's weights to the encoder's. Here, as in the
    reports, they are independent, so that the penalty also falls if the code shrinks and the decoder scales it up
    again: compare `test/code_std` between models.

    Args:
        weight: weight λ of the penalty.
        estimator: `exact`, with one backward pass for each code unit, or `hutchinson`, an unbiased estimate with one
            backward pass for each probe.
        probes: number of random directions of the estimate.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, `probes` below 1, or `exact` with batch norm in the encoder.
    """

    def __init__(
        self,
        weight: float = 1e-4,
        estimator: Literal["exact", "hutchinson"] = "hutchinson",
        probes: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", weight=weight)
        require_at_least(1, "model.{}", probes=probes)
        if estimator == "exact" and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.encoder.modules()):
            raise SettingError(
                "model.estimator is exact but batch norm in model.encoder makes each code depend on the whole batch: "
                "choose model.estimator hutchinson, or norm layer or none"
            )
        self.weight, self.estimator, self.probes = weight, estimator, probes

    def corrupt(self, x: Tensor) -> Tensor:
        """x itself; in training it becomes a leaf that requires gradients, so that the estimate needs no extra pass."""
        return x.detach().requires_grad_() if self.training and self.estimator == "hutchinson" else x

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """λ ‖∂h/∂x‖²_F of each sample, [B], by the same estimator in training and evaluation."""
        if self.estimator == "exact":
            return self.weight * jacobian_norm(self.encoder, x_in)
        if x_in.requires_grad:
            return self.weight * jacobian_norm_estimate(latent.mu, x_in, self.probes)
        with torch.inference_mode(False):  # evaluation has no graph, so one is made for the estimate
            leaf = x_in.clone().requires_grad_()
            with torch.enable_grad():
                h = self.encoder(leaf)
            with torch.no_grad():
                return self.weight * jacobian_norm_estimate(h, leaf, self.probes)
