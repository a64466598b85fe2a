"""Figures of codes in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from lit_ae.plots.images import Pixels
from lit_ae.plots.style import PALETTE, Array, as_numpy, styled, wrap

ROWS = 18  # labels in a column of the legend
MARKERS = ("o", "^", "s", "D")  # of the first ten labels, the next ten and so on


def embedding(points: Array, labels: Array, title: str, class_names: Sequence[str] | None = None) -> Figure:
    """Scatter plot of points [N, 2], coloured by labels [N]: `embeddings` with one panel."""
    return embeddings({"": points}, labels, title, class_names)


def embeddings(
    panels: Mapping[str, Array], labels: Array, title: str, class_names: Sequence[str] | None = None
) -> Figure:
    """Scatter plots side by side, name -> points [N, 2], coloured by labels [N]; -1 is grey and means "no label".

    Labels that share a colour differ in shape. The name of each class is written at the median of its points as well as
    in the legend, so that it can be read without colour. Raises ValueError for other shapes.
    """
    y = as_numpy(labels).astype(np.int64)
    columns = -(-len(np.unique(y)) // ROWS)  # of the legend
    width = (6.0 if len(panels) == 1 else 0.9 + 3.4 * len(panels)) + 1.1 * (columns - 1)
    with styled():
        figure = Figure(figsize=(width, 4.8 if len(panels) == 1 else 3.9), layout="constrained")
        for axes, (name, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            _scatter(axes, as_numpy(points).astype(np.float64), y, class_names)
            axes.set(xlabel="dimension 1", ylabel="dimension 2", title=name)
        if len(panels) == 1:
            axes.set_title(wrap(title, 0.8 * width))
        else:
            figure.suptitle(wrap(title, width))
        key = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="label", handletextpad=0.2, ncols=columns)
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
        marker = MARKERS[max(label, 0) // len(PALETTE) % len(MARKERS)]
        own = xy[y == label]
        axes.scatter(own[:, 0], own[:, 1], s=area, marker=marker, color=colour, linewidths=0, alpha=0.8, label=name)
        if label >= 0:
            axes.annotate(
                name,
                tuple(np.median(own, axis=0)),
                ha="center",
                va="center",
                fontweight="bold",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
