"""What a family is checked on: new models whenever one is needed, made data, and a plain trainer."""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import lit_ae.models
import lit_ae.nets
import lit_ae.objectives
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Batch, Shape, Splits, as_float
from lit_ae.models.plain_trainer import plain_trainer
from lit_ae.models.settings import import_all
from lit_ae.models.tracked import TrackedModule

BATCH = 16  # samples in a batch but for the last, which is smaller


@dataclass
class Subject:
    """A family under its settings.

    Args:
        name: the class.
        make: gives a new model.
        x: bytes [N, *shape].
        y: labels [N].
    """

    name: str
    make: Callable[[], TrackedModule]
    x: Tensor
    y: Tensor

    def build(self, seed: int = 0) -> TrackedModule:
        """A new model, the same for the same seed."""
        torch.manual_seed(seed)
        return self.make()

    def batch(self, n: int, last: bool = False) -> Batch:
        """The first n samples, or the last, as a step receives them."""
        part = slice(-n, None) if last else slice(n)
        return Batch(as_float(self.x[part]), self.y[part])

    def loader(self, shuffle: bool = False, floats: bool = False) -> DataLoader[Any]:
        """All samples in batches of (x, y), x as bytes or as floats."""
        x = as_float(self.x) if floats else self.x
        return DataLoader(TensorDataset(x, self.y), batch_size=BATCH, shuffle=shuffle)

    def make_one_hot(self) -> None:
        """Replace the samples by one-hot vectors in turn, as bytes."""
        flat = torch.zeros(len(self.x), self.x[0].numel(), dtype=torch.uint8)
        order = torch.arange(len(flat))
        flat[order, order % flat.shape[1]] = 255
        self.x = flat.view_as(self.x)

    def require(self, holds: bool, sentence: str) -> None:
        """Raise AssertionError with the family's name and the sentence if something does not hold."""
        if not holds:
            raise AssertionError(f"{self.name}: {sentence}")

    def require_shape(self, value: Any, shape: Shape, what: str, meaning: str) -> None:
        """Require a tensor of this shape that holds finite numbers."""
        self.require(isinstance(value, Tensor), f"{what} must be a tensor; it is a {type(value).__name__}")
        shapes = list(shape), list(value.shape)
        self.require(shapes[0] == shapes[1], f"{what} must hold {meaning}, shape {shapes[0]}; it has {shapes[1]}")
        self.require(bool(value.isfinite().all()), f"{what} must be finite; it holds NaN or infinity")

    @contextmanager
    def sentence(self, sentence: str) -> Iterator[None]:
        """Inside it an error becomes an AssertionError that starts with the sentence."""
        try:
            yield
        except Exception as error:
            raise AssertionError(f"{self.name}: {sentence}; it raises {type(error).__name__}: {error}") from error


def subject_of(
    family: type[TrackedModule] | str | Path, input_shape: Shape, samples: int, classes: int, settings: dict[str, Any]
) -> Subject:
    """The family with made data: a pattern of bytes for each class, and noise on it."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(samples) % classes
    patterns = torch.randint(0, 200, (classes, *input_shape), generator=generator)
    x = (patterns[y] + torch.randint(0, 56, (samples, *input_shape), generator=generator)).to(torch.uint8)
    if isinstance(family, type):
        given: dict[str, Any] = {"input_shape": tuple(input_shape), **settings}
        if asks_for(family, "num_classes"):
            given.setdefault("num_classes", classes)
        return Subject(family.__name__, lambda: family(**copy.deepcopy(given)), x, y)
    config = yaml.safe_load(Path(family).read_text("utf-8"))["model"]
    config["init_args"] = {**config.get("init_args", {}), **settings}
    name = str(config["class_path"]).rsplit(".", 1)[-1]
    return Subject(name, lambda: from_yaml(config, input_shape, classes), x, y)


def asks_for(family: type, setting: str) -> bool:
    """Whether a constructor of the class or of its bases has this parameter."""
    constructors = (vars(base)["__init__"] for base in family.__mro__ if "__init__" in vars(base))
    return any(setting in inspect.signature(constructor).parameters for constructor in constructors)


class NoData(BaseDataModule):
    """Gives a model's settings that come from a data module, and holds no samples."""

    name = "none"

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.input_shape, self.num_classes = input_shape, num_classes

    def load(self) -> Splits:
        """Splits without samples."""
        part = ArrayDataset(torch.zeros(0, *self.input_shape), torch.zeros(0, dtype=torch.int64))
        return Splits(part, part, part)


def from_yaml(model: dict[str, Any], input_shape: Shape, classes: int) -> TrackedModule:
    """The model that a YAML's key `model` describes, made as the command line makes it."""
    for package in (lit_ae.nets, lit_ae.objectives, lit_ae.models):
        import_all(package)  # so that YAML may name their classes by their bare names
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(BaseDataModule, "data", subclass_mode=True)
    parser.add_lightning_class_args(TrackedModule, "model", subclass_mode=True)
    for name in ("input_shape", "num_classes"):
        parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
    data = {
        "class_path": f"{NoData.__module__}.NoData",
        "init_args": {"input_shape": list(input_shape), "num_classes": classes},
    }
    made: TrackedModule = parser.instantiate_classes(parser.parse_object({"data": data, "model": model})).model
    return made


def metrics_of_test(subject: Subject, module: TrackedModule, floats: bool = False) -> dict[str, float]:
    """Metrics of a test on the made data, by the same random numbers each time."""
    torch.manual_seed(1)
    (metrics,) = plain_trainer().test(module, subject.loader(floats=floats), verbose=False)
    return {name: float(value) for name, value in metrics.items()}
