"""Several batches of a loader as one."""

import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from torch.utils.data import Sampler


class JoinedBatches(Sampler[list[int]]):
    """The indices of `steps` batches at a time, or of fewer at the end, in the order in which they come one by one.

    Whether a further batch is asked for after the last matters: PyTorch's random sampler then draws a permutation that
    it does not use, and the next epoch has another order. Here it is asked for only if this sampler itself is asked.

    Args:
        batches: gives the indices of a batch at a time and knows how many batches there are.
        steps: number of batches to join.
    """

    def __init__(self, batches: Any, steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        batches, left = iter(self.batches), len(self.batches)
        while left > 0:
            yield list(chain.from_iterable(islice(batches, min(self.steps, left))))
            left -= self.steps
        next(batches, None)
