"""Where data files are looked for."""

import os
from pathlib import Path


def user_cache() -> Path:
    """The per-user folder for downloads: $XDG_CACHE_HOME/lit_ae, else ~/.cache/lit_ae."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_ae"


def data_root(root: str | Path | None) -> Path:
    """`root` where it is given, else the environment's LIT_AE_DATA, else the per-user cache."""
    return Path(root or os.environ.get("LIT_AE_DATA") or user_cache()).expanduser()
