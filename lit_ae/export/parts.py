"""The parts of a model that are exported: modules of tensors alone, with names for what goes in and what comes out."""

import json
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lit_ae.data.containers import Shape
from lit_ae.errors import SettingError
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.capabilities import Conditional, StoresPatterns
from lit_ae.models.classifier import Classifier
from lit_ae.models.tracked import TrackedModule

PartName = Literal["encoder", "decoder", "all"]
PARTS: tuple[PartName, ...] = ("encoder", "decoder", "all")


class Codes(nn.Module):
    """x [B, *shape], labels y [B] of a conditional family → mean codes [B, D]."""

    def __init__(self, model: ReconstructionModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """The codes alone."""
        return (self.model.encode(x, y).mu,)


class Decoded(nn.Module):
    """Codes z [B, D], labels y [B] of a conditional family → mean samples [B, *shape]."""

    def __init__(self, model: GenerativeModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """The samples alone."""
        return (self.model.decode(z, y),)


class Everything(nn.Module):
    """x [B, *shape], labels y [B] of a conditional family → codes [B, D], reconstruction [B, *shape], score [B].

    The score is the anomaly score `nll` of `lit_ae.callbacks.scores.anomaly`: minus log p(x | mean code), up to a
    constant. It is higher for samples that are reconstructed worse.
    """

    def __init__(self, model: ReconstructionModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """All three."""
        mu = self.model.encode(x, y).mu
        fit = self.model.likelihood.fit(self.model.raw(mu, y), x)
        return mu, fit.x_hat, fit.nll


class Probabilities(nn.Module):
    """x [B, *shape] → the classifier's class probabilities [B, K]."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The probabilities alone."""
        return (self.model(x).softmax(1),)


@dataclass(frozen=True)
class Part:
    """A part of a model, ready to be traced.

    Attributes:
        module: takes tensors and returns a tuple of tensors, in evaluation mode.
        inputs: names of the former.
        outputs: names of the latter.
        shape: of one sample of the first input.
        classes: number of classes, if the second input is the labels; else 0.
        family: name of the model's family.
        name: which part it is.
        class_names: of the labels, or of the columns of probabilities; empty if there are none, or they are 0, 1, ...
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: Shape
    classes: int
    family: str
    name: PartName
    class_names: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """What is stored beside the program: family, part and, as JSON, the names of the classes if there are any."""
        named = {"class_names": json.dumps(list(self.class_names))} if self.class_names else {}
        return {"family": self.family, "part": self.name, **named}

    def examples(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Made inputs for n samples: x from 0 to 1, or codes from N(0, I), and labels."""
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn if self.inputs[0] == "z" else torch.rand
        first = draw(n, *self.shape, generator=generator)
        return (first, torch.arange(n) % self.classes) if self.classes else (first,)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What PyTorch computes, without gradients."""
        with torch.no_grad():
            found: tuple[Tensor, ...] = self.module(*inputs)
        return found


def part_of(model: TrackedModule, name: PartName | None) -> Part:
    """A part of a trained model; None: `all`, or the decoder alone of a model without encoder.

    Raises:
        SettingError: the model has no such part, or it cannot be traced.
    """
    family = type(model).__name__
    model = model.cpu().float().eval()
    if isinstance(model, Classifier):
        if name not in (None, "all"):
            raise SettingError(f"{family} gives class probabilities, and has no {name} to export: leave --part out")
        names = model.class_names
        return Part(Probabilities(model), ("x",), ("probabilities",), _shape(model), 0, family, "all", names)
    assert isinstance(model, GenerativeModule)
    if not isinstance(model, ReconstructionModule) and name in ("encoder", "all"):
        raise SettingError(f"{family} has no encoder, only a generator: give --part decoder, or leave --part out")
    if isinstance(model, StoresPatterns) and name != "decoder":
        raise SettingError(
            f"{family} retrieves a pattern in a loop whose length depends on the sample, which neither ONNX nor "
            "torch.export can hold: give --part decoder, or --format safetensors"
        )
    classes = model.classes if isinstance(model, Conditional) else 0
    labels = ("y",) if classes else ()
    names = model.class_names if classes else ()
    if name == "decoder" or not isinstance(model, ReconstructionModule):
        shape = (model.latent_dim,)
        return Part(Decoded(model), ("z", *labels), ("reconstruction",), shape, classes, family, "decoder", names)
    if name == "encoder":
        return Part(Codes(model), ("x", *labels), ("codes",), model.input_shape, classes, family, "encoder", names)
    outputs = ("codes", "reconstruction", "score")
    return Part(Everything(model), ("x", *labels), outputs, model.input_shape, classes, family, "all", names)


def _shape(model: Classifier) -> Shape:
    return tuple(model.encoder.input_shape)


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, relative to the largest absolute value where that is above 1.

    It is infinite where a value is not finite: a model or program with such values is not to be given away.
    """
    if found.shape != expected.shape:
        return float("inf")
    if not found.numel():
        return 0.0
    largest = max(1.0, float(expected.abs().max()))
    found_difference = float((found.double() - expected.double()).abs().max()) / largest
    return found_difference if math.isfinite(found_difference) else math.inf
