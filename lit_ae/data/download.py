"""Where data files and caches lie, and how a file gets there: downloaded whole, and checked."""

import hashlib
import os
import shutil
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from lit_ae.errors import SettingError

NETWORK_TIMEOUT = 10.0  # seconds without an answer


def user_cache() -> Path:
    """The per-user folder for downloads: $XDG_CACHE_HOME/lit_ae, else ~/.cache/lit_ae."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_ae"


def data_root(root: str | Path | None) -> Path:
    """Where data sets are looked for: `root` if it is given, else $LIT_AE_DATA, else the per-user cache."""
    return Path(root or os.environ.get("LIT_AE_DATA") or user_cache()).expanduser()


def cache_root() -> Path:
    """Where everything that can be computed again is kept: $LIT_AE_CACHE, else the per-user cache."""
    return Path(os.environ.get("LIT_AE_CACHE") or user_cache()).expanduser()


def checked(path: Path, md5: str) -> bytes:
    """The content of a file that has this checksum.

    Raises:
        SettingError: it has another checksum.
    """
    content = path.read_bytes()
    found = _md5(content)
    if found != md5:
        raise SettingError(
            f"{path} has a wrong checksum (md5 {found} instead of {md5}): delete the file to have it downloaded "
            "again, or set --data.root, or without it LIT_AE_DATA, to a folder that holds an intact copy"
        )
    return content


def download(urls: list[str], path: Path, md5: str) -> None:
    """Download `path` from the first address that provides it; an incomplete file is never left behind.

    Raises:
        OSError: no address provided the file; the reason is that of the last address.
    """
    from rich.console import Console
    from rich.progress import wrap_file

    part = path.with_name(f"{path.name}.part")
    failure: Exception = OSError("it has no address")
    for url in urls:
        try:
            with urlopen(Request(url, headers={"User-Agent": "lit_ae"}), timeout=NETWORK_TIMEOUT) as response:
                size = int(response.headers.get("Content-Length") or 0)
                bar = wrap_file(response, size, description=path.name, console=Console(stderr=True))
                with bar as stream, part.open("wb") as out:
                    shutil.copyfileobj(stream, out)
            if _md5(part.read_bytes()) == md5:
                part.replace(path)
                return
            failure = OSError(f"the file from {url} has a wrong checksum")
        except (OSError, HTTPException) as error:
            failure = error
        finally:
            part.unlink(missing_ok=True)
    raise OSError(str(failure)) from failure


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
