"""Packages that only some commands need, which `pip install 'lit_ae[EXTRA]'` adds."""

from collections.abc import Iterator
from contextlib import contextmanager

from lit_ae.errors import SettingError


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Inside it a package that is not installed becomes an error that says how to install it.

    Args:
        extra: name of the extra in pyproject.toml.
        what: what needs it, as the subject of a sentence.

    Raises:
        SettingError: a package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise SettingError(f"{what} needs the package {error.name}: pip install 'lit_ae[{extra}]'") from error
