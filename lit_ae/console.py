"""Where bars and tables are shown: one object a stream, since only a bar's own console can print above it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def terminal() -> "Console":
    """Standard error, for bars and spinners of one run."""
    from rich.console import Console

    return Console(stderr=True)


@cache
def output() -> "Console":
    """Standard output, for what the user asked for and the bar of studies."""
    from rich.console import Console

    return Console()
