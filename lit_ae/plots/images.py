"""Figures of rows and grids of images."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lit_ae.errors import NotComputable
from lit_ae.plots.style import Array, as_numpy, styled, text_width, wrap

Pixels: TypeAlias = NDArray[np.float64]


def _pixels(images: Array) -> Pixels:
    """Images [N, C, H, W] as float64. Raises NotComputable unless C is 1 or 3, ValueError for another shape."""
    x = as_numpy(images).astype(np.float64)
    if x.ndim == 4 and x.shape[1] not in (1, 3):
        raise NotComputable(f"images of {x.shape[1]} channels cannot be drawn, only grey and RGB ones")
    if x.ndim != 4 or x.shape[0] == 0:
        raise ValueError(f"images must have shape [N, 1 or 3, H, W] with N > 0, got {list(x.shape)}")
    return x


def _mosaic(x: Pixels, columns: int, gap: int) -> Pixels:
    """Images [N, C, H, W] arranged row by row in one image [H', W', C], with NaN between them and in empty cells."""
    n, c, h, w = x.shape
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), np.nan)
    for i in range(n):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        canvas[top : top + h, left : left + w] = x[i].transpose(1, 2, 0)
    return canvas


def _rgba(mosaic: Pixels) -> Pixels:
    """Mosaic [H, W, 1 or 3] in [0, 1] as RGBA [H, W, 4]: gaps are transparent, values outside [0, 1] are clipped."""
    rgb = np.broadcast_to(mosaic, (*mosaic.shape[:2], 3))
    alpha = np.isfinite(rgb).all(axis=2, keepdims=True).astype(np.float64)
    return np.concatenate([np.nan_to_num(rgb).clip(0.0, 1.0), alpha], axis=2)


def image_rows(
    rows: Sequence[tuple[str, Array]],
    title: str,
    heat: Mapping[str, str] | Set[str] = frozenset(),
    below: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Labelled rows of images from top to bottom.

    Args:
        rows: each a label and images [N, C, H, W] in [0, 1], C = 1 or 3.
        title: title of the figure.
        heat: rows of any range that are drawn as heat maps of their mean over channels, from 0 to the maximum: labels,
            or label -> text of the colour bar with the unit.
        below: lines of text under the last row, label -> one text for each column.

    Raises:
        ValueError: images of another shape, or a line with another number of texts.
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
    width = min(5.6, max(3.0, 0.65 * columns))  # inches, of the images: wider ones have tiny text when fitted to a page
    with styled():
        left = max(text_width(label, 9.0) for label in [*(label for label, _ in tiles), *lines]) + 0.15
        right = 1.25 if bar_texts else 0.1
        figure = Figure()
        figure.set_figwidth(left + width + right)
        heading = wrap(title, figure.get_figwidth())
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
            bar.set_label(textwrap.fill(bar_texts[label], 9, break_long_words=False), fontsize=9)
            bar.ax.tick_params(labelsize=9)
            bar.ax.locator_params(nbins=3)
            bar.outline.set_visible(False)
        for k, (label, line) in enumerate(lines.items()):
            y = 1 - (top + 0.17 * k) / h
            figure.text((left - 0.06) / w, y, label, ha="right", va="top")
            for i, text in enumerate(line):
                middle = (i * (side + gap) + side / 2) / (columns * (side + gap) - gap)
                figure.text((left + width * middle) / w, y, text, ha="center", va="top", fontsize=9)
        figure.suptitle(heading, y=1 - 0.08 / h, va="top")
    return figure


def image_grid(images: Array, title: str, columns: int = 10) -> Figure:
    """A grid of images [N, C, H, W] in [0, 1], row by row. Raises ValueError for another shape."""
    x = _pixels(images)
    columns = min(columns, len(x))
    mosaic = _mosaic(x, columns, max(1, x.shape[3] // 14))
    width = min(6.0, max(2.5, 0.6 * columns))
    height = width * mosaic.shape[0] / mosaic.shape[1]
    heading = wrap(title, width)
    above = 0.15 + 0.17 * (1 + heading.count("\n"))
    with styled():
        w, h = width + 0.1, above + height + 0.05
        figure = Figure(figsize=(w, h))
        axes = figure.add_axes((0.05 / w, 0.05 / h, width / w, height / h))
        axes.imshow(_rgba(mosaic))
        axes.set_axis_off()
        figure.suptitle(heading, y=1 - 0.08 / h, va="top")
    return figure
