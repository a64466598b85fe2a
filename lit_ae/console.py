"""The consoles for bars and tables: one object for each stream, since only a bar's own console can print above it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def as_it_is(text: str, style: str = "") -> "Text":
    """A text in which Rich finds no marks of its own, such as [bold] or the name of an emoji."""
    from rich.text import Text

    return Text(text, style)


@cache
def terminal() -> "Console":
    """Standard error, for the progress bars and spinners of one run."""
    from rich.console import Console

    return Console(stderr=True)


@cache
def output() -> "Console":
    """Standard output, for what the user asked for and for the progress bar of a study."""
    from rich.console import Console

    return Console()
