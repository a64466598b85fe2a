"""Training steps of the convolutional nets in the two memory formats."""

import copy
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F

from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from ratios.turns import in_turns

STEPS = 10  # in a turn


def steps(encoder: torch.nn.Module, decoder: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Takes `STEPS` steps of an AE of these nets."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def take() -> None:
        for _ in range(STEPS):
            loss = F.mse_loss(decoder(encoder(x)).sigmoid(), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return take


def over_contiguous(batch: int) -> float:
    """Speed of the nets as they are, in channels-last, relative to the same layers in the contiguous format."""
    x = torch.rand(batch, 1, 28, 28)
    ours = ConvEncoder((1, 28, 28), 16), ConvDecoder(16, (1, 28, 28))
    # only their layers: the encoder's `forward` converts its input
    plain = [copy.deepcopy(net.layers).to(memory_format=torch.contiguous_format) for net in ours]
    return statistics.median(in_turns(steps(*plain, x), steps(*ours, x)))
