"""Binary images whose pixels are drawn anew in every epoch from grey ones."""

import numpy as np
import torch

from lit_ae.data.containers import ArrayDataset, Batch
from lit_ae.data.rows import PART


class RedrawnPixels(ArrayDataset):
    """Images of bytes that are 0 or 255; each epoch draws them anew, with the probability x / 255 of 255.

    What is drawn follows from the seed and the number of the epoch alone, so that models of one seed see the same
    pixels, on any number of processes, and a training that goes on sees what it would have seen.

    Args:
        grey: the images whose grey values are the probabilities.
        seed: the seed of the run, 0 or more.
    """

    def __init__(self, grey: ArrayDataset, seed: int) -> None:
        super().__init__(grey.x, grey.y, grey.factors)
        self.grey, self.seed, self.epoch = grey, seed, -1

    def draw(self, epoch: int) -> None:
        """Draw the pixels of this epoch, unless they are there already."""
        if epoch == self.epoch:
            return
        # Key 1 beside the epoch: the order of the samples is drawn from the same seed with the epoch alone as its key
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, 1)))
        parts = (x.cpu().numpy() for x in self.grey.x.split(PART))
        white = np.concatenate([generator.integers(255, size=x.shape, dtype=np.uint8) < x for x in parts])
        self.x = torch.from_numpy(white.view(np.uint8) * np.uint8(255)).to(self.y.device)
        self.epoch = epoch

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these samples in the pixels of this epoch."""
        assert self.epoch >= 0, "draw() comes before the first batch"
        return super().__getitems__(indices)

    def to(self, device: torch.device) -> "RedrawnPixels":
        """A copy whose drawn pixels lie on this device; the grey values stay where they are."""
        copy = RedrawnPixels(self.grey, self.seed)
        copy.y = self.y.to(device)
        return copy
