"""Histograms, in the style of `plots`."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from lit_ae.plots import LINE_STYLES, PALETTE, Array, _numpy, _style, _wrap


def histograms(
    samples: Mapping[str, Array], xlabel: str, title: str, marks: Mapping[str, float] | None = None, bins: int = 30
) -> Figure:
    """Histograms of label -> values [N] over common bins, each in per cent of its own; `marks` are vertical lines.

    Told apart by outline and hatching as well as by colour. Raises ValueError where a sample is empty or not finite.
    """
    values = {label: _numpy(sample).astype(np.float64).ravel() for label, sample in samples.items()}
    for label, x in values.items():
        if not x.size or not np.isfinite(x).all():
            raise ValueError(f"a histogram needs finite values, which {label!r} lacks")
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    with _style():
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
        axes.set(xlabel=xlabel, ylabel="share of the group (%)", title=_wrap(title, 0.8 * figure.get_figwidth()))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)
    return figure
