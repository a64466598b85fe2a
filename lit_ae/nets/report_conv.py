"""The networks of the original publication on sparse and contractive autoencoders: pooling, transposed convolutions."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.nets.base import Decoder, Encoder, dense, image_shape


def _small_map(net: nn.Module, shape: Shape, levels: int) -> tuple[int, int, int]:
    """(image channels, height, width) with height and width halved `levels` times, rounded down.

    Raises:
        SettingError: the data are not images, or too small to be halved so often.
    """
    n_image, height, width = image_shape(net, shape)
    scale = 2**levels
    if min(height, width) < scale:
        raise SettingError(
            f"{type(net).__name__} halves images {levels} times but they are {height} × {width}: "
            f"give fewer channels, or images of at least {scale} × {scale}"
        )
    return n_image, height // scale, width // scale


class ReportConvEncoder(Encoder):
    """3 × 3 'same' convolutions with ReLU, each followed by 2 × 2 max-pooling, then a linear layer.

    28 → 14 → 7 → 3 pixels; 664,704 parameters for one image channel and 128 code dimensions. The memory format is
    channels last, in which it is faster on a CPU.

    Args:
        channels: number of filters of each convolution, from the image to the code.

    Raises:
        SettingError: the data are not images, or too small.
    """

    def __init__(
        self,
        input_shape: Shape,
        out_features: int,
        channels: list[int] = [64, 128, 256],  # noqa: B006 - a YAML default, never mutated
    ) -> None:
        super().__init__(input_shape, out_features)
        n_image, height, width = _small_map(self, input_shape, len(channels))
        blocks: list[nn.Module] = []
        for n_in, n_out in pairwise([n_image, *channels]):
            blocks += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        _, *full = input_shape
        self.hidden_sizes = tuple(n * math.prod(side >> i for side in full) for i, n in enumerate(channels, start=1))
        self.layers = nn.Sequential(*blocks, nn.Flatten(), dense(channels[-1] * height * width, out_features))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, out_features]."""
        out: Tensor = self.layers(x.contiguous(memory_format=torch.channels_last))
        return out


class ReportConvDecoder(Decoder):
    """A linear layer to a small map, 3 × 3 transposed convolutions of stride 2, zero padding, and a 3 × 3 convolution.

    3 → 6 → 12 → 24 pixels, padded to 28; 666,635 parameters for one image channel and 128 code dimensions. There is a
    ReLU after every layer but the last, so also on the layer with the image's channels: if all of its units are dead,
    the output no longer depends on the code. With PyTorch's random bias every third network is dead from the start,
    so the bias of this layer starts at 1. The bias of the last convolution starts at -3, a dark image under a
    sigmoid, because the padded margin depends on this bias alone and Adam would need thousands of steps to darken it.

    Args:
        channels: number of filters, from the code to the image; one more transposed convolution then produces the
            image's channels.

    Raises:
        SettingError: the data are not images, or too small.
    """

    def __init__(
        self,
        in_features: int,
        output_shape: Shape,
        channels: list[int] = [256, 128, 64],  # noqa: B006 - a YAML default, never mutated
    ) -> None:
        super().__init__(in_features, output_shape)
        n_image, height, width = _small_map(self, output_shape, len(channels))
        blocks: list[nn.Module] = [
            dense(in_features, channels[0] * height * width),
            nn.ReLU(),
            nn.Unflatten(1, (channels[0], height, width)),
        ]
        for n_in, n_out in pairwise([*channels, n_image]):
            up = nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)
            blocks += [up, nn.ReLU()]
        self.hidden_sizes = tuple(n * height * width * 4**i for i, n in enumerate(channels))
        assert up.bias is not None
        nn.init.ones_(up.bias)  # of the last transposed convolution
        self.layers = nn.Sequential(*blocks)
        missing_h, missing_w = (full % 2 ** len(channels) for full in output_shape[1:])
        left, top = missing_w // 2, missing_h // 2
        self.margins = (left, missing_w - left, top, missing_h - top)
        self.last = nn.Conv2d(n_image, n_image, 3, padding=1)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, -3.0)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """[B, in_features] → [B, C, H, W]."""
        out: Tensor = self.last(F.pad(self.layers(z), self.margins))
        return out
