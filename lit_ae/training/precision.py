"""The precision of a run that does not set one: bfloat16 with float32 weights where that is faster, else float32.

It is faster where the device computes bfloat16 natively and the layers are large. Processors without such instructions
emulate them, about twelve times slower than float32.
"""

import time
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.tracking import machine

FULL, REDUCED = "32-true", "bf16-mixed"  # values of trainer.precision
CONVOLUTION, LINEAR = 2**15, 10**6  # least number of weights of a layer that is worth it
REPEATS = 3


def precision_for(module: nn.Module, accelerator: object) -> str:
    """The precision in which a model is trained and tested if `trainer.precision` is not set; reduced, it is said.

    Args:
        module: the model.
        accelerator: the setting `trainer.accelerator`.
    """
    if isinstance(module, ClosedFormModule) or not (has_large_layers(module) and is_native(accelerator)):
        return FULL
    rank_zero_info(f"trainer.precision is {REDUCED}, which this device computes natively; or set it to {FULL}")
    return REDUCED


def has_large_layers(module: nn.Module) -> bool:
    """Whether bfloat16 can be worth its conversions: a layer has 32,768 weights of filters or 1,000,000 other weights.

    Smaller networks spend their time between the layers and stay in float32.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return any(
        part.weight.numel() >= (LINEAR if isinstance(part, nn.Linear) else CONVOLUTION)
        for part in module.modules()
        if isinstance(part, (nn.Linear, *convolutions))
    )


def is_native(accelerator: object) -> bool:
    """Whether the device that the setting `trainer.accelerator` stands for computes bfloat16 natively.

    A GPU of NVIDIA does from compute capability 8.0 on. A processor needs the instructions, and a measurement of a few
    milliseconds has to find them faster than float32: libraries may be told not to use them.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator == "auto" and torch.backends.mps.is_available():
        return False
    return accelerator in ("auto", "cpu") and machine.has_bfloat16_instructions() and is_faster()


@cache
def is_faster() -> bool:
    """Whether this processor takes less time in bfloat16 than in float32 for a convolution and a linear layer.

    The time that one thread has the processor is measured, and the shortest of several is taken: on a busy machine, the
    time that passes tells more of other processes than of this one.
    """
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for _ in range(1 + REPEATS):
                for dtype, found in times.items():
                    found.append(_seconds(dtype))
    finally:
        torch.set_num_threads(threads)
    float32, bfloat16 = (min(found[1:]) for found in times.values())  # the first call compiles
    return bfloat16 < float32


def _seconds(dtype: torch.dtype) -> float:
    images: Any = torch.ones(4, 64, 14, 14, dtype=dtype).contiguous(memory_format=torch.channels_last)
    filters: Any = torch.ones(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    samples, weights = torch.ones(64, 1000, dtype=dtype), torch.ones(1000, 1000, dtype=dtype)
    start = time.thread_time()
    F.conv2d(images, filters, padding=1)
    F.linear(samples, weights)
    return time.thread_time() - start
