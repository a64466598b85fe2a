"""Contractive autoencoder."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.penalties import jacobian_norm, jacobian_norm_estimate


class ContractiveAE(ReconstructionModule):
    """A code that hardly moves with its input: penalty λ ‖∂h/∂x‖²_F (Rifai et al. 2011, equations 5 and 6).

    The paper ties the decoder's weights to the encoder's; here, as in the reports, they are free, so that a smaller
    code with a larger decoder lowers the penalty as well: read `test/code_std` beside it.

    Args:
        weight: λ.
        estimator: `exact`, one backward pass for each code unit, or `hutchinson`, one for each probe, unbiased.
        probes: random directions of the estimate.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, no probe, or `exact` with batch norm in the encoder.
    """

    def __init__(
        self,
        weight: float = 1e-4,
        estimator: Literal["exact", "hutchinson"] = "hutchinson",
        probes: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if weight < 0:
            raise SettingError(f"model.weight is {weight}: it must not be negative")
        if probes < 1:
            raise SettingError(f"model.probes is {probes}: it must be at least 1")
        if estimator == "exact" and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.encoder.modules()):
            raise SettingError(
                "model.estimator is exact but batch norm in model.encoder makes each code depend on the whole batch: "
                "choose model.estimator hutchinson, or norm layer or none"
            )
        self.weight, self.estimator, self.probes = weight, estimator, probes

    def corrupt(self, x: Tensor) -> Tensor:
        """x itself, in training as a leaf to differentiate by: the estimate then shares the step's forward pass."""
        return x.detach().requires_grad_() if self.training and self.estimator == "hutchinson" else x

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """λ ‖∂h/∂x‖²_F of each sample, [B], by the same estimator at every stage."""
        if self.estimator == "exact":
            return self.weight * jacobian_norm(self.encoder, x_in)
        if x_in.requires_grad:
            return self.weight * jacobian_norm_estimate(latent.mu, x_in, self.probes)
        with torch.inference_mode(False):  # evaluation has no graph: one is made for this alone
            leaf = x_in.clone().requires_grad_()
            with torch.enable_grad():
                h = self.encoder(leaf)
            with torch.no_grad():
                return self.weight * jacobian_norm_estimate(h, leaf, self.probes)
