"""Whether an error comes from the user's settings or machine, or is a fault of the code."""

from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lit_ae.errors import SettingError
from lit_ae.settings.files import config_folder
from lit_ae.settings.suggestions import near_match
from lit_ae.settings.whole_files import FULL, UNWRITABLE, cannot_be_written
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.training.parser_messages import explain

PACKAGE = Path(__file__).parent.parent.as_posix()


@contextmanager
def explained(argv: Sequence[str], parser: ArgumentParser | None = None) -> Iterator[None]:
    """Turn an error that the user can fix into a SettingError; a fault of the code keeps its type and traceback.

    Args:
        argv: the command line, for the config files that it names.
        parser: the subcommand's parser, for the names of its options.

    Raises:
        SettingError: a setting, config file or folder cannot be used.
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
            raise cause from None  # the parser's page of text around it would hide the fault
        raise


@contextmanager
def refused(setting: str) -> Iterator[None]:
    """Turn a library's error about its arguments into a SettingError that names the setting."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
        raise SettingError(f"{setting}: {_first_line(error)}") from error


def unwrapped(error: BaseException) -> BaseException:
    """What a constructor raised; the parser wraps it as an error about one of several allowed types."""
    while error.__cause__ is not None and str(error).startswith(("Does not validate", "Problem with", "Parser key")):
        error = error.__cause__
    return error


def _users_fault(error: BaseException, wrapped: bool) -> str | None:
    """The message for an error that comes from settings or from the machine; None for a fault of the code."""
    if isinstance(error, SettingError):
        return str(error)
    if type(error).__name__ == "MisconfigurationException":  # Lightning's class for settings that it refuses
        return _first_line(error)
    # Libraries check their arguments by ValueError. Our own code uses SettingError, so a ValueError of it is a fault.
    source = _raised_in(error)
    if isinstance(error, RuntimeError) and source.endswith("/callbacks/early_stopping.py"):
        return f"trainer.callbacks: {_first_line(error)}"
    if isinstance(error, ValueError) and ("/torch/optim/" in source or (wrapped and not source.startswith(PACKAGE))):
        return f"a class refuses its settings: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename is not None:
        return cannot_be_written(error.filename, error)
    if isinstance(error, OSError) and error.errno in FULL:
        return f"a file cannot be written ({error.strerror}): free some space on the disk"
    if type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy", "sqlite3", "requests"):
        return _stores_fault(error)
    return None


def _stores_fault(error: BaseException) -> str | None:
    """The message for an error of the MLflow store."""
    from lit_ae.tracking.store_check import remedy
    from lit_ae.tracking.unsent import ServerGone, has_no_answer

    if has_no_answer(error):
        return str(ServerGone())
    database = error
    while database.__cause__ is not None:
        database = database.__cause__
    if type(database).__name__ not in ("OperationalError", "DatabaseError"):  # of PEP 249: locked, full, damaged
        return None
    reason = _first_line(database).removeprefix("(sqlite3.OperationalError) ").removeprefix("(sqlite3.DatabaseError) ")
    return f"the MLflow store failed ({reason}): {remedy(reason)}"


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
    """What is wrong with the first --config file that cannot be read as a mapping; None if all can."""
    return next(filter(None, map(_config_fault, config_files(argv))), None)


def config_files(argv: Sequence[str]) -> Iterator[Path]:
    """The files that are given by --config, in order."""
    yield from map(Path, values_of(argv, "-c", "--config"))


def values_of(argv: Sequence[str], *names: str) -> Iterator[str]:
    """The values that a command line gives to an option of these names, in order."""
    for arg, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, attached = arg.partition("=")
        value = attached if equals else following
        if name in names and value:
            yield value


def _config_fault(path: Path) -> str | None:
    example = f"give a file such as {config_folder() / 'model' / 'ae.yaml'}"
    near = near_match(path.stem, sorted(p.stem for p in path.parent.glob("*.yaml"))).removeprefix(": ")
    near = near.replace("'?", ".yaml'?")
    misspelt = not path.exists() and "did you mean" in near
    try:
        content = read_yaml(path, f"--config {path}", near if misspelt else example)
    except SettingError as error:
        return str(error)
    if isinstance(content, dict):
        return None
    found = "is empty" if content is None else f"holds a {type(content).__name__} and no settings (KEY: VALUE)"
    return f"--config {path} {found}: {example}"
