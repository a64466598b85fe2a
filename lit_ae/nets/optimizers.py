"""The optimiser of what is trained beside a model."""

from collections.abc import Iterable

import torch
from torch import nn


def adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Adam:
    """PyTorch's Adam (Kingma & Ba 2015), as one kernel a step on devices that have it: CPU and CUDA."""
    wanted = list(parameters)
    return torch.optim.Adam(wanted, lr=lr, fused=all(p.device.type in ("cpu", "cuda") for p in wanted))
