"""Arrays of the user's own, .npy or .npz: samples, and labels beside them."""

import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from lit_ae.data.checks import refuse_bits
from lit_ae.data.containers import refuse_not_finite
from lit_ae.data.rows import Raw, parts_of
from lit_ae.errors import SettingError

Layout = Literal["auto", "channels_first", "channels_last"]
CHANNELS = (1, 3)
IN_MEMORY = 2**26  # bytes of a .npy file that are read at once; a larger one is mapped, and its splits are views of it
LABEL_NAMES = r"(y|labels?|targets?|class|classes)(_train)?"  # of arrays that are labels but are not called `y`
OTHER_SPLIT = r"[xy]_(test|val|valid|validation|dev)"


def read_arrays(path: Path, labels: str | None = None, layout: Layout = "auto") -> tuple[Raw, Raw | None]:
    """Samples and labels [N] of a file; a large .npy file is mapped.

    Args:
        path: a .npy file, or a .npz file with `x` and optionally `y`, written small or large.
        labels: the array with the labels; null: `y` if there is one.
        layout: which axis of a 4-dimensional array holds the channels; `auto`: the one of size 1 or 3, if only one is.

    Arrays that are neither are named in one line.

    Returns:
        vectors [N, D] or images [N, C, H, W] as they are stored, and labels.

    Raises:
        SettingError: the file is broken, its arrays have other names or shapes, or it holds NaN or infinity.
    """
    try:
        large = path.stat().st_size > IN_MEMORY
        content = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        named = {"x": content} if isinstance(content, np.ndarray) else dict(content)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SettingError(
            f"--data.path {path} cannot be read as .npy or .npz ({type(error).__name__}): write it with numpy.save or "
            "numpy.savez, without objects, or give a table or a folder of images"
        ) from error
    if other := next((name for name in named if re.fullmatch(OTHER_SPLIT, name.lower())), None):
        raise SettingError(
            f"--data.path {path} has the array {other!r}, which would be left out: put all samples into `x` and all "
            "labels into `y`, which are split by --data.split_seed"
        )
    x, y = _array(named, "x", path), _array(named, "y", path)
    assert x is not None
    if labels is not None:
        if labels not in named:
            raise SettingError(
                f"--data.labels is {labels!r}, and {path} has the arrays {sorted(named)}: choose one of them, or leave "
                "it out"
            )
        y = named[labels]
    likely = [name for name in named if re.fullmatch(LABEL_NAMES, name.lower())]
    if y is None and likely:
        raise SettingError(
            f"--data.path {path} has no array `y` but {likely[0]!r}: name the labels `y`, set --data.labels, or leave "
            "them out"
        )
    if unused := [name for name, values in named.items() if values is not x and values is not y]:
        print(f"--data.path {path}: only samples and labels are used, not {', '.join(unused)}", file=sys.stderr)
    if np.issubdtype(x.dtype, np.floating):
        refuse_not_finite(x, f"--data.path {path}")  # here the index is that in the file
    if x.dtype == np.uint8:
        refuse_bits(max((part.max(initial=0) for part in parts_of(x)), default=0), f"--data.path {path} holds")
    return _images_first(x, path, layout), y


def _array(named: dict[str, Raw], name: str, path: Path) -> Raw | None:
    """The array of this name, written small or large."""
    found = [key for key in named if key.lower() == name]
    if len(found) > 1:
        raise SettingError(f"--data.path {path} has the arrays {', '.join(found)}: keep one of them")
    if not found and name == "x":
        raise SettingError(f"--data.path {path} has no array `x` but {sorted(named)}: name the samples `x`")
    return named[found[0]] if found else None


def _images_first(x: Raw, path: Path, layout: Layout) -> Raw:
    """Vectors [N, D] as they are, images as [N, C, H, W]."""
    where = f"--data.path {path} has shape {list(x.shape)}"
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise SettingError(f"{where}: give images [N, H, W], [N, H, W, C] or [N, C, H, W], or vectors [N, D]")
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        if x.shape[2] <= 4:
            raise SettingError(
                f"{where}, which would be images {x.shape[2]} pixels wide: give images as [N, H, W] or "
                "[N, H, W, C] (one image as [1, H, W, C]), vectors as [N, D]"
            )
        return x[:, None]
    axes = {"channels_first": [1], "channels_last": [3]}.get(layout, [1, 3])
    fitting = [axis for axis in axes if x.shape[axis] in CHANNELS]
    if len(fitting) != 1:
        why = "both axes could hold the channels" if fitting else "no such axis has 1 or 3 channels"
        remedy = "set --data.layout to channels_first or channels_last" if fitting else "give grey or RGB images"
        if not fitting and 4 in (x.shape[1], x.shape[3]):
            remedy = "leave out the transparency (alpha), or compose the images on a background"
        raise SettingError(f"{where}: {why}; {remedy}")
    return x if fitting == [1] else x.transpose(0, 3, 1, 2)
