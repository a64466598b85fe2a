"""Networks as lists of operations that the page can carry out in JavaScript."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.capabilities import Conditional
from lit_ae.models.conditional_ae import LabelledDecoder
from lit_ae.models.rbm import Hidden, Visible
from lit_ae.models.vq_vae import VQVAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.nets.mlp import Scale
from lit_ae.nets.report_conv import ReportConvDecoder, ReportConvEncoder
from lit_ae.objectives.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood

Precision = Literal["float32", "float16", "uint8"]
BYTES: dict[Precision, int] = {"float32": 4, "float16": 2, "uint8": 1}
CHECKED = 64  # inputs on which the operations are compared with the model
TOLERANCE = 1e-4  # largest difference, relative to the largest value where that is above 1


@dataclass(frozen=True)
class Op:
    """One operation, as `network.js` knows it.

    Attributes:
        name: `linear`, `conv`, `deconv`, `affine`, `layer_norm`, `reshape`, `crop`, `pad`, `pool`, `onehot`,
            `quantise`, `first`, or an activation.
        settings: numbers that it needs beside tensors.
        tensors: its weights.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


class UnknownLayer(Exception):  # noqa: N818 - no fault: the server then decodes
    """A layer that the page cannot carry out."""


def decoder_ops(model: GenerativeModule, z: Tensor, y: Tensor | None) -> list[Op] | None:
    """The operations of `model.decode`; None if a layer is not known or codes z [N, D], labels y [N] decode otherwise.

    The same operations with rounded weights tell the error of rounding: see `run`.
    """
    labels = y if isinstance(model, Conditional) else None
    try:
        ops = [*_ops(model.decoder), *_mean(model.likelihood)]
    except UnknownLayer:
        return None
    with torch.no_grad():
        return ops if _agrees(ops, z[:CHECKED], labels, model.decode(z[:CHECKED], _some(labels))) else None


def encoder_ops(model: GenerativeModule, x: Tensor) -> list[Op] | None:
    """The operations that give mean codes; None if a layer is not known or they code x [N, *shape] differently.

    Of a family whose code depends on the label there are none either.
    """
    if not isinstance(model, ReconstructionModule):
        return None
    try:
        ops = _ops(model.encoder)
        if isinstance(model, VQVAE):
            ops.append(Op("quantise", {}, {"w": model.quantiser.codebook}))
        with torch.no_grad():
            expected = model.encode(x[:CHECKED]).mu
    except (UnknownLayer, ValueError):  # a conditional family refuses samples without labels
        return None
    for more in ([], [Op("first", {"n": model.latent_dim})], [Op("sigmoid")]):
        if _agrees([*ops, *more], x[:CHECKED], None, expected):
            return [*ops, *more]
    return None


def _some(y: Tensor | None) -> Tensor | None:
    return None if y is None else y[:CHECKED]


def _agrees(ops: list[Op], x: Tensor, y: Tensor | None, expected: Tensor) -> bool:
    found = run(ops, x, y)
    if found.shape != expected.shape:
        return False
    return bool((found - expected).abs().max() <= TOLERANCE * max(1.0, float(expected.abs().max())))


# -- from modules to operations ------------------------------------------------------------------------------------


def _ops(part: nn.Module) -> list[Op]:
    if isinstance(part, MLPEncoder):
        return [Op("reshape", {"shape": [-1]}), *_ops(part.layers)]
    if isinstance(part, MLPDecoder):
        return [*_ops(part.layers), Op("reshape", {"shape": list(part.output_shape)})]
    if isinstance(part, ConvDecoder):
        return [*_ops(part.layers), Op("crop", {"height": part.height, "width": part.width})]
    if isinstance(part, ReportConvDecoder):
        return [*_ops(part.layers), Op("pad", {"margins": list(part.margins)}), *_ops(part.last)]
    if isinstance(part, ConvEncoder | ReportConvEncoder):
        return _ops(part.layers)
    if isinstance(part, LabelledDecoder):
        return [Op("onehot", {"n": part.num_classes}), *_ops(part.decoder)]
    if isinstance(part, Hidden):
        return [Op("reshape", {"shape": [-1]}), Op("linear", {}, {"w": part.weight, "b": part.bias})]
    if isinstance(part, Visible):
        linear = Op("linear", {}, {"w": part.weight.T, "b": part.bias})
        return [linear, Op("reshape", {"shape": list(part.output_shape)})]
    if isinstance(part, nn.Sequential):
        return [op for layer in part for op in _ops(layer)]
    return _layer(part)


def _layer(part: nn.Module) -> list[Op]:
    for kind, name in ((nn.ReLU, "relu"), (nn.Tanh, "tanh"), (nn.Sigmoid, "sigmoid")):
        if isinstance(part, kind):
            return [Op(name)]
    if isinstance(part, nn.Dropout | nn.Identity):
        return []
    if isinstance(part, Scale):
        return [Op("affine", {}, {"b": torch.zeros(part.features), "s": torch.full((part.features,), part.factor)})]
    if isinstance(part, nn.LeakyReLU):
        return [Op("leaky", {"slope": part.negative_slope})]
    if isinstance(part, nn.ELU) and part.alpha == 1:
        return [Op("elu")]
    if isinstance(part, nn.Flatten):
        return [Op("reshape", {"shape": [-1]})]
    if isinstance(part, nn.Unflatten):
        return [Op("reshape", {"shape": [int(n) for n in part.unflattened_size]})]
    if isinstance(part, nn.MaxPool2d) and part.kernel_size == part.stride == 2 and not part.padding:
        return [Op("pool")]
    if isinstance(part, nn.Linear):
        return [Op("linear", {}, _weights(part))]
    if isinstance(part, nn.Conv2d | nn.ConvTranspose2d) and part.groups == 1 and part.dilation == (1, 1):
        more = {"out_padding": part.output_padding[0]} if isinstance(part, nn.ConvTranspose2d) else {}
        settings = {"stride": part.stride[0], "padding": int(part.padding[0]), **more}
        return [Op("deconv" if more else "conv", settings, _weights(part))]
    if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.running_mean is not None and part.affine:
        assert part.running_var is not None
        scale = part.weight / (part.running_var + part.eps).sqrt()
        return [Op("affine", {}, {"b": part.bias - part.running_mean * scale, "s": scale})]
    if isinstance(part, nn.LayerNorm) and part.elementwise_affine:
        return [Op("layer_norm", {"eps": part.eps}, {"s": part.weight, "b": part.bias})]
    raise UnknownLayer(type(part).__name__)


def _weights(part: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Tensor]:
    if part.bias is None:
        raise UnknownLayer("a layer without bias")
    return {"w": part.weight, "b": part.bias}


def _mean(likelihood: Likelihood) -> list[Op]:
    if isinstance(likelihood, Gaussian):  # and Huber
        return [] if likelihood.output == "linear" else [Op(likelihood.output)]
    if isinstance(likelihood, Bernoulli):
        return [Op("sigmoid")]
    if isinstance(likelihood, Categorical):
        return [Op("softmax")]
    raise UnknownLayer(type(likelihood).__name__)


# -- carrying them out, and rounding their weights -----------------------------------------------------------------


def run(ops: list[Op], x: Tensor, y: Tensor | None = None) -> Tensor:
    """What the operations make of codes or samples x [N, ...] and labels y [N]: the reference for `network.js`."""
    with torch.no_grad():
        for op in ops:
            x = _step(op, x, y)
    return x


def _step(op: Op, x: Tensor, y: Tensor | None) -> Tensor:
    w, b, given = op.tensors.get("w"), op.tensors.get("b"), op.settings
    if op.name == "linear":
        return F.linear(x, w, b)  # type: ignore[arg-type]
    if op.name == "conv":
        return F.conv2d(x, w, b, given["stride"], given["padding"])  # type: ignore[arg-type]
    if op.name == "deconv":
        padding = given["padding"], given["out_padding"]
        return F.conv_transpose2d(x, w, b, given["stride"], *padding)  # type: ignore[arg-type]
    if op.name == "affine":
        size = (1, -1, *(1 for _ in x.shape[2:]))
        return x * op.tensors["s"].view(size) + op.tensors["b"].view(size)
    if op.name == "layer_norm":
        return F.layer_norm(x, x.shape[1:], op.tensors["s"], b, given["eps"])
    if op.name == "reshape":
        return x.reshape(len(x), *given["shape"])
    if op.name == "crop":
        return x[..., : given["height"], : given["width"]]
    if op.name == "pad":
        return F.pad(x, given["margins"])
    if op.name == "pool":
        return F.max_pool2d(x, 2)
    if op.name == "onehot":
        assert y is not None
        return torch.cat([x, F.one_hot(y, given["n"]).to(x.dtype)], 1)
    if op.name == "first":
        return x[:, : given["n"]]
    if op.name == "quantise":
        assert w is not None
        return w[torch.cdist(x.reshape(-1, w.shape[1]), w).argmin(1)].reshape(x.shape)
    if op.name == "softmax":
        return x.flatten(1).softmax(1).view_as(x)
    if op.name == "leaky":
        return F.leaky_relu(x, given["slope"])
    return {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "elu": F.elu}[op.name](x)


def size(ops: list[Op], precision: Precision) -> int:
    """Characters of base64 that the weights take, before compression."""
    return sum(tensor.numel() for op in ops for tensor in op.tensors.values()) * BYTES[precision] * 4 // 3


def quantised(weights: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes of the shape of weights [R, ...], with lowest value and step of each row [R]: w = low + step · byte."""
    rows = weights.detach().double().flatten(1)
    low = rows.amin(1)
    step = ((rows.amax(1) - low) / 255).clamp(min=1e-12)
    levels = ((rows - low[:, None]) / step[:, None]).round().clamp(0, 255)
    return levels.view(weights.shape).byte().numpy(), low.float().numpy(), step.float().numpy()


def rounded(ops: list[Op], precision: Precision) -> list[Op]:
    """The same operations with the weights that the page has; biases and scales stay in single precision."""
    return [replace(op, tensors={key: _rounded(value, precision) for key, value in op.tensors.items()}) for op in ops]


def _rounded(weights: Tensor, precision: Precision) -> Tensor:
    if weights.ndim < 2 or precision == "float32":
        return weights.detach()
    if precision == "float16":
        return weights.detach().half().float()
    levels, low, step = (torch.from_numpy(part) for part in quantised(weights))
    size = (-1, *(1 for _ in weights.shape[1:]))
    return low.view(size) + step.view(size) * levels.float()
