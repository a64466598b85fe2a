"""Labels of any kind as classes 0, 1, ...; what means "no label" as -1."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lit_ae.errors import SettingError

UNLABELLED = ("", "nan")  # texts, in any case


class Labels(NamedTuple):
    """Classes of samples."""

    y: Tensor  # [N] int64, -1 where unlabelled
    names: tuple[str, ...]  # of the classes, as they occur


def as_labels(values: Any, n: int, where: str) -> Labels:
    """Labels of n samples: whole numbers, texts or truth values; the classes are those that occur, in order.

    -1, NaN, None, masked values, NaT and empty texts mean unlabelled. Floats are classes where they are whole numbers.

    Args:
        values: array-like [n].
        n: number of samples.
        where: what names them in a message, such as `--data.path labels.npy`.

    Raises:
        SettingError: another shape, fractions, whole numbers below -1, or values of another kind.
    """
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1:] == (1,):
        array, mask = array[:, 0], None if mask is None else mask[:, 0]
    if array.shape != (n,):
        raise SettingError(f"{where} has {n} samples but labels of shape {list(array.shape)}: give a label each")
    if array.dtype.kind in "iub":
        missing = array.astype(np.int64) == -1 if array.dtype.kind == "i" else np.zeros(n, bool)
        if array.dtype.kind == "i" and (array < -1).any():
            raise SettingError(
                f"{where} has the label {array.min()}: use -1 for unlabelled samples and 0, 1, ... for classes"
            )
        keys: npt.NDArray[Any] = array
    elif array.dtype.kind == "f":
        missing = np.isnan(array) | (array == -1)
        known = array[~missing]
        if not np.isfinite(known).all() or (known != known.round()).any() or (known < 0).any():
            wrong = known[~np.isfinite(known) | (known != known.round()) | (known < 0)][0]
            raise SettingError(f"{where} has the label {wrong:g}, which is no class: give whole numbers or names")
        keys = np.where(missing, 0, array).astype(np.int64)
    elif array.dtype.kind in "USO":
        texts = [_text(value, where) for value in array]
        missing = np.array([text is None for text in texts])
        keys = np.array([text or "" for text in texts])
    else:
        raise SettingError(f"{where} has labels of type {array.dtype}: give whole numbers or names")
    if mask is not None:
        missing = missing | mask
    classes, own = np.unique(keys[~missing], return_inverse=True)
    y = np.full(n, -1, dtype=np.int64)
    y[~missing] = own
    return Labels(torch.from_numpy(y), tuple(str(name) for name in classes.tolist()))


def _text(value: Any, where: str) -> str | None:
    """A label's name; None where it means unlabelled."""
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float):
        if np.isnan(value):
            return None
        if value != round(value):
            raise SettingError(f"{where} has the label {value:g}, which is no class: give whole numbers or names")
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in UNLABELLED or text == "-1" else text
