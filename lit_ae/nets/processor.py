"""What makes training on a processor fast: memory that is kept, and zeros in place of subnormal numbers."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# From malloc.h of the GNU C library
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**29  # bytes that were freed and stay with the process
LARGEST = 2**25  # bytes of the largest pieces among them, the most that the library accepts


@contextmanager
def fast_training() -> Iterator[None]:
    """Inside it a training on a processor keeps the memory it frees, and computes with zeros for subnormal numbers.

    Freed memory is kept from then on, up to `KEPT` bytes in each process: see `keep_freed_memory`. Subnormal numbers,
    below 1.2e-38 in float32, are zeros in this thread and in those that it starts. Threads that were started before
    keep computing with them, and those that it starts keep the zeros afterwards.

    Adam multiplies its running means by a number below 1 at every step. Where a unit is never active, or a pixel always
    black, nothing else is added, and after some 800 steps these means are subnormal and stay so, since the smallest
    ones are rounded to themselves. A processor takes about ten times longer for such a number; in a network with many
    inactive units the optimiser then takes longer than all else. An update that small changes no weight.
    """
    keep_freed_memory()
    before = bool(torch.tensor(1e-30, dtype=torch.float32, device="cpu") * 1e-10 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def keep_freed_memory() -> None:
    """Keep up to `KEPT` bytes that were freed with this process; only the GNU C library of Linux has this setting.

    A training step frees its activations and gradients, and the next one takes as much again. Without the setting the
    library returns the memory of a wide network to the system after each step, which has to clear every page anew.
    A value that the user has set (`MALLOC_TRIM_THRESHOLD_`, or `glibc.malloc` in `GLIBC_TUNABLES`) is left as it is.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)
