"""Sparse autoencoder."""

from typing import Any, Literal

from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent, ReconstructionModule
from lit_ae.nets.mlp import ACTIVATIONS, Activation
from lit_ae.penalties import kl_sparsity, l1


class SparseAE(ReconstructionModule):
    """A code of which few units are active, h = activation(f(x)); penalty by `sparsity`:

    - `l1`: λ Σ_j |h_j|, of each sample;
    - `kl`: λ Σ_j KL(ρ ‖ ρ̂_j) (Ng 2011, "Sparse autoencoder", section 2), ρ̂ the mean over the batch, on each process its
      own: a quantity of the batch, which every sample is given whole, so that the loss's mean holds it once. Needs
      activations in (0, 1), that is `activation: sigmoid`.

    Args:
        sparsity: which penalty.
        weight: λ.
        activation: of the code.
        rho: mean activation ρ aimed at by `kl`.
        kwargs: as for `ReconstructionModule`.

    Raises:
        SettingError: `weight` negative, `rho` not in (0, 1), or `kl` on a code that is not in (0, 1).
    """

    def __init__(
        self,
        sparsity: Literal["l1", "kl"],
        weight: float = 1e-3,
        activation: Activation | Literal["linear"] = "sigmoid",
        rho: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if weight < 0:
            raise SettingError(f"model.weight is {weight}: it must not be negative")
        if not 0 < rho < 1:
            raise SettingError(f"model.rho is {rho}: it must lie between 0 and 1, as a mean activation does")
        if sparsity == "kl" and activation != "sigmoid":
            raise SettingError(
                f"model.activation is {activation} but model.sparsity kl needs codes in (0, 1): "
                "set model.activation to sigmoid, or model.sparsity to l1"
            )
        self.sparsity, self.weight, self.rho = sparsity, weight, rho
        self.activation = None if activation == "linear" else ACTIVATIONS[activation]()

    def encode(self, x: Tensor) -> Latent:
        """Activations of the code, [B, D]."""
        h = super().encode(x).mu
        if self.activation is not None:
            h = self.activation(h)
        return Latent(h, None, h)

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """λ times the sparsity term of each sample, [B]."""
        if self.sparsity == "l1":
            return self.weight * l1(latent.mu)
        return self.weight * kl_sparsity(latent.mu, self.rho).expand(len(latent.mu))
