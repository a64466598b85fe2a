"""The interfaces of encoders and decoders.

YAML names a class and its own settings; the model adds the shapes, which come from the data module.
"""

from collections.abc import Callable
from typing import TypeAlias

from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.nets.precision import full_result
from lit_ae.settings.memory import require_memory


class Encoder(nn.Module):
    """Maps x [B, *input_shape] to features [B, out_features], in single precision at least."""

    hidden_sizes: tuple[int, ...] = ()  # units of each layer between input and output, if the network states them

    def __init__(self, input_shape: Shape, out_features: int) -> None:
        super().__init__()
        self.register_forward_hook(full_result)
        self.input_shape, self.out_features = tuple(input_shape), out_features


class Decoder(nn.Module):
    """Maps codes z [B, in_features] to raw output [B, *output_shape], which a likelihood interprets.

    The output has single precision at least.
    """

    hidden_sizes: tuple[int, ...] = ()  # as for `Encoder`

    def __init__(self, in_features: int, output_shape: Shape) -> None:
        super().__init__()
        self.register_forward_hook(full_result)
        self.in_features, self.output_shape = in_features, tuple(output_shape)


def dense(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer of units.

    Raises:
        SettingError: its weights, their gradients and Adam's two moments do not fit into memory.
    """
    what, remedy = f"a layer of {n_in:,} x {n_out:,} weights", "lower model.latent_dim or the widths of the networks"
    require_memory(4 * 4 * n_in * n_out, what, remedy)
    return nn.Linear(n_in, n_out)


EncoderFactory: TypeAlias = Callable[[Shape, int], Encoder]
DecoderFactory: TypeAlias = Callable[[int, Shape], Decoder]


def warn_if_narrow(net: nn.Module, setting: str, latent_dim: int) -> None:
    """Say in one line that a layer of a network has fewer units than the code that it makes or reads.

    Such a code has at most as many independent dimensions as the layer has units. This is no error: an overcomplete
    sparse code, for example, may be wanted.

    Args:
        net: encoder or decoder; one that does not state its `hidden_sizes` is not judged.
        setting: what the message calls the network, such as `model.encoder`.
        latent_dim: size of the code.
    """
    narrowest = min(getattr(net, "hidden_sizes", ()), default=latent_dim)
    if narrowest < latent_dim:
        rank_zero_warn(
            f"{setting} has a layer of {narrowest} units, fewer than model.latent_dim {latent_dim}: the code has "
            f"at most {narrowest} independent dimensions: widen that layer, or lower model.latent_dim"
        )


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
