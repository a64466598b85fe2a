"""Multilayer perceptrons."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.nets.base import Decoder, DecoderFactory, Encoder, EncoderFactory, dense

Activation: TypeAlias = Literal["relu", "leaky_relu", "tanh", "elu", "sigmoid"]
Norm: TypeAlias = Literal["none", "batch", "layer"]
Initialisation: TypeAlias = Literal["default", "xavier", "he"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),  # slope of Radford et al. 2016
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
}
NORMS: dict[str, Callable[[int], nn.Module] | None] = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
INITIALISATIONS: dict[str, Callable[[Tensor], Any] | None] = {
    "default": None,  # PyTorch's own
    "xavier": nn.init.xavier_uniform_,  # Glorot & Bengio 2010
    "he": nn.init.kaiming_uniform_,  # He et al. 2015
}


def mlp(
    sizes: Sequence[int],
    activation: Activation = "relu",
    norm: Norm = "none",
    dropout: float = 0.0,
    initialisation: Initialisation = "default",
) -> nn.Sequential:
    """Linear layers sizes[0] → … → sizes[-1], with norm, activation and dropout after every layer but the last.

    Raises:
        SettingError: a width below 1.
    """
    if min(sizes) < 1:
        raise SettingError(f"widths of an MLP are {list(sizes[1:-1])}: each must be at least 1")
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        linear = dense(n_in, n_out)
        initialise = INITIALISATIONS[initialisation]
        if initialise is not None:
            initialise(linear.weight)
            nn.init.zeros_(linear.bias)
        layers.append(linear)
        if i == len(sizes) - 2:
            break
        make_norm = NORMS[norm]
        if make_norm is not None:
            layers.append(make_norm(n_out))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class Scale(nn.Module):
    """Multiplies each of the features of its input by the same constant."""

    def __init__(self, factor: float, features: int) -> None:
        super().__init__()
        self.factor, self.features = factor, features

    def forward(self, x: Tensor) -> Tensor:
        """factor · x, for x [B, features]."""
        return self.factor * x


class MLPEncoder(Encoder):
    """A multilayer perceptron from the flattened sample to a linear output.

    Args:
        widths: number of units of each hidden layer, from the input to the output.
        activation: activation of the hidden layers.
        norm: normalisation after each hidden linear layer.
        dropout: probability of dropout after each hidden activation (the "dropout AE").
        initialisation: initialisation of the weights: PyTorch's default, Xavier (Glorot) or He.
        input_scale: factor of the input. 1 / √(`pixel_mean`² + `pixel_std`²) of the data module gives inputs a mean
            square of 1: 2.988 for MNIST, 2.240 for the embedded digits. Samples and reconstructions keep their scale.

    Raises:
        SettingError: `input_scale` not positive, or a width below 1.
    """

    def __init__(
        self,
        input_shape: Shape,
        out_features: int,
        widths: list[int] = [256],  # noqa: B006 - a YAML default, never mutated
        activation: Activation = "relu",
        norm: Norm = "none",
        dropout: float = 0.0,
        initialisation: Initialisation = "default",
        input_scale: float = 1.0,
    ) -> None:
        super().__init__(input_shape, out_features)
        if not input_scale > 0:
            raise SettingError(f"model.encoder.input_scale is {input_scale}: it must be above 0")
        self.hidden_sizes = tuple(widths)
        sizes = [math.prod(input_shape), *widths, out_features]
        self.layers = mlp(sizes, activation, norm, dropout, initialisation)
        if input_scale != 1:
            self.layers.insert(0, Scale(input_scale, sizes[0]))

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] → [B, out_features]."""
        out: Tensor = self.layers(x.flatten(1))
        return out


class MLPDecoder(Decoder):
    """A multilayer perceptron from the code to raw output in the shape of a sample.

    Args:
        widths: number of units of each hidden layer, from the code to the output.
        activation: activation of the hidden layers.
        norm: normalisation after each hidden linear layer.
        dropout: probability of dropout after each hidden activation.
        initialisation: initialisation of the weights: PyTorch's default, Xavier (Glorot) or He.
    """

    def __init__(
        self,
        in_features: int,
        output_shape: Shape,
        widths: list[int] = [256],  # noqa: B006 - a YAML default, never mutated
        activation: Activation = "relu",
        norm: Norm = "none",
        dropout: float = 0.0,
        initialisation: Initialisation = "default",
    ) -> None:
        super().__init__(in_features, output_shape)
        self.hidden_sizes = tuple(widths)
        sizes = [in_features, *widths, math.prod(output_shape)]
        self.layers = mlp(sizes, activation, norm, dropout, initialisation)

    def forward(self, z: Tensor) -> Tensor:
        """[B, in_features] → [B, *output_shape]."""
        out: Tensor = self.layers(z)
        return out.view(-1, *self.output_shape)


def default_encoder(latent_dim: int) -> EncoderFactory:
    """An MLP with one hidden layer of 256 units, or of as many as the code has dimensions if those are more."""
    return partial(MLPEncoder, widths=[max(256, latent_dim)])


def default_decoder(latent_dim: int) -> DecoderFactory:
    """An MLP with one hidden layer of 256 units, or of as many as the code has dimensions if those are more."""
    return partial(MLPDecoder, widths=[max(256, latent_dim)])
