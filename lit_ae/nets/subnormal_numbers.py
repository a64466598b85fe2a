"""Subnormal numbers, below 1.2e-38 in float32, as zeros while a model is trained on a processor."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_subnormals() -> Iterator[None]:
    """Inside it this thread, and those that it starts, compute with zeros in place of subnormal numbers.

    Threads that were started before keep computing with them, and those that it starts keep the zeros afterwards.

    Adam multiplies its running means by a number below 1 at every step. Where a unit is never active, or a pixel always
    black, nothing else is added, and after some 800 steps these means are subnormal and stay so, since the smallest
    ones are rounded to themselves. A processor takes about ten times longer for such a number; in a network with many
    inactive units the optimiser then takes longer than all else. An update that small changes no weight.
    """
    before = bool(torch.tensor(1e-30, dtype=torch.float32, device="cpu") * 1e-10 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
