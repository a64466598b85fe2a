"""Figures of histograms."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from lit_ae.plots.style import LINE_STYLES, PALETTE, Array, as_numpy, styled, wrap


def histograms(
    samples: Mapping[str, Array], xlabel: str, title: str, marks: Mapping[str, float] | None = None, bins: int = 30
) -> Figure:
    """Histograms of label -> values [N] with common bins, each in percent of its own values.

    They differ in outline and hatching as well as in colour.

    Args:
        samples: values by label.
        xlabel: label of the x axis.
        title: title of the figure.
        marks: positions of vertical lines by label.
        bins: number of bins.

    Raises:
        ValueError: values are missing or not finite.
    """
    values = {label: as_numpy(sample).astype(np.float64).ravel() for label, sample in samples.items()}
    for label, x in values.items():
        if not x.size or not np.isfinite(x).all():
            raise ValueError(f"a histogram needs finite values: {label!r} has none, or also NaN or infinite ones")
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    with styled():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        looks = zip(values.items(), cycle(PALETTE), cycle(LINE_STYLES), cycle(("", "////", "....")), strict=False)
        for (label, x), colour, dashes, hatch in looks:
            share = 100 * np.histogram(x, edges)[0] / x.size
            axes.stairs(
                share, edges, fill=True, facecolor=(colour, 0.3), edgecolor=colour, linewidth=0, hatch=hatch or None
            )
            axes.stairs(share, edges, color=colour, linestyle=dashes, linewidth=1.6, label=f"{label} ({x.size:,})")
        for label, at in (marks or {}).items():
            axes.axvline(at, color="black", linestyle=(0, (1, 1)), label=label)
        axes.set_ylim(bottom=0)
        axes.grid(True, axis="y")
        axes.set(xlabel=xlabel, ylabel="share of the group (%)", title=wrap(title, 0.8 * figure.get_figwidth()))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)
    return figure
