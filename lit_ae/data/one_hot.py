"""One-hot vectors, to be learned by heart."""

from typing import Any

import torch

from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits
from lit_ae.errors import SettingError


class OneHot(BaseDataModule):
    """The N unit vectors of the N-M-N encoder problem (Ackley, Hinton and Sejnowski 1985), without labels.

    Train, val and test hold the same N vectors: the task is to memorise them through a narrow layer, and nothing is
    claimed about others, of which there are none. The train split repeats them, to make an epoch of many steps.

    Args:
        n: N.
        repeats: how often each is in the train split.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: fewer than two vectors, or no repeat.
    """

    name = "one_hot"
    num_classes = 0

    def __init__(self, n: int = 8, repeats: int = 100, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for setting, value, least in (("n", n, 2), ("repeats", repeats, 1)):
            if value < least:
                raise SettingError(f"--data.{setting} is {value}: it must be at least {least}")
        self.n, self.repeats, self.input_shape = n, repeats, (n,)

    def load(self) -> Splits:
        """The identity matrix, [N, N] float32, thrice."""
        train, held = torch.eye(self.n).repeat(self.repeats, 1), torch.eye(self.n)
        return Splits(*(ArrayDataset(x, torch.full((len(x),), -1)) for x in (train, held, held.clone())))
