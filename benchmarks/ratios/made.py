"""MNIST-sized random data."""

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits

IMAGES = 55_000


class Made(BaseDataModule):
    """Random images of ten classes.

    Args:
        train, test: numbers of images.
        kwargs: as for `BaseDataModule`.
    """

    name = "made"
    input_shape = (1, 28, 28)
    num_classes = 10

    def __init__(self, train: int = IMAGES, test: int = 64, **kwargs) -> None:
        super().__init__(**kwargs)
        self.train, self.test = train, test

    def load(self) -> Splits:
        def part(n: int, seed: int) -> ArrayDataset:
            generator = torch.Generator().manual_seed(seed)
            x = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
            return ArrayDataset(x, torch.randint(0, 10, (n,), generator=generator))

        return Splits(part(self.train, 0), part(64, 1), part(self.test, 2))


def images() -> Tensor:
    """All training images as floats [N, 1, 28, 28]."""
    return Made().split("train").x.float().div(255)
