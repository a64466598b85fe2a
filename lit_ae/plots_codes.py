"""Figures of codes by dimension: distributions and correlations. As `lit_ae.plots`, arrays to Figure without pyplot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lit_ae.plots import PALETTE, Array, _length, _numpy, _style, _wrap

COLUMNS = 5  # of panels


def distributions(
    codes: Array, groups: Array, names: Sequence[str], group_label: str, title: str, group_names: Sequence[str] = ()
) -> Figure:
    """A panel for each column of codes [N, D], named by `names`, with the distribution in each group of [N].

    Groups go by their number, or by the name that it has in `group_names`. They stand side by side on the x axis, so
    that no colour is needed: density as a violin, median as a bar.

    Raises:
        ValueError: shapes that differ from these, or no codes.
    """
    z, of = _numpy(codes).astype(np.float64), _numpy(groups)
    if z.ndim != 2 or z.shape[1] != len(names) or of.shape != (len(z),) or z.size == 0:
        raise ValueError(f"codes must be [N, {len(names)}] and groups [N], got {list(z.shape)} and {list(of.shape)}")
    values = np.unique(of)
    ticks = [group_names[int(value)] if group_names else f"{value:g}" for value in values]
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    panel = max(1.7, 0.1 * sum(map(len, ticks)), 0.2 * len(values))  # inches
    with _style():
        figure = Figure(figsize=(0.7 + panel * columns, 0.7 + 1.7 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
        for axes, name, column in zip(panels, names, z.T, strict=False):
            parts = axes.violinplot(
                [column[of == value] for value in values], range(len(values)), showextrema=False, showmedians=True,
                widths=0.9,
            )  # fmt: skip
            for body in parts["bodies"]:
                body.set(facecolor="#9ec9e2", edgecolor=PALETTE[0], linewidth=0.8, alpha=1.0)
            parts["cmedians"].set(color="black", linewidth=1.6)
            axes.axhline(0, color="#999999", linewidth=0.6, zorder=0)
            axes.set_title(name)
            axes.set_xticks(range(len(values)), ticks)
        for axes in panels:  # what is left of them: cells without a dimension
            axes.set_visible(False)
        figure.supxlabel(group_label, fontsize=9)
        figure.supylabel("code", fontsize=9)
        figure.suptitle(_wrap(title, figure.get_figwidth()))
    return figure


def correlations(values: Array, rows: Sequence[str], columns: Sequence[str], xlabel: str, title: str) -> Figure:
    """Heat map of correlations [R, C] from -1 (dark) over 0 to 1 (bright), each with its number; NaN stays white.

    Lightness rises from -1 to 1, so that the sign is seen in grey, too.

    Raises:
        ValueError: another shape.
    """
    r = _numpy(values).astype(np.float64)
    if r.shape != (len(rows), len(columns)):
        raise ValueError(f"correlations must be [{len(rows)}, {len(columns)}], got {list(r.shape)}")
    with _style():
        left = max(_length(name, 8.0) for name in rows)
        figure = Figure(figsize=(left + 1.4 + 0.46 * len(columns), 1.2 + 0.4 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.imshow(r, cmap="cividis", vmin=-1, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(r):
            if math.isfinite(value):
                text = f"{value:.2f}".replace("-", "−")
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if value < 0.2 else "black")
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(xlabel)
        bar = figure.colorbar(drawn, ax=axes, ticks=[-1, 0, 1])
        bar.set_label("r, or η", fontsize=8)
        bar.outline.set_visible(False)
        figure.suptitle(_wrap(title, figure.get_figwidth()))
    return figure
