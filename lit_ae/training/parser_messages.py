"""From the argument parser's error, which can fill a page, to the one line that helps.

jsonargparse's messages nest: `Parser key "model": Problem with given class_path 'lit_ae.models.AE': Parser key
"encoder": Expected a dot import path string: MPLEncoder`, beside the same for every other type that is allowed. Read
from the left, the keys give the setting, the class paths the class that it belongs to, and the first statement of a
fault the reason.
"""

import ast
import inspect
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from lit_ae.settings.files import config_folder
from lit_ae.settings.suggestions import near_match

TYPE_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list",
    "tuple": "a list", "dict": "a mapping (KEY: VALUE)", "Path": "a path",
}  # fmt: skip

CONTEXT = r"Parser key \"(?P<key>[^\"]+)\"|Problem with given class_path '(?P<owner>[^']+)'"
FAULT = (
    r"Expected a dot import path string: (?P<bare>\S+)"
    r"|module '[^']+' has no attribute '(?P<attribute>\w+)'|No module named '(?P<module>[^']+)'"
    r"|Option '(?P<option>[^']+)' is not accepted"
    r"|Subcommand '\w+' does not accept option '(?P<member>[^']+)'"
    r"|the following arguments are required: (?P<required>[\w., ]+)"
    r"|unrecognized arguments: (?P<unknown>\S+)|argument (?P<lacking>\S+): expected one argument"
    r"|Not a valid subclass of (?P<base>\w+)|Expected a (?P<type>typing\.Literal\[[^\]]*\]|<class '[^']+'>)"
)
VALUE = re.compile(
    r"val='?(?P<nested>.*?)'?\)$|(?:Got|Given) value: (?!NestedArg)(?P<plain>.*?)(?=\. Got value:|$)", re.M
)


def explain(message: str, parser: ArgumentParser | None = None) -> str:
    """The parser's message in one line: the setting, what is wrong with it, and a similar name or another remedy."""
    keys: list[str] = []
    owner, taker = "", ""  # the class whose settings are being read, and the class that has the last key as a setting
    for match in re.finditer(f"{CONTEXT}|{FAULT}", message):
        if match["key"]:
            keys.append(match["key"])
            taker = owner
        elif match["owner"]:
            owner = match["owner"]
        else:
            return _fault(match, ".".join(keys), owner, taker, parser)
    return " ".join(message.split())[:300]


def _fault(match: re.Match[str], setting: str, owner: str, taker: str, parser: ArgumentParser | None) -> str:
    rest = match.string[match.start() :]
    if module := match["module"]:
        return (
            f"{setting}: the module {module} of a class_path was not found: set PYTHONPATH to the folder that holds it"
        )
    if name := match["bare"] or match["attribute"]:
        name = name.rpartition(".")[2]
        return f"{setting}: there is no class {name!r}{_near_class(name, setting, taker)}"
    if option := match["option"]:
        named = re.search(r"Got value: Namespace\(class_path='([^']+)'", rest)  # the class that a factory makes
        cls = _import(named[1] if named else owner)
        known = sorted(_parameters(cls)) if cls else []
        where = f"{setting}.{option}" if setting else option
        return f"{where}: {cls.__name__ if cls else owner} has no such setting{near_match(option, known)}"
    if member := match["member"]:
        known = _options(parser)
        tops = {option.partition(".")[0] for option in known}
        if (top := member.partition(".")[0]) not in tops:
            member, known = top, sorted(tops)
        return f"there is no setting {member}{_near_option(member, known)}"
    if match["required"]:
        return _required(match["required"].split(", "), setting, owner)
    if unknown := match["unknown"]:
        if not unknown.startswith("-"):
            return f"unexpected argument {unknown!r}: settings are given as --NAME=VALUE, files as --config FILE"
        name = unknown.partition("=")[0]
        known = [f"--{option}" for option in (*_options(parser), *_class_settings())]
        return f"there is no option {name}{_near_option(name, known)}"
    if lacking := match["lacking"]:
        return f"{lacking.rpartition('/')[2]} needs a value: give it as {lacking.rpartition('/')[2]}=VALUE"
    value = _value(rest)
    if base := match["base"]:
        return f"{setting} is {value}: it must name a {base}{_near_class(value, setting, taker)}"
    return f"{setting} is {value}{_wanted(rest) or _near_word(value, rest) or _near_class(value, setting, taker)}"


def _required(names: list[str], setting: str, owner: str) -> str:
    if owner:
        return (
            f"{setting}: {owner.rpartition('.')[2]} needs {', '.join(names)}: give each as --{setting}.NAME=VALUE, or "
            "all by --config FILE"
        )
    name = names[-1].partition(".")[2] or names[-1]  # fit.model
    stems = sorted(p.stem for p in (config_folder() / name).glob("*.yaml"))
    known = ", ".join([*stems[:8], "..."] if len(stems) > 8 else stems)
    files = f"NAME, one of {known} (`lit-ae list {'models' if name == 'model' else name}`), or FILE"
    return f"no {name} is given: add --config {files}" if stems else f"--{name} is missing: add --{name}=VALUE"


def _value(rest: str) -> str:
    match = VALUE.search(rest)
    value = (match["nested"] or match["plain"] or "") if match else ""
    return repr(value.strip()[:80])


def _wanted(rest: str) -> str:
    """`: it must be a whole number`; empty if the message names no type."""
    found = [match["type"] for match in re.finditer(FAULT, rest) if match["type"]]
    names = [name.split("'")[1].rpartition(".")[2] for name in found if name.startswith("<class")]
    words = dict.fromkeys(TYPE_WORDS.get(name, name) for name in names if name != "NoneType")
    return f": it must be {' or '.join(words)}" if words else ""


def _near_word(value: str, rest: str) -> str:
    """A similar word of those that are allowed, or all of them; empty if the message names none."""
    found = [match["type"] for match in re.finditer(FAULT, rest) if match["type"]]
    lists = [ast.literal_eval(name.removeprefix("typing.Literal")) for name in found if name.startswith("typing")]
    words = dict.fromkeys(str(word) for words in lists for word in words)
    return near_match(value.strip("'"), list(words)) if words else ""


# -- the names that are allowed -------------------------------------------------------------------------------------


def _options(parser: ArgumentParser | None) -> list[str]:
    return ["config", *re.findall(r"--([\w.]+)", parser.format_usage())] if parser else []


def _class_settings() -> Iterator[str]:
    """`model.X` and `data.X` for every setting X of a family or data set."""
    for setting in ("model", "data"):
        for cls in _subclasses(_hint(setting, "")):
            yield from (f"{setting}.{name}" for name in _parameters(cls))


MOST_NAMES = 16  # in one line


def _near_class(name: str, setting: str, taker: str) -> str:
    """A similar name of the classes that a setting may name, else the names of this project's."""
    classes = {c.__name__: c for base in _classes(_hint(setting, taker)) for c in _subclasses(base)}
    name = name.strip("'")
    if name in classes:  # the class is right, and what it needs is missing
        return f": {name} needs {', '.join(_needed(classes[name]))}: give each as --{setting}.NAME=VALUE"
    near = near_match(name, sorted(classes))
    if "did you mean" in near:
        return near
    own = {known: cls for known, cls in classes.items() if cls.__module__.startswith("lit_ae.")}
    if not classes:
        return ": `lit-ae fit --help` says what is allowed"
    names = sorted(own or classes)
    if len(names) <= MOST_NAMES:
        return f": choose one of {', '.join(names)}"
    folder = "/".join((own or classes)[names[0]].__module__.split(".")[:2])
    return (
        f": choose one of {', '.join(names[:MOST_NAMES])} or {len(names) - MOST_NAMES} more, each in a file of {folder}"
    )


def _near_option(name: str, known: list[str]) -> str:
    near = near_match(name, known)
    return near if "did you mean" in near else ": `lit-ae fit --help` lists them"


def _needed(cls: type) -> list[str]:
    """The settings of a class that have no default; what a model gives it is none of them."""
    parameters = inspect.signature(cls).parameters.values()
    given = ("optimizer", "params", "input_shape", "output_shape", "in_features", "out_features")
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is p.empty]
    return [p.name for p in named if p.name not in given]


def _import(path: str) -> type | None:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name, None) if module else None
    return found if isinstance(found, type) else None


def _parameters(cls: type) -> dict[str, Any]:
    """Type hints of a constructor's parameters, including those that it passes on to its base classes."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            try:
                hints |= get_type_hints(base.__init__)  # type: ignore[misc]
            except NameError:  # a type that is only imported for type checking
                hints |= base.__init__.__annotations__  # type: ignore[misc]
    return {name: hint for name, hint in hints.items() if name not in ("return", "args", "kwargs")}


def _hint(setting: str, taker: str) -> Any:
    from lightning.pytorch import Trainer

    from lit_ae.data.base import BaseDataModule
    from lit_ae.models.tracked import TrackedModule

    name = setting.rpartition(".")[2]
    if cls := _import(taker):
        return _parameters(cls).get(name)
    return {"model": TrackedModule, "data": BaseDataModule}.get(setting) or _parameters(Trainer).get(name)


def _classes(hint: Any) -> Iterator[type]:
    """The classes in a type hint; in that of a factory, the classes that it makes."""
    args = get_args(hint)
    if isinstance(hint, type) and not args:
        if hint.__module__ != "builtins":
            yield hint
    elif args and isinstance(args[0], list):  # Callable[[...], made]
        yield from _classes(args[-1])
    else:
        for arg in args:
            yield from _classes(arg)


def _subclasses(base: type) -> Iterator[type]:
    """What a setting of this type may name: concrete classes that are not only base classes or for internal use."""
    from inspect import isabstract

    cls: type
    for cls in base.__subclasses__():
        internal = cls.__name__.startswith("_") or cls.__module__.startswith("lit_ae.training.")
        if not (internal or isabstract(cls) or cls.__module__.endswith((".base", "_callback"))):
            yield cls
        yield from _subclasses(cls)
