"""Labels of any kind as classes 0, 1, ...; what means "no label" as -1."""

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lit_ae.errors import SettingError

# Texts that pandas takes as missing in a table, and what Python, NumPy and pandas write for it
UNLABELLED = {
    "",
    "nan",
    "NaN",
    "NAN",
    "-nan",
    "-NaN",
    "NA",
    "N/A",
    "n/a",
    "#NA",
    "#N/A",
    "<NA>",
    "None",
    "NULL",
    "null",
}
UNLABELLED |= {"NaT", "-1"}
EXACT = 2**53  # whole numbers up to here are exact as floats


class Labels(NamedTuple):
    """Classes of samples."""

    y: Tensor  # [N] int64, -1 where unlabelled
    names: tuple[str, ...]  # of the classes, as they occur


def as_labels(values: Any, n: int, where: str, all_named: bool = False) -> Labels:
    """Labels of n samples: whole numbers, texts or truth values; the classes are those that occur, in order.

    -1, NaN, None, masked values and empty texts mean unlabelled, and so do the texts that pandas takes as missing, such
    as `NA`. Floats are classes where they are whole numbers. Texts that are all whole numbers are ordered as numbers.

    Args:
        values: array-like [n].
        n: number of samples.
        where: what names them in a message, such as `--data.path labels.npy`.
        all_named: whether every text is the name of a class, also `None` or `-1`.

    Raises:
        SettingError: another shape, fractions, whole numbers below -1, no others than -1 and 1, or values of another
            kind.
    """
    given = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    array, missing = np.asarray(given), np.ma.getmaskarray(given)
    if array.ndim == 2 and array.shape[1:] == (1,):
        array, missing = array[:, 0], missing[:, 0]
    if array.shape != (n,):
        remedy = "the index of the 1 in each row" if array.ndim == 2 and array.shape[0] == n else "a label each"
        raise SettingError(f"{where} has {n} samples but labels of shape {list(array.shape)}: give {remedy}")
    if array.dtype.kind in "USO":
        texts = [
            None if masked else str(value) if all_named else _text(value, where)
            for value, masked in zip(array, missing, strict=True)
        ]
        missing = np.array([text is None for text in texts], dtype=bool)
        keys: npt.NDArray[Any] = np.array([text or "" for text in texts])
        sign = "" if all_named else "-?"
        if all(text is None or re.fullmatch(f"{sign}[1-9][0-9]{{0,17}}|0", text) for text in texts):
            array = np.array([-1 if text is None else int(text) for text in texts], dtype=np.int64)
    if array.dtype.kind in "iub":
        missing = missing | (array == -1) if array.dtype.kind == "i" else missing
        if array.dtype.kind == "i" and (array[~missing] < 0).any():
            lowest = array[~missing].min()
            raise SettingError(
                f"{where} has the label {lowest}: use -1 for unlabelled samples and 0, 1, ... for classes"
            )
        keys = array
    elif array.dtype.kind == "f":
        missing = missing | np.isnan(array) | (array == -1)
        known = array[~missing]
        wrong = ~(np.isfinite(known) & (known == known.round()) & (known >= 0) & (known <= EXACT))
        if wrong.any():
            first = known[wrong][0]
            raise SettingError(f"{where} has the label {first:g}, which is no class: give whole numbers or names")
        keys = np.where(missing, 0, array).astype(np.int64)
    elif array.dtype.kind not in "USO":
        raise SettingError(f"{where} has labels of type {array.dtype}: give whole numbers or names")
    classes, own = np.unique(keys[~missing], return_inverse=True)
    signs = array.dtype.kind in "if" and missing.any() and bool((array[missing] == -1).all())
    if signs and classes.tolist() == [1]:
        raise SettingError(
            f"{where} has no other labels than -1, which means unlabelled, and 1: give two classes as 0 and 1"
        )
    y = np.full(n, -1, dtype=np.int64)
    y[~missing] = own
    return Labels(torch.from_numpy(y), tuple(str(name) for name in classes.tolist()))


def _text(value: Any, where: str) -> str | None:
    """A label's name; None where it means unlabelled."""
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        if not (np.isfinite(value) and value == np.round(value) and np.abs(value) <= EXACT):
            raise SettingError(f"{where} has the label {value:g}, which is no class: give whole numbers or names")
        value = int(value)
    text = str(value).strip()
    return None if text in UNLABELLED else text
