"""Single values to short texts, in every table and sentence alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

DASH = "–"
ARROWS = {"lower": "↓", "higher": "↑"}  # which of them is better


def number(value: float, spec: str) -> str:
    """The value in that format with a true minus sign, a dash for NaN, ∞ for infinity."""
    return DASH if math.isnan(value) else format(value, spec).replace("-", "−").replace("inf", "∞")


def significant(value: float, sign: str = "") -> str:
    """Three significant digits, trailing zeros kept; `sign` "+" shows the sign of positive values too."""
    return number(value, f"{sign}#.3g").removesuffix(".")


def p_value(p: float) -> str:
    """A p-value to three digits, a dash for NaN."""
    return DASH if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def mean_std(mean: float, std: float, spec: str) -> str:
    """`mean ± std` in a column's format; a std that the format would show as 0 gets one significant digit."""
    if math.isnan(mean):
        return DASH
    if math.isnan(std):
        return number(mean, spec)
    spread = number(std, spec)
    if std > 0 and not re.search("[1-9]", spread):
        spread = number(std, ".1g")
    return f"{number(mean, spec)} ± {spread}"


def seeds_text(n: int, most: int | None = None) -> str:
    """`1 seed`, `3 seeds`, or `3 to 5 seeds` if some have more."""
    if most is not None and most != n:
        return f"{n} to {seeds_text(most)}"
    return f"{n} seed{'' if n == 1 else 's'}"


def seed_names(seeds: Iterable[int]) -> str:
    """`seed 2` or `seeds 1, 2`."""
    names = list(map(str, seeds))
    return f"seed{'' if len(names) == 1 else 's'} {', '.join(names)}"


def listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def with_arrow(label: str, better: str) -> str:
    """A metric's name with ↓ if lower is better, with ↑ if higher is, and by itself if neither is."""
    return f"{label} {ARROWS[better]}" if better in ARROWS else label


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
