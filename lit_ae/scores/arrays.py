"""Arrays of any kind as checked tensors on the CPU."""

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "Tensor | NDArray[Any]"


def tensor(x: Array, name: str, ndim: int, shape: str) -> Tensor:
    """X as a tensor of so many dimensions, without gradient, on the CPU.

    Raises:
        ValueError: it has another number of dimensions, or a value is NaN or infinite.
    """
    if not isinstance(x, Tensor):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not writable.*")  # it is only read
            x = torch.from_numpy(np.ascontiguousarray(x))
    found = x.detach().cpu()
    if found.ndim != ndim:
        raise ValueError(f"{name} has shape {list(found.shape)}: give {shape}")
    if found.is_floating_point() and not found.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values: remove those samples, or correct what produced them")
    return found


def images(x: Array, name: str) -> Tensor:
    """Images [N, C, H, W] as floats in [0, 1].

    Raises:
        ValueError: another shape or type, bytes that are all 0 or 1, or pixels outside [0, 1].
    """
    found = tensor(x, name, 4, "images [N, C, H, W]; grey images [N, H, W] become that by x[:, None]")
    if found.dtype == torch.uint8:
        if found.numel() and found.max() == 1:
            raise ValueError(f"{name} holds bytes of 0 and 1, which mean 0 and 1/255: give 0 and 255, or floats")
        return found.float() / 255
    if not found.is_floating_point():
        raise ValueError(f"{name} holds {found.dtype}: give bytes (uint8), or floats in [0, 1]")
    if found.numel() and not 0 <= found.min().item() <= found.max().item() <= 1:
        raise ValueError(
            f"{name} holds pixels from {found.min().item():.4g} to {found.max().item():.4g}: scale them to [0, 1], or "
            "clip them by x.clip(0, 1)"
        )
    return found.float()


def same_shape(x: Tensor, other: Tensor, name: str, other_name: str) -> None:
    """Raise ValueError if two arrays [N, ...] hold samples of different shapes."""
    if x.shape[1:] != other.shape[1:]:
        raise ValueError(
            f"{name} and {other_name} have samples of shapes {list(x.shape[1:])} and {list(other.shape[1:])}: they "
            "must be the same"
        )


def codes(x: Array, name: str) -> Tensor:
    """Codes [N, D] as floats, at least 2 of them.

    Raises:
        ValueError: another shape, or fewer.
    """
    found = tensor(x, name, 2, "codes [N, D]")
    if len(found) < 2 or not found.shape[1]:
        raise ValueError(f"{name} has shape {list(found.shape)}: give at least 2 codes of at least one dimension")
    return floats(found)


def floats(x: Tensor) -> Tensor:
    """X in its own precision, at least single; whole numbers in double precision."""
    if not x.is_floating_point():
        return x.double()
    return x.to(torch.promote_types(x.dtype, torch.float32))


def labels(y: Array, name: str, n: int) -> Tensor:
    """Class labels [n], whole numbers from 0.

    Raises:
        ValueError: another number of labels, a negative one, or one that is no whole number.
    """
    found = tensor(y, name, 1, "one class label a sample, [N]")
    if len(found) != n:
        raise ValueError(f"{name} has {len(found)} labels, but there are {n} samples: give one each")
    whole = found.long()
    if not (found.double() == whole).all() or (whole < 0).any():
        raise ValueError(f"{name} must hold whole numbers from 0 (a label below 0 is a missing one): leave others out")
    return whole
