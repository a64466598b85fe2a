"""The terminal that progress is shown on."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def terminal() -> "Console":
    """Standard error; one object for all, since a bar may be shown under a spinner of the same console alone."""
    from rich.console import Console

    return Console(stderr=True)
