"""P-values adjusted for the number of tests made together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the chance of any false positive in their family (Holm 1979).

    Raises:
        ValueError: a value that is not a probability.
    """
    import numpy as np

    p = _probabilities(p_values)
    order = p.argsort()
    adjusted = np.empty_like(p)  # by hand: statsmodels' function collects garbage, a third of a second at each call
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the share of false positives (Benjamini and Hochberg 1995, independent tests).

    Raises:
        ValueError: a value that is not a probability.
    """
    from scipy.stats import false_discovery_control

    p = _probabilities(p_values)
    return [float(adjusted) for adjusted in false_discovery_control(p)] if len(p) else []


def _probabilities(p_values: Sequence[float]) -> Floats:
    import numpy as np

    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():  # NaN fails as well
        raise ValueError(f"p-values must lie in [0, 1]: {list(p_values)}")
    return p
