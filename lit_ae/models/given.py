"""What a caller gives to a trained model in Python: arrays, labels and samplers that fit it, or are refused."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lit_ae.data.containers import as_float, finite_range
from lit_ae.errors import SettingError
from lit_ae.models.capabilities import Conditional
from lit_ae.models.chunks import CHUNK

if TYPE_CHECKING:
    from lit_ae.models.base import GenerativeModule


def given_samples(module: GenerativeModule, x: Any) -> Tensor:
    """Samples x as a tensor of bytes or floats [N, *input_shape], which shares the memory of x where it can.

    Raises:
        SettingError: they have another shape or type, a value that is not finite, or values that the likelihood of the
            model does not take, as in training.
    """
    samples = x.detach() if isinstance(x, Tensor) else _as_tensor(x)
    if tuple(samples.shape[1:]) != module.input_shape:
        raise SettingError(
            f"x has shape {list(samples.shape)}, but the model takes samples [N, {str(list(module.input_shape))[1:]}: "
            "reshape x"
        )
    if samples.dtype == torch.bool:
        samples = samples.to(torch.uint8) * 255
    if not samples.is_floating_point() and samples.dtype != torch.uint8:
        raise SettingError(f"x holds {samples.dtype}: give bytes (uint8) or floats")
    for start in range(0, len(samples), CHUNK):
        part = as_float(samples[start : start + CHUNK]).to(module.dtype)  # in which a large value may be infinite
        module.likelihood.check_range(*finite_range(part, start))
    if len(samples):
        module.likelihood.check_samples(samples)
    return samples


def _as_tensor(x: Any) -> Tensor:
    array = np.ascontiguousarray(x)
    if array.dtype.kind == "f":  # of either byte order, and wider than PyTorch's
        array = array.astype(np.float64 if array.itemsize > 8 else array.dtype.newbyteorder("="), copy=False)
    elif array.dtype not in (np.uint8, np.bool_):
        raise SettingError(f"x holds {array.dtype}: give bytes (uint8) or floats")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not writable.*")  # it is only read
        return torch.from_numpy(array)


def given_labels(module: GenerativeModule, y: Any, n: int) -> Tensor | None:
    """Labels [n] of a conditional model, of which a single one is meant for all samples; None if none are given.

    Raises:
        SettingError: the model takes no labels, or these are not n of its classes.
    """
    if y is None:
        return None
    family = type(module).__name__
    if not isinstance(module, Conditional):
        raise SettingError(
            f"y is given, but {family} takes no labels: leave it out, or choose a conditional family such as "
            "ConditionalVAE"
        )
    try:
        labels = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingError(
            f"y holds no numbers: give classes as whole numbers from 0 to {module.classes - 1}"
        ) from error
    if not (labels == labels.long()).all():
        raise SettingError(f"y holds fractions or NaN: give classes as whole numbers from 0 to {module.classes - 1}")
    labels = labels.long().expand(n) if labels.ndim == 0 else labels.long()
    if labels.shape != (n,):
        raise SettingError(f"y has shape {list(labels.shape)}, but there are {n} samples: give one class a sample")
    if n and not 0 <= int(labels.min()) <= int(labels.max()) < module.classes:
        raise SettingError(
            f"y runs from {int(labels.min())} to {int(labels.max())}, but the model knows classes 0 to "
            f"{module.classes - 1}"
        )
    return labels


def given_sampler(sampler: Any) -> Any:
    """The sampler.

    Raises:
        SettingError: it is no object with a method `sample`, but the name of a sampler or its class, for example.
    """
    if isinstance(sampler, type) or not callable(getattr(sampler, "sample", None)):
        what = sampler.__name__ if isinstance(sampler, type) else repr(sampler)
        raise SettingError(f"sampler is {what}: give a fitted one, such as lit_ae.Mixture().fit(codes)")
    return sampler
