"""The interfaces of encoders and decoders.

YAML names a class and its own settings; the model adds the shapes, which come from the data module.
"""

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.nets.precision import full_result


class Encoder(nn.Module):
    """Maps x [B, *input_shape] to features [B, out_features], in single precision at least."""

    def __init__(self, input_shape: Shape, out_features: int) -> None:
        super().__init__()
        self.register_forward_hook(full_result)
        self.input_shape, self.out_features = tuple(input_shape), out_features


class Decoder(nn.Module):
    """Maps codes z [B, in_features] to raw output [B, *output_shape], which a likelihood interprets.

    The output has single precision at least.
    """

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__()
        self.register_forward_hook(full_result)
        self.in_features, self.output_shape = in_features, tuple(output_shape)


EncoderFactory: TypeAlias = Callable[[Shape, int], Encoder]
DecoderFactory: TypeAlias = Callable[[int, Shape], Decoder]


def image_shape(net: nn.Module, shape: Shape) -> tuple[int, int, int]:
    """(channels, height, width) of image data.

    Raises:
        SettingError: the data are flat vectors, which a convolutional network cannot process.
    """
    if len(shape) != 3:
        raise SettingError(
            f"{type(net).__name__} needs images [C, H, W] but the data set gives {tuple(shape)}: "
            "choose an MLP network (MLPEncoder / MLPDecoder) or a data set of images"
        )
    channels, height, width = shape
    return channels, height, width
