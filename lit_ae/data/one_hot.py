"""One-hot vectors, for networks that memorise them."""

from typing import Any

import torch

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits, no_labels
from lit_ae.errors import require_at_least


class OneHot(BaseDataModule):
    """The N unit vectors of the N-M-N encoder problem (Ackley, Hinton and Sejnowski 1985), without labels.

    The train, val and test splits hold the same N vectors, since the task is to memorise them through a narrow layer
    and there are no others. The train split repeats them, so that an epoch has many steps.

    Args:
        n: number N of vectors.
        repeats: how often each vector is in the train split.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: `n` below 2, or `repeats` below 1.
    """

    name = "one_hot"
    num_classes = 0

    def __init__(self, n: int = 8, repeats: int = 100, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_at_least(2, "--data.{}", n=n)
        require_at_least(1, "--data.{}", repeats=repeats)
        self.n, self.repeats, self.input_shape = n, repeats, (n,)

    def load(self) -> Splits:
        """The rows of the identity matrix, float32, in each split."""
        train, held = torch.eye(self.n).repeat(self.repeats, 1), torch.eye(self.n)
        return Splits(*(ArrayDataset(x, no_labels(len(x))) for x in (train, held, held.clone())))
