"""A last batch of one sample, from which batch normalisation cannot take a variance."""

import math

import torch
from torch import nn

from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError
from lit_ae.nets.base import Decoder, Encoder


def refuse_batch_of_one(module: nn.Module, data: BaseDataModule, processes: int = 1) -> None:
    """Refuse a batch size that leaves one sample over, if the model normalises single numbers over the batch.

    Args:
        module: the model.
        data: its data.
        processes: number of processes that share the samples.

    Raises:
        SettingError: naming the batch size, the number of samples and a batch size that leaves none.
    """
    samples, size = math.ceil(len(data.split("train")) / processes), data.batch_size
    if not (samples % size == 1 or size == 1) or not _normalises_numbers(module):
        return
    better = next(n for n in range(max(2, size), samples + 2) if samples % n != 1)
    each = " of each process" if processes > 1 else ""
    raise SettingError(
        f"data.batch_size is {size}, which makes a batch of one of {samples:,} training samples{each}, and the model "
        f"has batch normalisation, which needs two or more: set it to {better}, or choose another norm"
    )


def _normalises_numbers(module: nn.Module) -> bool:
    """Whether batch normalisation finds one number of each channel in a sample: vectors, or maps of one pixel."""
    if any(isinstance(part, nn.BatchNorm1d) for part in module.modules()):
        return True
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    encoder, decoder = getattr(module, "encoder", None), getattr(module, "decoder", None)
    if not norms or not isinstance(encoder, Encoder) or not isinstance(decoder, Decoder):
        return False
    sizes: list[int] = []
    hooks = [norm.register_forward_pre_hook(lambda _, x: sizes.append(x[0][0, 0].numel())) for norm in norms]
    modes, device = [(part, part.training) for part in module.modules()], next(module.parameters()).device
    try:
        with torch.no_grad():
            module.eval()  # no statistics are taken
            encoder(torch.zeros(1, *encoder.input_shape, device=device))
            decoder(torch.zeros(1, decoder.in_features, device=device))
    finally:
        for part, training in modes:
            part.training = training
        for hook in hooks:
            hook.remove()
    return 1 in sizes
