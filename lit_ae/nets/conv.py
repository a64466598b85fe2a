"""Strided convolutional encoder, and the decoder that mirrors it with transposed convolutions.

Their memory format is channels last, in which convolutions are at least as fast on a CPU.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.nets.base import Decoder, Encoder, dense, image_shape
from lit_ae.nets.mlp import ACTIVATIONS, Activation

ConvNorm: TypeAlias = Literal["none", "batch"]


def _block(conv: nn.Module, channels: int, activation: Activation, norm: ConvNorm) -> list[nn.Module]:
    return [conv, *([nn.BatchNorm2d(channels)] if norm == "batch" else []), ACTIVATIONS[activation]()]


class ConvEncoder(Encoder):
    """4 × 4 convolutions of stride 2, each of which halves height and width, then a linear layer.

    Args:
        channels: number of filters of each convolution, from the image to the code.
        activation: activation after each convolution.
        norm: normalisation between convolution and activation.

    Raises:
        SettingError: the data are not images, or too small for so many convolutions.
    """

    def __init__(
        self,
        input_shape: Shape,
        out_features: int,
        channels: list[int] = [32, 64],  # noqa: B006 - a YAML default, never mutated
        activation: Activation = "relu",
        norm: ConvNorm = "none",
    ) -> None:
        super().__init__(input_shape, out_features)
        n_in, height, width = image_shape(self, input_shape)
        blocks: list[nn.Module] = []
        for n_out in channels:
            blocks += _block(nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), n_out, activation, norm)
            n_in, height, width = n_out, height // 2, width // 2
            self.hidden_sizes += (n_out * height * width,)
        if min(height, width) < 1:
            raise SettingError(
                f"channels {channels} halve images of {tuple(input_shape[1:])} below one pixel: give fewer channels"
            )
        self.layers = nn.Sequential(*blocks, nn.Flatten(), dense(n_in * height * width, out_features))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, out_features]."""
        out: Tensor = self.layers(x.contiguous(memory_format=torch.channels_last))
        return out


class ConvDecoder(Decoder):
    """A linear layer to a small feature map, then 4 × 4 transposed convolutions of stride 2 up to the image.

    Args:
        channels: number of filters, from the code to the image; one more transposed convolution then produces the
            image's channels.
        activation: activation after every layer but the last.
        norm: normalisation between convolution and activation.

    Raises:
        SettingError: the data are not images, or no channels.
    """

    def __init__(
        self,
        in_features: int,
        output_shape: Shape,
        channels: list[int] = [64, 32],  # noqa: B006 - a YAML default, never mutated
        activation: Activation = "relu",
        norm: ConvNorm = "none",
    ) -> None:
        super().__init__(in_features, output_shape)
        n_image, self.height, self.width = image_shape(self, output_shape)
        if not channels:
            raise SettingError("ConvDecoder.channels is empty: give the number of filters of at least one layer")
        scale = 2 ** len(channels)
        height, width = -(-self.height // scale), -(-self.width // scale)  # rounded up, cropped at the end
        n_in = channels[0]
        self.hidden_sizes = tuple(n * height * width * 4**i for i, n in enumerate(channels))
        blocks: list[nn.Module] = [
            dense(in_features, n_in * height * width),
            nn.Unflatten(1, (n_in, height, width)),
            ACTIVATIONS[activation](),
        ]
        for n_out in channels[1:]:
            up = nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
            blocks += _block(up, n_out, activation, norm)
            n_in = n_out
        self.layers = nn.Sequential(*blocks, nn.ConvTranspose2d(n_in, n_image, 4, stride=2, padding=1))
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """[B, in_features] → [B, C, H, W]."""
        out: Tensor = self.layers(z)
        return out[..., : self.height, : self.width]
