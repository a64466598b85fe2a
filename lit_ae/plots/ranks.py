"""The critical-difference diagram of mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lit_ae.plots.style import PALETTE, styled, text_width, wrap

STEP = 0.24  # inches from one line of text to the next


def critical_difference_diagram(
    mean_ranks: Mapping[str, float], difference: float, groups: Sequence[tuple[int, int]], title: str
) -> Figure:
    """Labels at their mean ranks, the best on the left, with a bar over each group that is not told apart.

    Args:
        mean_ranks: label -> mean rank, from 1 for the best to the number of labels.
        difference: the critical difference, drawn to scale above the axis.
        groups: (first, last) place of each bar in the order of mean ranks, counted from 0.
        title: title of the figure.

    Raises:
        ValueError: fewer than 2 labels.
    """
    if len(mean_ranks) < 2:
        raise ValueError("a diagram of ranks needs at least 2 labels")
    ordered = sorted(mean_ranks.items(), key=lambda item: item[1])
    k, half = len(ordered), (len(ordered) + 1) // 2
    with styled():
        parts = ordered[:half], ordered[half:]
        margins = [max(text_width(f"{label}  0.00", 9) for label, _ in part) + 0.3 for part in parts]  # inches
        width = max(6.4, sum(margins) + 2.6)
        left, right = (margin / width for margin in margins)
        lines = 0.8 + 0.5 * len(groups) + half  # below the axis
        height = STEP * (lines + 4) + 0.5
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left, STEP / height, 1 - left - right, STEP * lines / height))
        axes.set(xlim=(1, k), ylim=(lines, 0))
        axes.xaxis.tick_top()
        axes.set_xticks(range(1, k + 1))
        axes.yaxis.set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.spines["top"].set_visible(True)
        shown = min(difference, k - 1)
        axes.plot([1, 1 + shown], [-1.4, -1.4], color="black", marker="|", clip_on=False, gid="difference")
        axes.text(1 + shown / 2, -1.7, f"critical difference {difference:.2f}", ha="center", va="bottom", fontsize=8)
        for level, (first, last) in enumerate(groups):
            ends = ordered[first][1] - 0.04, ordered[last][1] + 0.04
            axes.plot(ends, [0.6 + 0.5 * level] * 2, color=PALETTE[0], linewidth=4, solid_capstyle="butt", gid="group")
        below = 1.2 + 0.5 * len(groups)
        for place, (label, rank) in enumerate(ordered):
            is_left = place < half
            y = below + (place if is_left else k - 1 - place)
            end = 1 - 0.02 * (k - 1) if is_left else k + 0.02 * (k - 1)
            axes.plot([rank, rank, end], [0, y, y], color="#777777", linewidth=0.8, clip_on=False, zorder=1)
            text, side = (f"{label}  {rank:.2f} ", "right") if is_left else (f" {rank:.2f}  {label}", "left")
            axes.text(end, y, text, ha=side, va="center")
        figure.suptitle(wrap(title, 0.8 * width), y=1 - 0.12 / height, va="top")
    return figure
