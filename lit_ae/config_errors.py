"""From a library's error, which can fill a page, to the one line that helps.

jsonargparse's messages nest: `Parser key "model": Problem with given class_path 'lit_ae.models.AE': Parser key
"encoder": Expected a dot import path string: MPLEncoder`, with every other member of the type beside it. Read from
the left, the keys give the setting, the class paths its owner, and the first statement of a fault the reason.
"""

import ast
import errno
import re
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

from lit_ae.config_files import config_folder, near_match
from lit_ae.errors import SettingError

PACKAGE = Path(__file__).parent.as_posix()
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}
TYPE_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}

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


@contextmanager
def explained(argv: Sequence[str], parser: ArgumentParser | None = None) -> Iterator[None]:
    """Turn what is the user's to mend into a SettingError; a fault of the code keeps its type and traceback.

    Args:
        argv: the command line, for the config files on it.
        parser: the subcommand's, for the names of its options.

    Raises:
        SettingError: a bad setting, config file or folder.
    """
    try:
        yield
    except (SettingError, FloatingPointError):
        raise
    except (ArgumentError, UnicodeDecodeError) as error:
        line = unreadable_config(argv)
        if line is None and isinstance(error, UnicodeDecodeError):
            raise
        raise SettingError(line or explain(str(error), parser)) from error
    except Exception as error:
        cause = unwrapped(error)
        line = _users_fault(cause, wrapped=cause is not error)
        if line is not None:
            raise SettingError(line) from error
        if cause is not error:
            raise cause from None  # the parser's page around it would hide the fault
        raise


@contextmanager
def refused(setting: str) -> Iterator[None]:
    """Say of a library's complaint about its arguments which setting they are."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise SettingError(f"{setting}: {_first_line(error)}") from error


def unwrapped(error: BaseException) -> BaseException:
    """What a constructor raised, which the parser wraps as one failed member of a union."""
    while error.__cause__ is not None and str(error).startswith(("Does not validate", "Problem with", "Parser key")):
        error = error.__cause__
    return error


def _users_fault(error: BaseException, wrapped: bool) -> str | None:
    """The line for an error that comes from settings or from the machine, None for a fault of the code."""
    if isinstance(error, SettingError):
        return str(error)
    if type(error).__name__ == "MisconfigurationException":  # Lightning's word for a bad setting
        return _first_line(error)
    # Libraries check arguments by ValueError; in our own files, where SettingError does that, it is a fault.
    source = _raised_in(error)
    if isinstance(error, ValueError) and ("/torch/optim/" in source or (wrapped and not source.startswith(PACKAGE))):
        return f"a class refuses its settings: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename is not None:
        return f"{error.filename} cannot be written ({error.strerror}): make it writable, or run in another folder"
    if type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy"):
        database = error
        while database.__cause__ is not None:
            database = database.__cause__
        if type(database).__name__ in ("OperationalError", "DatabaseError"):  # of PEP 249: locked, full, unwritable
            return f"the MLflow store failed ({_first_line(database)}): see that it is writable, or MLFLOW_TRACKING_URI"
    return None


def _raised_in(error: BaseException) -> str:
    """File of the innermost frame."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return Path(frame.tb_frame.f_code.co_filename).as_posix() if frame is not None else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# -- config files ------------------------------------------------------------------------------------------------


def unreadable_config(argv: Sequence[str]) -> str | None:
    """What is wrong with the first --config file that cannot be read as a mapping, None where all can."""
    for arg, value in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, attached = arg.partition("=")
        path = attached if equals else value
        if name in ("-c", "--config") and path and (line := _config_fault(Path(path))):
            return line
    return None


def _config_fault(path: Path) -> str | None:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = sorted(p.name for p in path.parent.glob("*.yaml"))
        near = near_match(path.name, known) if known else ""
        return f"--config {path} cannot be read ({error.strerror})" + (near if "mean" in near else _such_as())
    except UnicodeDecodeError:
        return f"--config {path} is not YAML (it is no text){_such_as()}"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return f"--config {path} is not YAML{where}: {getattr(error, 'problem', None) or 'mend its syntax'}"
    if isinstance(content, dict):
        return None
    found = "is empty" if content is None else f"holds a {type(content).__name__} where settings (KEY: VALUE) should be"
    return f"--config {path} {found}{_such_as()}"


def _such_as() -> str:
    return f": give a file such as {config_folder() / 'model' / 'ae.yaml'}"


# -- the parser's messages -----------------------------------------------------------------------------------------


def explain(message: str, parser: ArgumentParser | None = None) -> str:
    """The parser's message in one line: the setting, what is wrong with it, and the near match or the remedy."""
    keys: list[str] = []
    owner, taker = "", ""  # class whose settings are being read, and the one that has the last key
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
    if name := match["bare"] or match["attribute"] or match["module"]:
        name = name.rpartition(".")[2]
        return f"{setting}: there is no class {name!r}{_near_class(name, setting, taker)}"
    if option := match["option"]:
        named = re.search(r"Got value: Namespace\(class_path='([^']+)'", rest)  # what a factory makes
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
    files = f"{config_folder() / name}/NAME.yaml (NAME: {known})"
    return f"no {name} is given: add --config {files}" if stems else f"--{name} is missing: add --{name}=VALUE"


def _value(rest: str) -> str:
    match = VALUE.search(rest)
    value = (match["nested"] or match["plain"] or "") if match else ""
    return repr(value.strip()[:80])


def _wanted(rest: str) -> str:
    """`: it must be a whole number`, "" where no type is named."""
    found = [match["type"] for match in re.finditer(FAULT, rest) if match["type"]]
    names = [name.split("'")[1].rpartition(".")[2] for name in found if name.startswith("<class")]
    words = dict.fromkeys(TYPE_WORDS.get(name, name) for name in names if name != "NoneType")
    return f": it must be {' or '.join(words)}" if words else ""


def _near_word(value: str, rest: str) -> str:
    """The near match among the words that are allowed, "" where none are named."""
    found = [match["type"] for match in re.finditer(FAULT, rest) if match["type"]]
    lists = [ast.literal_eval(name.removeprefix("typing.Literal")) for name in found if name.startswith("typing")]
    words = dict.fromkeys(str(word) for words in lists for word in words)
    return near_match(value.strip("'"), list(words)) if words else ""


# -- names that there are -------------------------------------------------------------------------------------------


def _options(parser: ArgumentParser | None) -> list[str]:
    return ["config", *re.findall(r"--([\w.]+)", parser.format_usage())] if parser else []


def _class_settings() -> Iterator[str]:
    """model.X and data.X for every class that these may name."""
    for setting in ("model", "data"):
        for cls in _subclasses(_hint(setting, "")):
            yield from (f"{setting}.{name}" for name in _parameters(cls))


MOST_NAMES = 16  # in one line


def _near_class(name: str, setting: str, taker: str) -> str:
    """The near match among the classes that a setting may name, else this project's of them."""
    classes = {c.__name__: c for base in _classes(_hint(setting, taker)) for c in _subclasses(base)}
    near = near_match(name, sorted(classes))
    if "did you mean" in near:
        return near
    own = {known: cls for known, cls in classes.items() if cls.__module__.startswith("lit_ae.")}
    if not classes:
        return ": `lit-ae fit --help` says what it may be"
    names = sorted(own or classes)
    if len(names) <= MOST_NAMES:
        return f": known are {', '.join(names)}"
    folder = (own or classes)[names[0]].__module__.rpartition(".")[0].replace(".", "/")
    return f": known are {', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more, a file each in {folder}"


def _near_option(name: str, known: list[str]) -> str:
    near = near_match(name, known)
    return near if "did you mean" in near else ": `lit-ae fit --help` lists them"


def _import(path: str) -> type | None:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name, None) if module else None
    return found if isinstance(found, type) else None


def _parameters(cls: type) -> dict[str, Any]:
    """Type hints of a constructor's parameters, those that it hands on to its bases included."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            try:
                hints |= get_type_hints(base.__init__)  # type: ignore[misc]
            except NameError:  # imported for type checking alone
                hints |= base.__init__.__annotations__  # type: ignore[misc]
    return {name: hint for name, hint in hints.items() if name not in ("return", "args", "kwargs")}


def _hint(setting: str, taker: str) -> Any:
    from lightning.pytorch import Trainer

    from lit_ae.data.base import BaseDataModule
    from lit_ae.models.base import TrackedModule

    name = setting.rpartition(".")[2]
    if cls := _import(taker):
        return _parameters(cls).get(name)
    return {"model": TrackedModule, "data": BaseDataModule}.get(setting) or _parameters(Trainer).get(name)


def _classes(hint: Any) -> Iterator[type]:
    """Classes in a type hint; of a factory's the ones that it makes."""
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
    """What a setting of this type may name: concrete classes that are no mere base of others."""
    from inspect import isabstract

    cls: type
    for cls in base.__subclasses__():
        if not (isabstract(cls) or cls.__module__.endswith(".base") or cls.__name__.startswith("_")):
            yield cls
        yield from _subclasses(cls)
