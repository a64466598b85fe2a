"""What samples and labels have to be like, whoever gives them."""

import torch
from torch import Tensor

from lit_ae.data.rows import Samples
from lit_ae.errors import SettingError


def refuse_unlike(x: Samples, shape: tuple[int, ...], where: str) -> None:
    """Refuse samples [N, ...] of another shape, with which broadcasting would compute nonsense, or of another type.

    Raises:
        SettingError: they are not [N, *shape], or neither bytes nor floats.
    """
    if x.shape[1:] != shape:
        raise SettingError(
            f"{where} samples of shape {list(x.shape[1:])}, but input_shape is {list(shape)}: reshape them to "
            f"[N, {', '.join(map(str, shape))}], or change input_shape"
        )
    if x.dtype != torch.uint8 and not x.dtype.is_floating_point:
        raise SettingError(f"{where} samples of type {x.dtype}: give bytes (uint8), which mean 0 to 1, or floats")


def refuse_other_classes(y: Tensor, classes: int, where: str) -> None:
    """Refuse labels [N] that are not int64, or beyond the number of classes (0: any).

    Raises:
        SettingError: naming the highest label and the number of classes.
    """
    if y.dtype != torch.int64:
        raise SettingError(f"{where} labels y of type {y.dtype}: give whole numbers (int64), -1 for unlabelled samples")
    if classes and len(y) and (highest := int(y.max())) >= classes:
        raise SettingError(
            f"{where} the label {highest}, but num_classes is {classes}: give labels from 0 to {classes - 1}, -1 for "
            "unlabelled samples, or change num_classes"
        )


def refuse_bits(brightest: float, where: str) -> None:
    """Refuse bytes of which none is above 1: these are truth values, and would be read as black.

    Args:
        brightest: the largest of the bytes.
        where: what a message begins with, such as `--data.path masks holds`.

    Raises:
        SettingError: it is 1.
    """
    if brightest == 1:
        raise SettingError(
            f"{where} bytes from 0 to 1, where 255 means white: multiply them by 255 (in an array, truth values (bool) "
            "or floats do as well)"
        )
