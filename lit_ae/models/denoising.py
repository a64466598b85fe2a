"""Denoising autoencoder."""

from typing import Any

import torch
from torch import Tensor

from lit_ae.corruptions import Corruption
from lit_ae.models.base import ReconstructionModule


class DenoisingAE(ReconstructionModule):
    """The encoder sees x_in ~ q(x_in | x), the loss compares with the clean x (Vincent et al. 2010, section 3.1).

    Corrupted in evaluation, too: its terms, codes and scores are those of noisy inputs, only prediction takes x as it
    is. There the noise is the same at every pass, for every model and every seed of training.

    Args:
        corruption: what is done to x.
        noise_seed: of the noise in evaluation.
        kwargs: as for `ReconstructionModule`.
    """

    def __init__(self, corruption: Corruption, noise_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.corruption, self.noise_seed = corruption, noise_seed
        self._noise: torch.Generator | None = None

    def on_validation_epoch_start(self) -> None:
        """Start the evaluation's noise again."""
        self._noise = torch.Generator(self.device).manual_seed(self.noise_seed + self.global_rank)

    on_test_epoch_start = on_validation_epoch_start

    def corrupt(self, x: Tensor) -> Tensor:
        """Noisy x [B, *shape]."""
        return self.corruption(x, None if self.training else self._noise)
