"""Codes of given samples and samples of given codes, in chunks, on the CPU."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import CHUNK, reconstruction_module


def encoded(trainer: Trainer, x: Tensor, y: Tensor) -> Tensor:
    """Mean codes [N, D] of x [N, *shape] as it is, whatever the family corrupts, with labels y [N]."""
    module = reconstruction_module(trainer)
    parts = []
    for samples, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        with torch.no_grad(), module.given(labels.to(module.device)):
            parts.append(module.encode(samples.to(module.device)).mu.float().cpu())
    return torch.cat(parts)


def decoded(trainer: Trainer, z: Tensor, y: Tensor) -> Tensor:
    """Mean samples [N, *shape] of codes [N, D] with labels y [N]."""
    module = reconstruction_module(trainer)
    parts = []
    for codes, labels in zip(z.split(CHUNK), y.split(CHUNK), strict=True):
        with torch.no_grad(), module.given(labels.to(module.device)):
            parts.append(module.decode(codes.to(module.device)).float().cpu())
    return torch.cat(parts)
