"""The parts of a data set: batches, splits in memory, and the conversion of samples to floats."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_ae.errors import SettingError

Shape: TypeAlias = tuple[int, ...]  # (C, H, W) for images, (D,) for vectors
SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class Batch(NamedTuple):
    """The input of a model's step; x stays as it is stored (uint8) until it has been moved to the device."""

    x: Tensor  # [B, *input_shape], float32 in [0, 1] after the transfer
    y: Tensor  # [B] int64 labels, -1 for unlabelled samples


@dataclass(eq=False)
class ArrayDataset(Dataset[Batch]):
    """A whole split in memory: x [N, *shape] uint8 (float32 unless the data are 8-bit images), y [N] int64.

    `factors` [N, F] float32 are the known generative factors, if the data set has any.
    """

    x: Tensor
    y: Tensor
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], self.y[index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these samples; DataLoader calls it once for each batch."""
        # NumPy's `take` is 4 times as fast as torch's indexing here, and starts no threads for such a small copy
        x, y = (torch.from_numpy(tensor.numpy().take(indices, axis=0)) for tensor in (self.x, self.y))
        return Batch(x, y)

    def value_range(self) -> tuple[float, float]:
        """The lowest and the highest value of the samples as a model sees them; bytes are values from 0 to 1.

        Raises:
            SettingError: a value is NaN or infinite; the message has the index of the first.
        """
        if self.x.dtype == torch.uint8 or not len(self.x):
            return 0.0, 1.0
        starts = range(0, len(self.x), 1000)  # in parts: the samples may be mapped from a file
        lows, highs = zip(*(finite_range(self.x[start : start + 1000], start) for start in starts), strict=True)
        return min(lows), max(highs)

    def subset(self, indices: Tensor) -> "ArrayDataset":
        """A copy that holds only these samples, in this order."""
        factors = None if self.factors is None else self.factors[indices]
        return ArrayDataset(self.x[indices], self.y[indices], factors)


class Splits(NamedTuple):
    """The three disjoint parts of a data set; val is never a part of test."""

    train: ArrayDataset
    val: ArrayDataset
    test: ArrayDataset


def finite_range(x: Tensor, first: int = 0) -> tuple[float, float]:
    """The lowest and the highest value of samples [B, ...], the first of which is number `first` of its split.

    Raises:
        SettingError: a value is NaN or infinite; the message has the index of the first.
    """
    low, high = (value.item() for value in x.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        row, *rest = (~x.isfinite()).nonzero()[0].tolist()
        kind = "NaN" if x[row, *rest].isnan() else "infinity"
        raise SettingError(f"the data (--data) hold {kind} at index {[first + row, *rest]}: replace or leave them out")
    return low, high


def refuse_not_finite(x: npt.NDArray[np.generic], where: str) -> None:
    """Refuse NaN and infinity, with the index of the first.

    Raises:
        SettingError: there is one.
    """
    finite = np.isfinite(x)
    if finite.all():
        return
    first = tuple(int(i) for i in np.argwhere(~finite)[0])
    kind = "NaN" if np.isnan(x[first]) else "infinity (or a value beyond float32)"
    raise SettingError(
        f"{where} holds {int((~finite).sum()):,} values that are not finite, the first, {kind}, at index "
        f"{list(first)}: replace them or leave these samples out"
    )


def as_float(x: Tensor) -> Tensor:
    """Samples as floats: bytes become values in [0, 1], everything else is returned unchanged."""
    if x.dtype != torch.uint8:
        return x
    if not x.is_cpu:
        return x / 255
    # NumPy is as fast and starts no threads; waiting for those costs milliseconds on busy cores
    return torch.from_numpy(np.divide(x.numpy(), 255, dtype=np.float32))


def as_batch(batch: Any, dtype: torch.dtype = torch.float32) -> Batch:
    """A `Batch` of samples of this dtype from what a loader gives: x, (x,), (x, y) or a `Batch`; bytes mean [0, 1].

    Raises:
        SettingError: the loader gives something else.
    """
    parts = (batch,) if isinstance(batch, Tensor) else batch
    if not isinstance(parts, (tuple, list)) or not 1 <= len(parts) <= 2 or not isinstance(parts[0], Tensor):
        raise SettingError(
            f"the data loader gives a {type(batch).__name__}: let a batch be a tensor x or a pair (x, y) of tensors"
        )
    x = as_float(parts[0])
    if x.is_floating_point():
        x = x.to(dtype)
    if x is parts[0] and isinstance(batch, Batch):
        return batch
    return Batch(x, parts[1] if len(parts) == 2 else no_labels(len(x), x.device))


def no_labels(n: int, device: torch.device | None = None) -> Tensor:
    """Labels [n] that say that no sample has one: -1 each."""
    return torch.full((n,), -1, device=device)
