"""From the parser's error, which can fill a page, to the one line that helps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def explained(argv: Sequence[str]) -> Iterator[None]:
    """Placeholder."""
    yield
