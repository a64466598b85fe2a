"""Sizes are checked against the memory there is before it is taken, since a system may kill what takes too much."""

from lit_ae.errors import SettingError

GIB = 2**30


def require_memory(size: int, what: str, remedy: str) -> None:
    """Refuse what would take more than the free memory of this machine.

    Args:
        size: bytes.
        what: what takes them, as the subject of a sentence.
        remedy: what to do instead.

    Raises:
        SettingError: less is free.
    """
    import psutil

    free = psutil.virtual_memory().available
    if size > free:
        raise SettingError(f"{what} would take {size / GIB:,.1f} GiB, and {free / GIB:,.1f} GiB are free: {remedy}")
