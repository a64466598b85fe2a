"""The style of all figures, and how a figure is saved."""

from __future__ import annotations

import io
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike, NDArray

from lit_ae.settings.whole_files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = "Tensor | NDArray[np.generic]"

DPI = 110
MAX_BYTES = 150_000  # a larger PNG is written with a palette of 256 colours

# Chosen so that they differ under simulated red and green blindness and in lightness (L* from 22 to 83, at least 5
# apart), and so also in a grey print; the first few differ most in both.
PALETTE = (
    "#0072b2",
    "#ffa90e",
    "#882255",
    "#44aa99",
    "#332288",
    "#e76300",
    "#92dadd",
    "#bd1f01",
    "#b9ac70",
    "#a96b59",
)
LINE_STYLES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
STYLE: dict[str, object] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "figure.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}
# rcParams belong to the whole process: two threads in rc_context would restore each other's settings.
_LOCK = threading.RLock()


@contextmanager
def styled() -> Iterator[None]:
    """Inside it matplotlib draws in the project's style; one thread at a time can be inside."""
    with _LOCK, mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def as_numpy(array: Array | ArrayLike) -> NDArray[np.generic]:
    """A NumPy array of a tensor, whatever its device, type and gradient, or of anything that NumPy accepts."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        return np.asarray(array.float() if array.is_floating_point() else array)
    return np.asarray(array)


def wrap(title: str, width: float) -> str:
    """The title broken into lines of at most that many inches: no layout engine makes room beside a title."""
    return textwrap.fill(title, max(10, int(width * 72 / (0.6 * 10))))  # 0.6 em a letter at 10 pt


def text_width(text: str, size: float) -> float:
    """Width in inches of a text's longest line, at a font size in points."""
    lines = [line for line in text.split("\n") if line.strip()]  # matplotlib has no path for an empty line
    return max((float(TextPath((0, 0), line, size=size).get_extents().width) for line in lines), default=0.0) / 72


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as PNG (110 dpi) or PDF, as the path's ending says, and return the path.

    Missing folders are created, and the file holds no date. A PNG above 150 kB is reduced to a palette of 256 colours,
    since reports are kept in git.
    """
    path = Path(path)
    buffer = io.BytesIO()
    with styled():
        if layout := figure.get_layout_engine():  # once for both formats; `savefig` would draw everything twice for it
            layout.execute(figure)
            figure.set_layout_engine(None)
        if path.suffix == ".pdf":
            figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
        else:
            figure.savefig(buffer, format="png", metadata={"Software": None})
    if path.suffix != ".pdf" and buffer.tell() > MAX_BYTES:
        from PIL import Image

        reduced = Image.open(buffer).convert("RGB").quantize(256)
        buffer = io.BytesIO()
        reduced.save(buffer, format="png", optimize=True)
    write_whole(path, buffer.getvalue())
    return path
