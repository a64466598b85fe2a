"""Intervals of the ratio of two standard deviations that do not assume normal values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lit_ae.statistics.values import finite, same_for_every_seed

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

    Values = Sequence[float] | Floats

LEAST = 4  # values in a group


def variance_ratio_interval(a: Values, b: Values, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the ratio of standard deviations σ_a / σ_b of two independent groups (Bonett 2006).

    ln(σ_a² / σ_b²) has the standard error √(Σ_i (γ - (n_i - 3) / n_i) / (n_i - 1)), with γ the kurtosis of both groups
    together about their trimmed means, and the limits are its normal quantiles. The kurtosis is pooled as if the groups
    had been scaled to the same spread by the limit in question, so that the interval is also valid for a ratio other
    than 1 (Bonett's later form, `ci.ratio.sd2` of his R package statpsych).

    For normal and exponential values, ratios of 1 and 3 and n = 4 to 20, the 95 % interval contains the ratio in 93 to
    98 % of samples.

    Raises:
        ValueError: fewer than 4 values in a group, one that is not finite, a group whose values are all equal, or a
            confidence outside (0, 1) or so large that z reaches the number of values of a group.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import norm, trim_mean

    groups = _groups(a, b, confidence)
    n = [len(x) for x in groups]
    z = float(norm.ppf((1 + confidence) / 2))
    if z >= min(n):
        raise ValueError(f"a confidence of {confidence} needs more than {z:.3g} values in each group, got {min(n)}")
    # A trimmed share of 1/2 is the median. It is a limit of the formula at n = 4, where its root is 0.
    centres = [trim_mean(x, 0.5 / math.sqrt(len(x) - 4)) if len(x) > 5 else np.median(x) for x in groups]
    fourth = [float(((x - centre) ** 4).sum()) for x, centre in zip(groups, centres, strict=True)]
    square = [float(((x - x.mean()) ** 2).sum()) for x in groups]
    scale = (n[0] / (n[0] - z)) / (n[1] / (n[1] - z))  # makes the tails alike; 1 for groups of equal size
    middle = math.log(scale * groups[0].var(ddof=1) / groups[1].var(ddof=1))

    def error(log_ratio: float) -> float:  # the standard error if that were ln(σ_a² / σ_b²)
        r = math.exp(log_ratio)
        kurtosis = sum(n) * (fourth[0] + r * r * fourth[1]) / (square[0] + r * square[1]) ** 2
        return math.sqrt(sum(max(kurtosis - (k - 3) / k, 0.0) / (k - 1) for k in n))

    def limit(sign: int) -> float:
        far = 1.0
        while z * error(middle + sign * far) > far:
            far *= 2
        found = brentq(lambda x: middle + sign * z * error(x) - x, middle, middle + sign * far, xtol=1e-12)
        return math.exp(0.5 * float(found))

    return limit(-1), limit(1)


def variance_ratio_interval_paired(a: Values, b: Values, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the ratio of standard deviations σ_a / σ_b of values in pairs, by the jackknife (Miller 1968).

    The pseudo-values n θ - (n - 1) θ_i, with θ = ln(s_a² / s_b²) and θ_i the same without pair i, give the standard
    error of θ, and Student's t with n - 1 degrees of freedom the limits.

    For normal and exponential values, independent or correlated by 0.8, and n = 4 to 20, the 95 % interval contains
    the ratio in 90 to 96 % of samples; a bootstrap over pairs does so in 87 to 93 %.

    Raises:
        ValueError: groups of different size, fewer than 4 pairs, a value that is not finite, a confidence outside
            (0, 1), or a group whose values are all equal or become so without one of them.
    """
    import numpy as np
    from scipy.stats import t as student

    x, y = _groups(a, b, confidence)
    n = len(x)
    if len(y) != n:
        raise ValueError(f"values in pairs need as many of a as of b, got {n} and {len(y)}")

    def log_ratio(x: Floats, y: Floats) -> float:
        return math.log(x.var(ddof=1) / y.var(ddof=1))

    without = [(np.delete(x, i), np.delete(y, i)) for i in range(n)]
    if any(same_for_every_seed(part) for both in without for part in both):
        raise ValueError("all values of a group but one are equal: the ratio of the spreads has no interval")
    theta = log_ratio(x, y)
    pseudo = n * theta - (n - 1) * np.array([log_ratio(*both) for both in without])
    half = float(student.ppf((1 + confidence) / 2, n - 1) * pseudo.std(ddof=1) / math.sqrt(n))
    return math.exp(0.5 * (theta - half)), math.exp(0.5 * (theta + half))


def _groups(a: Values, b: Values, confidence: float) -> list[Floats]:
    what = "an interval of the ratio of two spreads"
    groups = [finite(dict(enumerate(values)), what, LEAST) for values in (a, b)]
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, got {confidence}")
    if any(same_for_every_seed(x) for x in groups):
        raise ValueError("a group is the same for every seed: its spread is 0, and the ratio has no interval")
    return groups
