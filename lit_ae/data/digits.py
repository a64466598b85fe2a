"""Handwritten digits that are part of scikit-learn: the default data set, which needs no download."""

from functools import cache

import torch
from torch.nn.functional import interpolate

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.subsets import seeded_split


class Digits(BaseDataModule):
    """1,797 digits by 13 writers (Alpaydin and Kaynak 1998; UCI's test part): train 1,257, val 180, test 360.

    The 8 x 8 values from 0 to 16 are enlarged to 28 x 28 pixels by bilinear interpolation and scaled to 0 ... 255, so
    that networks for MNIST fit.
    """

    name = "digits"
    input_shape = (1, 28, 28)
    num_classes = 10

    def load(self) -> Splits:
        """All images, split at random."""
        val, test, train = seeded_split(_digits(), (180, 360), self.split_seed)
        return Splits(train, val, test)


@cache
def _digits() -> ArrayDataset:
    """All of them, read once for all runs of a process: reading takes as long as a run's training of two epochs."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # [1797, 1, 8, 8]
    large = interpolate(small, size=(28, 28), mode="bilinear")
    return ArrayDataset((large * 255).round().to(torch.uint8), torch.from_numpy(bunch.target).long())
