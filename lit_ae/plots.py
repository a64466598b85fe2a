"""Arrays to matplotlib figures in one style, without pyplot: safe in worker processes and in threads."""

from __future__ import annotations

import io
import math
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = "Tensor | NDArray[np.generic]"
Pixels: TypeAlias = NDArray[np.float64]

DPI = 110
MAX_BYTES = 150_000  # a figure larger than this is written with a palette of 256 colours

# Chosen for distance under simulated red- and green-blindness and for a lightness of its own each (L* 22 to
# 83, no two nearer than 5), so that they differ in a grey print too; the first few are far apart in both.
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
# rcParams are one table for the whole process: two threads in rc_context would restore each other's.
_LOCK = threading.RLock()


@contextmanager
def _style() -> Iterator[None]:
    with _LOCK, mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def _numpy(array: Array | ArrayLike) -> NDArray[np.generic]:
    """A CPU copy of a tensor (gradients, device and bfloat16 dealt with) or anything that numpy takes."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        return np.asarray(array.float() if array.is_floating_point() else array)
    return np.asarray(array)


def _pixels(images: Array) -> Pixels:
    """Images [N, C, H, W] as float64, C = 1 or 3. Raises ValueError on another shape."""
    x = _numpy(images).astype(np.float64)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.shape[0] == 0:
        raise ValueError(f"images must have shape [N, 1 or 3, H, W] with N > 0, got {list(x.shape)}")
    return x


def _mosaic(x: Pixels, columns: int, gap: int) -> Pixels:
    """Tile images [N, C, H, W] row by row into one [H', W', C], NaN between them and in empty cells."""
    n, c, h, w = x.shape
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), np.nan)
    for i in range(n):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        canvas[top : top + h, left : left + w] = x[i].transpose(1, 2, 0)
    return canvas


def _rgba(mosaic: Pixels) -> Pixels:
    """Mosaic [H, W, 1 or 3] in [0, 1] to RGBA [H, W, 4]: gaps transparent, values out of range clipped."""
    rgb = np.broadcast_to(mosaic, (*mosaic.shape[:2], 3))
    alpha = np.isfinite(rgb).all(axis=2, keepdims=True).astype(np.float64)
    return np.concatenate([np.nan_to_num(rgb).clip(0.0, 1.0), alpha], axis=2)


def _wrap(title: str, width: float) -> str:
    """The title broken into lines that fit that many inches: no layout makes room at a title's sides."""
    return textwrap.fill(title, max(10, int(width * 72 / (0.6 * 10))))  # 0.6 em a letter at 10 pt


def _length(text: str, size: float) -> float:
    """Width of a text's longest line in inches."""
    lines = [line for line in text.split("\n") if line.strip()]  # matplotlib has no path of an empty one
    return max((float(TextPath((0, 0), line, size=size).get_extents().width) for line in lines), default=0.0) / 72


def image_rows(
    rows: Sequence[tuple[str, Array]],
    title: str,
    heat: Mapping[str, str] | Set[str] = frozenset(),
    below: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Labelled rows of images from top to bottom, each (label, images [N, C, H, W] in [0, 1]), C = 1 or 3.

    `heat` maps labels to colour bar texts (with the unit), or is a set of labels: such a row, of any range,
    is drawn as a heat map of its mean over channels, from 0 to its maximum. `below` are lines of text under the
    last row, label -> one text for each column.

    Raises:
        ValueError: images of another shape, or a line of another length.
    """
    bar_texts = dict(heat) if isinstance(heat, Mapping) else {label: label for label in heat}
    tiles = [(label, _pixels(images)) for label, images in rows]
    columns = max(len(x) for _, x in tiles)
    lines = dict(below or {})
    for label, line in lines.items():
        if len(line) != columns:
            raise ValueError(f"line {label!r} has {len(line)} texts for {columns} columns of images")
    side = tiles[0][1].shape[3]
    gap = max(1, side // 14)
    width = min(7.5, max(3.0, 0.75 * columns))  # inches, of the images
    with _style():
        left = max(_length(label, 9.0) for label in [*(label for label, _ in tiles), *lines]) + 0.15
        right = 1.0 if bar_texts else 0.1
        figure = Figure()
        figure.set_figwidth(left + width + right)
        heading = _wrap(title, figure.get_figwidth())
        placed, top = [], 0.15 + 0.17 * (1 + heading.count("\n"))  # inches from the top
        for label, x in tiles:
            mosaic = _mosaic(x.mean(axis=1, keepdims=True) if label in bar_texts else x, columns, gap)
            height = width * mosaic.shape[0] / mosaic.shape[1]
            placed.append((label, mosaic, top, height))
            top += height + 0.1
        figure.set_figheight(top + 0.17 * len(lines))
        w, h = figure.get_size_inches()
        for label, mosaic, above, height in placed:
            axes = figure.add_axes((left / w, 1 - (above + height) / h, width / w, height / h))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            axes.set_ylabel(label, rotation=0, ha="right", va="center")
            if label not in bar_texts:
                axes.imshow(_rgba(mosaic))
                continue
            most = float(np.nanmax(mosaic, initial=0.0))
            drawn = axes.imshow(mosaic[:, :, 0], cmap="magma", vmin=0.0, vmax=most if most > 0 else 1.0)
            strip = figure.add_axes(((left + width + 0.1) / w, 1 - (above + height) / h, 0.12 / w, height / h))
            bar = figure.colorbar(drawn, cax=strip, format="%.2g")
            bar.set_label(bar_texts[label], fontsize=8)
            bar.ax.locator_params(nbins=3)
            bar.outline.set_visible(False)
        for k, (label, line) in enumerate(lines.items()):
            y = 1 - (top + 0.17 * k) / h
            figure.text((left - 0.06) / w, y, label, ha="right", va="top")
            for i, text in enumerate(line):
                middle = (i * (side + gap) + side / 2) / (columns * (side + gap) - gap)
                figure.text((left + width * middle) / w, y, text, ha="center", va="top", fontsize=8)
        figure.suptitle(heading, y=1 - 0.08 / h, va="top")
    return figure


def image_grid(images: Array, title: str, columns: int = 10) -> Figure:
    """A grid of images [N, C, H, W] in [0, 1], row by row. Raises ValueError on a wrong shape."""
    x = _pixels(images)
    columns = min(columns, len(x))
    mosaic = _mosaic(x, columns, max(1, x.shape[3] // 14))
    width = min(6.0, max(2.5, 0.6 * columns))
    height = width * mosaic.shape[0] / mosaic.shape[1]
    heading = _wrap(title, width)
    above = 0.15 + 0.17 * (1 + heading.count("\n"))
    with _style():
        w, h = width + 0.1, above + height + 0.05
        figure = Figure(figsize=(w, h))
        axes = figure.add_axes((0.05 / w, 0.05 / h, width / w, height / h))
        axes.imshow(_rgba(mosaic))
        axes.set_axis_off()
        figure.suptitle(heading, y=1 - 0.08 / h, va="top")
    return figure


def embedding(points: Array, labels: Array, title: str, class_names: Sequence[str] | None = None) -> Figure:
    """Scatter of points [N, 2] coloured by labels [N], as `embeddings` with one panel."""
    return embeddings({"": points}, labels, title, class_names)


def embeddings(
    panels: Mapping[str, Array], labels: Array, title: str, class_names: Sequence[str] | None = None
) -> Figure:
    """Scatters side by side, name -> points [N, 2], coloured by labels [N]; -1 is drawn in grey as "no label".

    Each class's name stands at its median as well as in the legend, so that colour is not the only key.
    Raises ValueError where the shapes differ from these.
    """
    y = _numpy(labels).astype(np.int64)
    width = 6.0 if len(panels) == 1 else 0.9 + 3.4 * len(panels)
    with _style():
        figure = Figure(figsize=(width, 4.8 if len(panels) == 1 else 3.9), layout="constrained")
        for axes, (name, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            _scatter(axes, _numpy(points).astype(np.float64), y, class_names)
            axes.set(xlabel="dimension 1", ylabel="dimension 2", title=name)
        if len(panels) == 1:
            axes.set_title(_wrap(title, 0.8 * width))
        else:
            figure.suptitle(_wrap(title, width))
        key = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="label", handletextpad=0.2)
        for handle in key.legend_handles:
            handle.set(sizes=[30.0], alpha=1.0)
    return figure


def _scatter(axes: Axes, xy: Pixels, y: NDArray[np.int64], class_names: Sequence[str] | None) -> None:
    if xy.ndim != 2 or xy.shape[1] != 2 or y.shape != (len(xy),):
        raise ValueError(f"points must be [N, 2] and labels [N], got {list(xy.shape)} and {list(y.shape)}")
    area = float(np.clip(12_000 / max(1, len(xy)), 3.0, 18.0))
    for label in np.unique(y):
        name = "no label" if label < 0 else class_names[label] if class_names else str(label)
        colour = "#bbbbbb" if label < 0 else PALETTE[label % len(PALETTE)]
        own = xy[y == label]
        axes.scatter(own[:, 0], own[:, 1], s=area, color=colour, linewidths=0, alpha=0.8, label=name)
        if label >= 0:
            axes.annotate(
                name,
                tuple(np.median(own, axis=0)),
                ha="center",
                va="center",
                fontweight="bold",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )


Series: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]


def curves(
    series: Series,
    xlabel: str,
    ylabel: str,
    title: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_y: bool = False,
) -> Figure:
    """Lines label -> [(x, y), ...], told apart by dashes as well as by colour.

    `bands` shades label -> (low, high), each as long as its series. Raises ValueError where it is not.
    """
    with _style():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        _lines(axes, series, bands or {})
        if log_y:
            axes.set_yscale("log")
        axes.set(xlabel=xlabel, ylabel=ylabel, title=_wrap(title, 0.8 * figure.get_figwidth()))
    return figure


def stacked_curves(panels: Mapping[str, Series], xlabel: str, title: str) -> Figure:
    """Lines as in `curves`, in panels one above the other: y label -> series."""
    with _style():
        figure = Figure(figsize=(6.4, 0.8 + 2.2 * len(panels)), layout="constrained")
        for axes, (ylabel, series) in zip(
            figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], panels.items(), strict=True
        ):
            _lines(axes, series, {})
            axes.set_ylabel(ylabel)
        axes.set_xlabel(xlabel)
        figure.suptitle(_wrap(title, 0.8 * figure.get_figwidth()))
    return figure


def _lines(axes: Axes, series: Series, bands: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    for i, (label, points) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        dashes = LINE_STYLES[(i + i // len(PALETTE)) % len(LINE_STYLES)]  # a colour's second line has other dashes
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        marker = "o" if len(points) == 1 else ""  # a line through one point cannot be seen
        axes.plot(xs, ys, color=colour, linestyle=dashes, marker=marker, markersize=4, label=label)
        if label in bands:
            below, above = bands[label]
            if not len(below) == len(above) == len(points):
                raise ValueError(f"band of {label!r} must have {len(points)} points as its series has")
            axes.fill_between(xs, below, above, color=colour, alpha=0.18, linewidth=0)
    axes.grid(True, axis="y")
    if all(float(x).is_integer() for points in series.values() for x, _ in points):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = axes.get_xlim()
        if high - low < 1:  # a single epoch
            axes.set_xlim(low - 1, high + 1)
    if series:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as PNG (110 dpi) or, by the path's ending, PDF; folders made, no date inside; give its path.

    A PNG above 150 kB is reduced to a palette of 256 colours: reports are kept in git.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with _style():
        if path.suffix == ".pdf":
            figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
        else:
            figure.savefig(buffer, format="png", metadata={"Software": None})
        figure.set_layout_engine(None)  # what it laid out holds for the other format, too, and took as long as drawing
    if path.suffix != ".pdf" and buffer.tell() > MAX_BYTES:
        from PIL import Image

        reduced = Image.open(buffer).convert("RGB").quantize(256)
        buffer = io.BytesIO()
        reduced.save(buffer, format="png", optimize=True)
    path.write_bytes(buffer.getvalue())
    return path
