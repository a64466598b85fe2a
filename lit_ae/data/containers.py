"""The parts of a data set: batches, splits, and the conversion of samples to floats."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_ae.data.checks import refuse_other_classes, refuse_unlike
from lit_ae.data.rows import PART, Raw, Rows, Samples, parts_of
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
    """A whole split: x [N, *shape] uint8 (float32 unless the data are 8-bit images), y [N] int64.

    x is a tensor, or `Rows` of a large array, of which every index gives a tensor (`x[:]` all samples).
    `factors` [N, F] float32 are the known generative factors, if the data set has any.
    """

    x: Samples
    y: Tensor
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], self.y[index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these samples, on their device; DataLoader calls it once for each batch."""
        if isinstance(self.x, Tensor) and not self.x.is_cpu:
            places = torch.tensor(indices).to(self.x.device)
            return Batch(self.x[places], self.y[places])
        # NumPy's `take` is 4 times as fast as torch's indexing here, and starts no threads for such a small copy
        y = torch.from_numpy(self.y.numpy().take(indices, axis=0))
        x = self.x[indices] if isinstance(self.x, Rows) else torch.from_numpy(self.x.numpy().take(indices, axis=0))
        return Batch(x, y)

    def to(self, device: torch.device) -> "ArrayDataset":
        """A copy of samples and labels on this device, where batches are then gathered."""
        return ArrayDataset(self.x[:].to(device), self.y.to(device))

    def value_range(self) -> tuple[float, float]:
        """The lowest and the highest value of the samples as a model sees them; bytes are values from 0 to 1.

        Raises:
            SettingError: a value is NaN or infinite; the message has the index of the first.
        """
        if self.x.dtype == torch.uint8 or not len(self.x):
            return 0.0, 1.0
        parts = enumerate(self.x.split(PART))  # the samples may be mapped from a file
        lows, highs = zip(*(finite_range(part, number * PART) for number, part in parts), strict=True)
        return min(lows), max(highs)

    def subset(self, indices: Tensor) -> "ArrayDataset":
        """These samples alone, in this order: a copy of a tensor, a view of `Rows`."""
        x = self.x.view(indices) if isinstance(self.x, Rows) else self.x[indices]
        return ArrayDataset(x, self.y[indices], None if self.factors is None else self.factors[indices])

    def first(self, n: int) -> "ArrayDataset":
        """A view of the first n samples."""
        x = self.x.view(slice(n)) if isinstance(self.x, Rows) else self.x[:n]
        return ArrayDataset(x, self.y[:n], None if self.factors is None else self.factors[:n])

    def check(self, where: str, shape: Shape, classes: int) -> None:
        """Refuse samples of another shape or type, and labels that do not fit them; no value of x is read.

        Args:
            where: what a message begins with, such as `the train split of the data (--data) has`.
            shape: of one sample.
            classes: number of classes; 0 if there are no labels.

        Raises:
            SettingError: naming what is wrong and what to give instead.
        """
        if not isinstance(self.x, Tensor | Rows) or not isinstance(self.y, Tensor):
            found = " and ".join(type(value).__name__ for value in (self.x, self.y))
            raise SettingError(f"{where} x and y of type {found}: give tensors (torch.as_tensor), or x as Rows")
        refuse_unlike(self.x, shape, where)
        if self.y.shape != (len(self.x),):
            raise SettingError(
                f"{where} {len(self.x)} samples and labels y of shape {list(self.y.shape)}: give each sample a label, "
                "-1 if it has none"
            )
        refuse_other_classes(self.y, classes, where)


class Splits(NamedTuple):
    """The three disjoint parts of a data set; with the setting `all_samples` each of them is the whole data set."""

    train: ArrayDataset
    val: ArrayDataset
    test: ArrayDataset

    def checked(self, shape: Shape, classes: int) -> "Splits":
        """These splits, if samples are of this shape and labels below the number of classes (0: without labels).

        Raises:
            SettingError: naming the split, what is wrong in it and what to give instead.
        """
        for name in SPLITS:
            getattr(self, name).check(f"the {name} split of the data (--data) has", shape, classes)
        return self


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


def refuse_not_finite(x: Raw, where: str) -> None:
    """Refuse NaN, infinity, and values that become infinite in float32, with the index of the first.

    Raises:
        SettingError: there is one.
    """
    count, first, kind = 0, [0], ""
    for number, part in enumerate(parts_of(x)):
        with np.errstate(over="ignore"):
            finite = np.isfinite(part.astype(np.float32, copy=False))
        if finite.all():
            continue
        if not count:
            row, *rest = (int(i) for i in np.argwhere(~finite)[0])
            first = [number * PART + row, *rest]
            kind = "NaN" if np.isnan(part[row, *rest]) else "infinity (or a value beyond float32)"
        count += int((~finite).sum())
    if not count:
        return
    raise SettingError(
        f"{where} holds {count:,} values that are not finite, the first, {kind}, at index "
        f"{first}: replace them or leave these samples out"
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
    parts: Any = (batch,) if isinstance(batch, Tensor) else batch
    pair = isinstance(parts, (tuple, list)) and 1 <= len(parts) <= 2
    if not pair or not all(isinstance(part, Tensor) for part in parts):
        found = f" of {' and '.join(type(part).__name__ for part in parts)}" if pair else ""
        raise SettingError(
            f"the data loader gives a {type(batch).__name__}{found}: let a batch be a tensor x or a pair (x, y) of "
            "tensors"
        )
    if len(parts) == 2 and parts[1].shape[:1] != parts[0].shape[:1]:
        raise SettingError(
            f"the data loader gives x of shape {list(parts[0].shape)} with y of shape {list(parts[1].shape)}: give "
            "each sample a label"
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


COLLAPSED = "has values too far from 0 for their differences to be kept in float32: subtract its mean"
COARSE = 1e-3  # of a feature's range, the largest error of a value in float32 that is taken


def collapsed(x: Any) -> int | None:
    """The first feature of vectors [N, D] of any numbers that float32 would round by more than 1/1000 of its range."""
    if not len(x) or x.dtype.itemsize < 4 or x.dtype == np.float32:
        return None
    low, high, error = x[0], x[0], np.zeros(x.shape[1])
    whole = np.issubdtype(x.dtype, np.integer)
    for part in parts_of(x):
        low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
        values: Any = part.astype(np.float64) if whole else part
        rounded = values.astype(np.float32)
        errors = np.abs(values - rounded)
        if whole:  # above 2**53 float64 is no more exact than the error is large
            errors = np.where(np.abs(values) > 2.0**53, np.spacing(np.abs(rounded)), errors)
        error = np.maximum(error, errors.max(0).astype(np.float64))
    # Of whole numbers the difference modulo 2**64 is exact, also of the lowest and the highest
    span = high.astype(np.uint64) - low.astype(np.uint64) if whole else high - low
    wrong = np.flatnonzero((error > COARSE * span.astype(np.float64)) & (span > 0))
    return int(wrong[0]) if len(wrong) else None


def collapsed_column(columns: Iterable[Any]) -> int | None:
    """The first column of whole numbers to which the same applies.

    In double precision, to which a table of several types is converted, they may have lost their differences already.

    Args:
        columns: [N] each, of NumPy, pandas or polars, without missing values.
    """
    for place, column in enumerate(columns):
        kind = getattr(column.dtype, "kind", None) or np.asarray(column).dtype.kind  # polars has types of its own
        if kind in "iu" and collapsed(np.asarray(column, np.int64 if kind == "i" else np.uint64)[:, None]) is not None:
            return place
    return None
