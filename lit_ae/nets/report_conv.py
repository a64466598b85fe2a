"""The convolutional net of the sparse and contractive report: pooling inwards, strided transposed convolutions out."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.errors import SettingError
from lit_ae.nets.base import Decoder, Encoder, Shape, image_shape


def _small_map(net: nn.Module, shape: Shape, levels: int) -> tuple[int, int, int]:
    """(image channels, height, width) with height and width halved `levels` times, rounded down.

    Raises:
        SettingError: the data are not images, or so small that nothing would be left.
    """
    n_image, height, width = image_shape(net, shape)
    scale = 2**levels
    if min(height, width) < scale:
        raise SettingError(
            f"{type(net).__name__} halves images {levels} times but they are {height} × {width}: "
            f"give fewer channels or images of at least {scale} × {scale}"
        )
    return n_image, height // scale, width // scale


class ReportConvEncoder(Encoder):
    """3 × 3 'same' convolutions with ReLU, each followed by 2 × 2 max-pooling, then a linear layer.

    28 → 14 → 7 → 3; 664,704 parameters for one channel and 128 codes. Channels last in memory: twice as fast on a CPU.

    Args:
        channels: filters of each convolution, from the image inwards.

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
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(channels[-1] * height * width, out_features))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, out_features]."""
        out: Tensor = self.layers(x.contiguous(memory_format=torch.channels_last))
        return out


class ReportConvDecoder(Decoder):
    """A linear layer to the small map, 3 × 3 transposed convolutions of stride 2, zero padding, a 3 × 3 convolution.

    3 → 6 → 12 → 24, padded to 28; 666,635 parameters for one channel and 128 codes. ReLU after every layer but the
    last, the image-sized channel included: where that dies, no code changes the output any more. With PyTorch's
    random bias it is dead from the start in every third net, so its bias starts at 1. That of the last convolution
    starts at -3, a dark image under a sigmoid: the padded margin sees nothing else, and would take Adam thousands of
    steps to blacken.

    Args:
        channels: filters from the code outwards; the last transposed convolution gives the image's channels.

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
            nn.Linear(in_features, channels[0] * height * width),
            nn.ReLU(),
            nn.Unflatten(1, (channels[0], height, width)),
        ]
        for n_in, n_out in pairwise([*channels, n_image]):
            up = nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)
            blocks += [up, nn.ReLU()]
        assert up.bias is not None
        nn.init.ones_(up.bias)  # of the last
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
