"""A model's settings as plain data, in the form that YAML gives them, and what is built from them again."""

import importlib
import inspect
import numbers
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch

from lit_ae.errors import SettingError
from lit_ae.models.class_paths import may_be_called

T = TypeVar("T")


# -- to plain data -------------------------------------------------------------------------------------------------


def as_plain(value: Any) -> Any:
    """Numbers, strings, lists and mappings unchanged; classes, partials and objects as `class_path` and `init_args`.

    A `functools.partial` of a class, or the class itself, represents a factory, as in YAML. An object's settings are
    read from its attributes of its constructor's parameter names.

    Raises:
        TypeError: the value, a lambda for example, cannot be described by settings.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, numbers.Real):  # of NumPy
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(value, Mapping):
        return {str(key): as_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, partial):
        return {"class_path": _path(_made_by(value)), "init_args": as_plain(value.keywords)}
    if isinstance(value, type):
        return {"class_path": _path(value)}
    if isinstance(value, torch.Tensor) or inspect.isroutine(value):
        raise TypeError(f"{value!r} is no class, nor a functools.partial of one: its settings cannot be stored")
    try:
        names = [name for name in inspect.signature(type(value)).parameters if name not in ("args", "kwargs")]
    except ValueError as error:  # of a class that is written in C
        raise TypeError(f"{value!r} is of a class whose settings are unknown") from error
    if not all(hasattr(value, name) for name in names):
        raise TypeError(f"{value!r} does not keep its settings as attributes, nor is it a class or a partial of one")
    return {"class_path": _path(type(value)), "init_args": {name: as_plain(getattr(value, name)) for name in names}}


def _made_by(factory: partial[Any]) -> type:
    """The class that a partial makes objects of; jsonargparse's hold it behind functions of their own."""
    *others, last = (factory.func, *factory.args)
    if isinstance(last, type) and all(getattr(part, "__module__", "").startswith("jsonargparse.") for part in others):
        return last
    raise TypeError(f"{factory!r} is no functools.partial of a class with keywords: its settings cannot be stored")


def _path(cls: type) -> str:
    """Bare names of this project's classes, which outlive a move of their file, as YAML has them."""
    if "." in cls.__qualname__:
        raise TypeError(f"{cls.__qualname__} is defined inside a function or class: its settings cannot be stored")
    return cls.__name__ if cls.__module__.startswith("lit_ae.") else f"{cls.__module__}.{cls.__qualname__}"


def bare(settings: Any) -> Any:
    """Settings in which this project's classes go by their bare names, which outlive a move of their files."""
    if isinstance(settings, Mapping):
        path = settings.get("class_path")
        own = isinstance(path, str) and path.startswith("lit_ae.")
        plain = {key: bare(value) for key, value in settings.items()}
        return {**plain, "class_path": str(path).rpartition(".")[2]} if own else plain
    return [bare(value) for value in settings] if isinstance(settings, list) else settings


def constructor_arguments(module: object) -> dict[str, Any]:
    """Arguments by name of the outermost constructor call of an object, read while that call is running."""
    found: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "__init__":
            names, _, keywords, values = inspect.getargvalues(frame)
            if names and values[names[0]] is module:
                found = {name: values[name] for name in names[1:]} | (values[keywords] if keywords else {})
        frame = frame.f_back
    return found


# -- and back ------------------------------------------------------------------------------------------------------


def import_all(package: ModuleType) -> None:
    """Import all modules of a package, so that their classes can be named by their bare names."""
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


def subclass_named(base: type[T], name: str, module: str | None = None) -> type[T]:
    """The imported subclass of `base` with this name; of a class that was defined again, the latest.

    Args:
        base: the base class.
        name: of the class, without its module.
        module: in which it was defined; null: not known, as in files of older code. Any of lit_ae means any module of
            this project, whose files may have moved, and `__main__`, the module of a script, any of others.

    Raises:
        SettingError: there is none, or there are several of different modules.
    """
    found = {
        f"{cls.__module__}.{cls.__qualname__}": cls
        for cls in _subclasses(base)
        if cls.__name__ == name and (module is None or _same_module(cls.__module__, module))
    }
    if not found:
        if module is not None and not module.startswith(("lit_ae", "__")):
            raise SettingError(
                f"{module}.{name} is a class of your own, and no file may choose what is imported: import {module} "
                f"before loading (for a command: python -c 'import {module}, lit_ae.cli; lit_ae.cli.entry_point()' "
                "with its arguments)"
            )
        raise SettingError(
            f"there is no class {name} among the imported ones: import the module that defines it before loading"
        )
    if len(found) > 1:
        raise SettingError(
            f"{name} may be any of {', '.join(sorted(found))}: call load_from_checkpoint of the one that is meant"
        )
    return found.popitem()[1]


def _same_module(found: str, wanted: str) -> bool:
    ours = found.partition(".")[0] == "lit_ae"
    if wanted.partition(".")[0] == "lit_ae" or wanted in ("__main__", "__mp_main__"):
        return ours == (wanted.partition(".")[0] == "lit_ae")
    return found == wanted


def _subclasses(base: type[T]) -> Iterator[type[T]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def built(cls: type[T], settings: Mapping[str, Any], **overrides: Any) -> T:
    """An object of a class from plain settings; the overrides are passed to its constructor as they are.

    No module is imported because the settings name it, so that settings from a file run no code of their choosing.

    Raises:
        SettingError: a setting that the class does not take, a value that does not fit, a class that is not imported.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    import lit_ae.nets
    import lit_ae.objectives

    for package in (lit_ae.nets, lit_ae.objectives):
        import_all(package)
    hints = parameters(cls)
    parser, wanted = ArgumentParser(exit_on_error=False), {}
    for name, value in settings.items():
        if name in overrides:
            continue
        if name not in hints:
            raise SettingError(f"{cls.__name__} has no setting {name}: it was stored by other code; train again")
        _check(name, value, hints[name])
        parser.add_argument(f"--{name}", type=hints[name])
        wanted[name] = value
    try:
        found = parser.instantiate_classes(parser.parse_object(wanted)).as_dict()
    except ArgumentError as error:
        reason = " ".join(str(error).split())[:300]
        raise SettingError(f"the stored settings of {cls.__name__} cannot be used: {reason}") from error
    return cls(**found, **overrides)


def parameters(cls: type) -> dict[str, Any]:
    """Type hints of a constructor's parameters, those that it hands on to its bases included."""
    hints: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        init = vars(base)["__init__"]
        parameters = list(inspect.signature(init).parameters.values())[1:]
        try:
            known = get_type_hints(init)
        except NameError:  # a type that is imported for type checking alone
            known = {}
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                hints.setdefault(parameter.name, known.get(parameter.name, Any))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break  # nothing is handed on
    return hints


def _check(name: str, value: Any, hint: Any) -> None:
    """Refuse a class that is not imported yet, and a name in the place of a factory."""
    if isinstance(value, str) and any(get_origin(part) is Callable for part in (hint, *get_args(hint))):
        raise SettingError(f"the setting {name} is {value!r}: give the class itself as {name}=...")
    if isinstance(value, Mapping):
        path = value.get("class_path", "")
        module, _, attribute = str(path).rpartition(".")
        if module and not hasattr(sys.modules.get(module), attribute):
            raise SettingError(
                f"the setting {name} is of class {path}, which is not imported: import {module} before loading, or "
                f"give {name}=..."
            )
        if module and not may_be_called(path):
            raise SettingError(f"the setting {name} is {path}, which is no class of networks, optimisers or schedules")
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check(name, part, Any)
