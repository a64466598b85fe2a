"""Sparse autoencoder."""

from typing import Any, Literal

from torch import Tensor

from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.models.training_pass import refuse_batches_of_one
from lit_ae.nets.mlp import ACTIVATIONS, Activation
from lit_ae.objectives.penalties import kl_sparsity, l1


class SparseAE(ReconstructionModule):
    """Sparse autoencoder: a penalty keeps most units of the code h = activation(f(x)) close to 0.

    `sparsity` selects the penalty:

    - `l1`: λ Σ_j |h_j| of each sample;
    - `kl`: λ Σ_j KL(ρ ‖ ρ̂_j) (Ng 2011, "Sparse autoencoder", section 2), where ρ̂_j is the mean activation over the
      batch (with several processes, over each process's part). Each sample carries this value of the whole batch, so
      that the mean of the loss contains it once. Activations must be in (0, 1), that is `activation: sigmoid`.

    Args:
        sparsity: kind of penalty.
        weight: weight λ of the penalty.
        activation: activation of the code.
        rho: target ρ of the mean activation for `kl`.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, `rho` not in (0, 1), or `kl` with an activation that is not in (0, 1) or a
            batch size of 1.
    """

    def __init__(
        self,
        sparsity: Literal["l1", "kl"] = "kl",
        weight: float = 1e-3,
        activation: Activation | Literal["linear"] = "sigmoid",
        rho: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", weight=weight)
        if not 0 < rho < 1:
            raise SettingError(f"model.rho is {rho}: it must be above 0 and below 1, like a mean activation")
        if sparsity == "kl" and activation != "sigmoid":
            raise SettingError(
                f"model.activation is {activation} but model.sparsity kl needs codes in (0, 1): "
                "set model.activation to sigmoid, or model.sparsity to l1"
            )
        self.sparsity, self.weight, self.rho = sparsity, weight, rho
        self.activation = None if activation == "linear" else ACTIVATIONS[activation]()

    def on_train_start(self) -> None:
        """Refuse a batch size of 1 for `kl`, whose mean activation would be that of each sample."""
        super().on_train_start()
        if self.sparsity == "kl":
            refuse_batches_of_one(self)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """The activations of the code, [B, D]."""
        h = self.encoder(x)
        if self.activation is not None:
            h = self.activation(h)
        return Latent(h, None, h)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """λ times the sparsity term, [B]."""
        if self.sparsity == "l1":
            return self.weight * l1(latent.mu)
        return self.weight * kl_sparsity(latent.mu, self.rho).expand(len(latent.mu))
