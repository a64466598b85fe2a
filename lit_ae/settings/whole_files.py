"""Files are written aside and take their place when they are whole and on the disk, so that the last good one stays."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_ae.errors import SettingError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EIO}


@contextmanager
def whole_file(path: Path, remedy: str = "use another folder") -> Iterator[Path]:
    """A path in the same folder to write to, which becomes `path` when the block has ended without an error.

    Args:
        path: the file; missing folders are created.
        remedy: what a message suggests beside freeing space or making the folder writable.

    Raises:
        SettingError: the disk or quota is full, or the folder cannot be written.
    """
    part = path.with_name(f".{path.stem}-{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise SettingError(cannot_be_written(path, error, remedy)) from error
        raise
    finally:
        if part.exists():
            part.unlink()


def write_whole(path: Path, content: bytes, remedy: str = "use another folder") -> None:
    """Write a file by `whole_file`.

    Raises:
        SettingError: as `whole_file`.
    """
    with whole_file(path, remedy) as part:
        part.write_bytes(content)


def cannot_be_written(path: object, error: OSError, remedy: str = "use another folder") -> str:
    """The message that a file cannot be written: whether for want of space or of the right to, and what to do."""
    what = "free some space" if error.errno in FULL else "make it writable"
    return f"{path} cannot be written ({error.strerror}): {what}, or {remedy}"
