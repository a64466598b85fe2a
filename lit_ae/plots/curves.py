"""Figures of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lit_ae.plots.style import LINE_STYLES, PALETTE, styled, wrap

Series: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]


def curves(
    series: Series,
    xlabel: str,
    ylabel: str,
    title: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_y: bool = False,
) -> Figure:
    """Lines label -> [(x, y), ...] that differ in dashes as well as in colour.

    Args:
        series: lines by label.
        xlabel: label of the x axis.
        ylabel: label of the y axis.
        title: title of the figure.
        bands: shaded areas label -> (low, high), each with as many values as the line has points.
        log_y: whether the y axis is logarithmic.

    Raises:
        ValueError: a band and its line have different numbers of points.
    """
    with styled():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(axes, series, bands or {})
        if log_y:
            axes.set_yscale("log")
        axes.set(xlabel=xlabel, ylabel=ylabel, title=wrap(title, 0.8 * figure.get_figwidth()))
    return figure


def stacked_curves(panels: Mapping[str, Series], xlabel: str, title: str) -> Figure:
    """Lines as in `curves`, in panels one above the other: label of the y axis -> series."""
    with styled():
        figure = Figure(figsize=(6.4, 0.8 + 2.2 * len(panels)), layout="constrained")
        for axes, (ylabel, series) in zip(
            figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], panels.items(), strict=True
        ):
            draw_lines(axes, series, {})
            axes.set_ylabel(ylabel)
        axes.set_xlabel(xlabel)
        figure.suptitle(wrap(title, 0.8 * figure.get_figwidth()))
    return figure


def draw_lines(axes: Axes, series: Series, bands: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw lines label -> [(x, y), ...] with their bands and a legend into existing axes."""
    for i, (label, points) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        dashes = LINE_STYLES[
            (i + i // len(PALETTE)) % len(LINE_STYLES)
        ]  # a second line of the same colour has other dashes
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        marker = "o" if len(points) == 1 else ""  # a line with one point cannot be seen
        axes.plot(xs, ys, color=colour, linestyle=dashes, marker=marker, markersize=4, label=label)
        if label in bands:
            below, above = bands[label]
            if not len(below) == len(above) == len(points):
                raise ValueError(f"the band of {label!r} must have {len(points)} points, as its line has")
            axes.fill_between(xs, below, above, color=colour, alpha=0.18, linewidth=0)
    axes.grid(True, axis="y")
    if all(float(x).is_integer() for points in series.values() for x, _ in points):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = axes.get_xlim()
        if high - low < 1:  # a single epoch
            axes.set_xlim(low - 1, high + 1)
    if series:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)
