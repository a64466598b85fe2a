"""DCGAN's generator and discriminator."""

import math

import torch
from torch import nn

from lit_ae.data.containers import Shape
from lit_ae.nets.base import image_shape
from lit_ae.nets.conv import ConvDecoder, ConvEncoder


def layer_widths(net: nn.Module, shape: Shape, width: int) -> list[int]:
    """Numbers of filters, starting at the image: doubled at each halving of the map, which stays at least 4 × 4.

    28 px: [w, 2w], down to 7 × 7; 32 px: [w, 2w, 4w], down to 4 × 4 (the paper's 64 px: [w, 2w, 4w, 8w]).
    """
    _, height, width_px = image_shape(net, shape)
    halvings = max(1, int(math.log2(min(height, width_px) / 4)))
    return [width * 2**i for i in range(halvings)]


def initialise(net: nn.Module) -> None:
    """Draw all weights from N(0, 0.02²), those of batch norm from N(1, 0.02²) (Radford et al. 2016, section 4)."""
    net.to(memory_format=torch.contiguous_format)  # random numbers are drawn in the order of the memory
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    net.to(memory_format=torch.channels_last)


class DCGANGenerator(ConvDecoder):
    """Projection, then fractionally strided convolutions; batch norm and ReLU on all layers but the last.

    Radford et al. 2016, figure 1 and its guidelines. The likelihood applies the activation of the output: a sigmoid
    for pixels in [0, 1], whereas the paper scales them to [-1, 1] and uses tanh.

    Args:
        width: number of filters of the layer next to the image; it doubles with each layer towards the code.

    Raises:
        SettingError: the data are not images.
    """

    def __init__(self, in_features: int, output_shape: Shape, width: int = 64) -> None:
        channels = layer_widths(self, output_shape, width)[::-1]
        super().__init__(in_features, output_shape, channels, activation="relu", norm="batch")
        self.layers.insert(2, nn.BatchNorm2d(channels[0]))  # after the projection
        initialise(self)


class DCGANDiscriminator(ConvEncoder):
    """Strided convolutions, leaky ReLU (0.2), batch norm on all layers but the first, and a linear output.

    Radford et al. 2016, guidelines and section 4.

    Args:
        width: number of filters of the first convolution; it doubles with each further layer.

    Raises:
        SettingError: the data are not images.
    """

    def __init__(self, input_shape: Shape, out_features: int, width: int = 64) -> None:
        channels = layer_widths(self, input_shape, width)
        super().__init__(input_shape, out_features, channels, activation="leaky_relu", norm="batch")
        del self.layers[1]  # the first layer's batch norm
        initialise(self)
