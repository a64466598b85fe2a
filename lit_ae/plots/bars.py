"""Figures of bars."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from lit_ae.plots.style import PALETTE, styled, wrap


def bars(values: Mapping[str, float], xlabel: str, title: str) -> Figure:
    """A horizontal bar for each label -> value, from top to bottom, with the value at its end.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("a figure of bars needs at least one value")
    with styled():
        figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(values)), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.barh(list(values), list(values.values()), color=PALETTE[0])
        axes.bar_label(drawn, fmt="%.2f", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set(xlabel=xlabel, title=wrap(title, 0.8 * figure.get_figwidth()))
    return figure
