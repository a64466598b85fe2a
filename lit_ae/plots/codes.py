"""Figures of codes by dimension: distributions and correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lit_ae.plots.style import PALETTE, Array, as_numpy, styled, text_width, wrap

COLUMNS = 5  # columns of panels
WIDE = 4.0  # inches of labels below a panel, from which on they are turned


def distributions(
    codes: Array, groups: Array, names: Sequence[str], group_label: str, title: str, group_names: Sequence[str] = ()
) -> Figure:
    """One panel for each column of codes [N, D], with its distribution in each group of groups [N].

    The distributions of the groups are side by side along the x axis, so that colour is not needed: density as a
    violin, median as a bar. All panels have the same y axis, so that a dimension without spread looks like one.

    Args:
        codes: values, [N, D].
        groups: number of each sample's group, [N].
        names: title of each panel, D texts.
        group_label: label of the x axis.
        title: title of the figure.
        group_names: name of each group number; if empty, the numbers are shown.

    Raises:
        ValueError: other shapes, or no codes.
    """
    z, of = as_numpy(codes).astype(np.float64), as_numpy(groups)
    if z.ndim != 2 or z.shape[1] != len(names) or of.shape != (len(z),) or z.size == 0:
        raise ValueError(f"codes must be [N, {len(names)}] and groups [N], got {list(z.shape)} and {list(of.shape)}")
    values = np.unique(of)
    ticks = [group_names[int(value)] if group_names else f"{value:g}" for value in values]
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    turned = len(values) > 1 and 0.1 * sum(map(len, ticks)) > WIDE
    panel = max(1.7, 0.2 * len(values), 0.0 if turned else 0.1 * sum(map(len, ticks)))  # inches
    with styled():
        figure = Figure(figsize=(0.7 + panel * columns, 0.7 + 1.7 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for name, column, axes in zip(names, z.T, panels, strict=False):  # the panels last: one more would be taken
            parts = axes.violinplot(
                [column[of == value] for value in values], range(len(values)), showextrema=False, showmedians=True,
                widths=0.9,
            )  # fmt: skip
            for body in parts["bodies"]:
                body.set(facecolor="#9ec9e2", edgecolor=PALETTE[0], linewidth=0.8, alpha=1.0)
            parts["cmedians"].set(color="black", linewidth=1.6)
            axes.axhline(0, color="#999999", linewidth=0.6, zorder=0)
            axes.set_title(name)
            axes.set_xticks(range(len(values)), ticks, rotation=90 if turned else 0)
        for axes in panels:  # the remaining ones, which have no dimension
            axes.set_visible(False)
        figure.supxlabel(group_label, fontsize=9)
        figure.supylabel("code", fontsize=9)
        figure.suptitle(wrap(title, figure.get_figwidth()))
    return figure


def correlations(
    values: Array, rows: Sequence[str], columns: Sequence[str], xlabel: str, ylabel: str, title: str
) -> Figure:
    """Heat map of correlations [R, C] from -1 (dark) to 1 (bright), each with its number; NaN is white.

    Lightness increases from -1 to 1, so that the sign can also be seen in grey. Let the longer side be the rows: many
    columns make numbers too small for a narrow screen.

    Raises:
        ValueError: another shape.
    """
    r = as_numpy(values).astype(np.float64)
    if r.shape != (len(rows), len(columns)):
        raise ValueError(f"correlations must be [{len(rows)}, {len(columns)}], got {list(r.shape)}")
    with styled():
        left = max(text_width(name, 8.0) for name in rows)
        turned = max(text_width(name, 8.0) for name in columns) > 0.4  # inches
        below = 1.2 + (max(text_width(name, 8.0) for name in columns) if turned else 0.0)
        width = max(left + 1.5 + 0.5 * len(columns), 3.2)
        figure = Figure(figsize=(width, below + 0.3 * max(len(rows), 4)), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.imshow(r, cmap="cividis", vmin=-1, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(r):
            if math.isfinite(value):
                text = f"{value:.2f}".replace("-", "−")
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if value < 0.2 else "black")
        axes.set_xticks(range(len(columns)), columns, rotation=90 if turned else 0)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        bar = figure.colorbar(drawn, ax=axes, ticks=[-1, 0, 1])
        bar.set_label("correlation r or ratio η", fontsize=8)
        bar.outline.set_visible(False)
        figure.suptitle(wrap(title, figure.get_figwidth()))
    return figure
