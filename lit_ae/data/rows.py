"""Samples that are some rows of a large array: a view, of which only what is asked for is read from memory or disk."""

import mmap
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Raw: TypeAlias = npt.NDArray[np.generic]
PART = 1000  # rows that are read at once where all are


class Rows:
    """Rows of an array in an order of their own, [N, *shape], indexed like a tensor.

    Every index gives a tensor that is a copy of these samples alone, so that `rows[:]` is a copy of all of them;
    `rows.view(index)` gives the rows themselves without a copy. If the array is mapped from a file, the private memory
    of the process does not grow with it: pages that were read belong to the operating system, which takes them back
    when memory is needed.

    Args:
        source: the array [M, ...], in memory or mapped from a file, which has to stay as it is.
        convert: makes samples of rows of the array, [B, ...] -> [B, *shape], uint8 or float32.
        places: the rows [N]; None: all in their order.
    """

    def __init__(self, source: Raw, convert: Callable[[Raw], Raw], places: npt.NDArray[np.int64] | None = None) -> None:
        self.source, self.convert = source, convert
        self.places = np.arange(len(source)) if places is None else places
        first = torch.from_numpy(convert(source[:1].copy()))
        self.shape, self.dtype = (len(self.places), *first.shape[1:]), first.dtype

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Tensor:
        """The samples at an index as of NumPy: one sample [*shape], or several [n, *shape]."""
        places = self.places[_index(index)]
        samples = torch.from_numpy(self._samples(np.atleast_1d(places)))
        return samples if places.ndim else samples[0]

    def view(self, index: Any) -> "Rows":
        """The rows at these places, in this order, without a copy of them."""
        return Rows(self.source, self.convert, self.places[_index(index)])

    def split(self, size: int) -> Iterator[Tensor]:
        """One part of `size` samples after the other, the last of which may be smaller."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def _samples(self, places: npt.NDArray[np.int64]) -> Raw:
        return self.convert(self.source.take(places, axis=0))


Samples: TypeAlias = Tensor | Rows  # of a split, [N, *shape]


def add_content(update: Callable[[bytes | memoryview], object], samples: Samples, before: str = "") -> None:
    """Hand dtype, shape and bytes of samples to the `update` of a hash, after a text; one part is read at a time."""
    update(f"{before}{samples.dtype} {tuple(samples.shape)}".encode())
    for part in samples.split(PART):
        update(part.contiguous().flatten().numpy().data)


def parts_of(x: Raw, size: int = PART) -> Iterator[Raw]:
    """One part [size, ...] of an array after the other; of a mapped file, only one is in memory at a time."""
    for start in range(0, len(x), size):
        yield x[start : start + size]
        give_back(x)


def give_back(x: Raw) -> None:
    """Give the pages that were read of a mapped file back to the operating system; without effect on other arrays."""
    base = mapping(x)
    if base is not None and not x.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def mapping(x: Raw) -> mmap.mmap | None:
    """The map of a file that the array is a view of; None if it is in memory."""
    base: Any = x
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def _index(index: Any) -> Any:
    return index.numpy() if isinstance(index, Tensor) else index
