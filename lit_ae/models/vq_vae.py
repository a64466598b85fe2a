"""Autoencoder with a vector-quantised code."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.errors import require_at_least
from lit_ae.models.base import Latent, ReconstructionModule, Stage
from lit_ae.nets.quantiser import VectorQuantiser


class VQVAE(ReconstructionModule):
    """Each d numbers of the code, z_e(x), become the nearest of K codebook entries e (van den Oord et al. 2017).

    The gradient passes straight through to z_e; penalty β ‖z_e(x) - sg[e]‖², unweighted as `commitment` (equation 3).
    The entries are moving averages (appendix A.1); a categorical prior over them is fitted at each position of a code.

    Args:
        entries: number K of entries, at least 1.
        entry_dim: size d of an entry, a divisor of `latent_dim`.
        beta: weight β of the commitment, at least 0.
        decay: γ of the moving averages, at least 0 and below 1.
        kwargs: as for `ReconstructionModule`.
    """

    def __init__(
        self, entries: int = 128, entry_dim: int = 4, beta: float = 0.25, decay: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(0, "model.{}", beta=beta)
        self.beta, self.quantiser = beta, VectorQuantiser(self.latent_dim, entries, entry_dim, decay)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """The nearest entries as the code [B, D]: their values, with the gradient of the encoder's output."""
        output = self.encoder(x)
        entries = self.quantiser(output)
        z = entries + (output - output.detach())
        return Latent(z, None, z, {"commitment": (output - entries).square().sum(1)})

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor:
        """β ‖z_e(x) - sg[e]‖² of each sample, [B]."""
        return self.beta * latent.terms["commitment"]

    def draw_codes(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, D] whose entries are drawn from the prior, on the generator's device."""
        return self.quantiser.draw(n, generator)

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count the entries that validation and test choose."""
        self.quantiser.usage.update(self.quantiser.nearest(outputs.latent.mu))

    on_validation_batch_end = on_test_batch_end

    def _log_tracked(self, stage: Stage) -> None:
        super()._log_tracked(stage)
        if stage != "train":
            self.log_dict({f"{stage}/{name}": value for name, value in self.quantiser.usage.compute().items()})
            self.quantiser.usage.reset()
