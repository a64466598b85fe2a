"""Which classes settings may name: a callable that is no network, optimiser or schedule would simply be called."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_ae.errors import SettingError

SECTIONS = ("model", "data")  # the parser itself holds the trainer's to their kinds
KINDS = (nn.Module, Optimizer, LRScheduler)


def check_class_paths(config: Mapping[str, Any]) -> None:
    """Refuse functions, and classes of other kinds, before any is called.

    Args:
        config: the settings of a command, nested; classes are `class_path` and `init_args`.

    Raises:
        SettingError: one is neither a network, an optimiser, a schedule, nor derived from a class of lit_ae.
    """
    for section in SECTIONS:
        for name, found in _named(section, config.get(section)):
            if not may_be_called(found):
                path = found if isinstance(found, str) else getattr(found, "__name__", found)
                raise SettingError(
                    f"{name} is {path}: name a network, an optimiser or a schedule of PyTorch, or a class that is "
                    "derived from one of lit_ae"
                )


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The class paths and functions among settings, by the name of their setting."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "class_path" and isinstance(inner, str):
                yield name, inner
            else:
                yield from _named(name if key == "init_args" else f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(name, inner)
    elif callable(value):
        yield name, value


def may_be_called(found: Any) -> bool:
    """Whether it is a class, or the path of one, that settings of a model or of data may name."""
    if isinstance(found, str):
        module, _, name = found.rpartition(".")
        found = getattr(import_module(module), name, None) if module else None
    if not isinstance(found, type):
        return found is None  # which the parser refuses in its own words
    return issubclass(found, KINDS) or any(base.__module__.startswith("lit_ae.") for base in found.__mro__)
