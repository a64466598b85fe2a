"""Single precision at least for what must not be coarser, whatever the networks are computed in.

In bfloat16, exp(x) - 1 - x of a small x comes out negative, and so does a KL divergence; sums over pixels lose all but
three digits. So networks give their results in single precision (`Encoder`, `Decoder`), from which terms of the loss
are computed; products of matrices that are no networks are computed within `full_precision`.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


def full(x: Tensor) -> Tensor:
    """x in float32 if it has half precision, else unchanged."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def full_result(module: nn.Module, inputs: Any, result: Tensor) -> Tensor:
    """The result of a module in single precision at least; a forward hook."""
    return full(result)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside it autocast does not lower the precision of what is computed on the device."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if enabled else nullcontext()
