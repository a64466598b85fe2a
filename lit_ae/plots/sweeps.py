"""Figures of sweeps over a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

from lit_ae.plots.curves import Series, draw_lines
from lit_ae.plots.style import styled, wrap

LEVELS = ("#222222", "#777777", "#aaaaaa")  # colours of horizontal lines
FAR = 8  # rings of places around a point that are tried for its text
MANY = 8  # up to this many values of x each gets a tick

Bands = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def sweep(
    series: Series, levels: Mapping[str, float], bands: Bands, xlabel: str, ylabel: str, title: str, log_x: bool = False
) -> Figure:
    """Lines label -> [(x, y), ...] with a marker at each point, and horizontal lines.

    Args:
        series: lines by label.
        levels: heights of horizontal lines by label.
        bands: shaded areas label -> (low, high), each with as many values as the line has points.
        xlabel: label of the x axis.
        ylabel: label of the y axis.
        title: title of the figure.
        log_x: whether the x axis is logarithmic.

    Raises:
        ValueError: a band and its line have different numbers of points.
    """
    with styled():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for i, (label, y) in enumerate(levels.items()):
            axes.axhline(y, color=LEVELS[i % len(LEVELS)], linewidth=1.0, linestyle=(0, (8, 3)), label=label)
        draw_lines(axes, series, bands)
        for line in axes.lines[len(levels) :]:
            line.set(marker="o", markersize=4)
        if log_x:
            axes.set_xscale("log")
        ticks = sorted({x for points in series.values() for x, _ in points})
        if log_x and len(ticks) <= MANY:
            axes.xaxis.set_major_locator(FixedLocator(ticks))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set(xlabel=xlabel, ylabel=ylabel, title=wrap(title, 0.8 * figure.get_figwidth()))
    return figure


def trade_off(series: Series, names: Mapping[str, Sequence[str]], xlabel: str, ylabel: str, title: str) -> Figure:
    """Lines label -> [(x, y), ...] with a text at each point, such as the value of a setting: label -> texts.

    A text that would lie on another is moved around its point, and farther away if need be.
    """
    with styled():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(axes, series, {})
        for line in axes.lines:
            line.set(marker="o", markersize=4)
        axes.margins(0.08)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=wrap(title, 0.8 * figure.get_figwidth()))
        figure.draw_without_rendering()  # places are known from here on
        taken: list[Bbox] = []
        for label, points in series.items():
            for name, point in zip(names[label], points, strict=True):
                if name:
                    taken.append(_named(axes, name, point, taken))
    return figure


def _named(axes: Axes, name: str, point: tuple[float, float], taken: Sequence[Bbox]) -> Bbox:
    """Write a text beside a point where it covers none of these boxes, and return its own box, in pixels."""
    for ring in range(1, FAR + 1):
        for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            text = axes.annotate(
                name,
                point,
                xytext=(4 * x, (10 * ring - 6) * y),
                textcoords="offset points",
                fontsize=8,
                ha="left" if x > 0 else "right",
                va="bottom" if y > 0 else "top",
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) or (ring, x, y) == (FAR, -1, -1):
                return box
            text.remove()
    raise AssertionError("the last place is always taken")
