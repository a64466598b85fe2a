"""Tests of whether two models differ in their spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lit_ae.statistics.ratios import variance_ratio_interval, variance_ratio_interval_paired
from lit_ae.statistics.values import constant, finite, pairs, same_for_every_seed

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

# Pairs, and the share of samples in which the Pitman-Morgan test rejects equal variances of exponential values at 5 %,
# where 5 % would be right (simulated, independent groups: tests/test_stats.py)
PITMAN_MORGAN_UNDER_EXPONENTIAL = 10, 0.23
LEAST = 4  # seeds in a group: with 3 the Brown-Forsythe test cannot give a p below 0.116


@dataclass(frozen=True)
class VarianceResult:
    """A two-sided comparison of two spreads; standard deviations have ddof = 1."""

    n_a: int
    n_b: int
    std_a: float
    std_b: float
    statistic: float
    p: float
    smallest_p: float  # that the test can give for groups of this size, whatever the data
    ratio_low: float  # 95 % interval of the ratio std_a / std_b in the population
    ratio_high: float
    deviation_a: float  # mean absolute deviation from the median, of which the Brown-Forsythe test is
    deviation_b: float

    @property
    def ratio(self) -> float:
        """The measured ratio of the standard deviations, std_a / std_b."""
        return self.std_a / self.std_b

    @property
    def direction(self) -> Literal["higher", "lower", ""]:
        """Which spread a has against b; empty where standard and mean absolute deviations disagree, as outliers do."""
        by_std, by_deviation = self.std_a > self.std_b, self.deviation_a > self.deviation_b
        return "" if by_std != by_deviation else "higher" if by_std else "lower"


def variance_test_unpaired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Brown and Forsythe (1974): whether two independent groups of seeds differ in spread.

    Beside it the interval of the ratio of the standard deviations: see `variance_ratio_interval`. For exponential
    values of equal spread the test rejects at 5 % in 5 % of samples from n = 10 on, but in 10 % at n = 4 (normal ones:
    7 %), because it becomes unstable where few values lie almost equally far from their median.

    Raises:
        ValueError: fewer than 4 seeds in a group (with 3, no data whatever give a p below 0.116), a value that is not
            finite, a group that is the same for every seed, or groups in which every value lies equally far from its
            median.
    """
    import numpy as np
    from scipy.stats import levene

    test = "the Brown-Forsythe test"
    x, y = finite(a, test, 2), finite(b, test, 2)
    if min(len(x), len(y)) < LEAST:
        floor = smallest_brown_forsythe_p(len(x), len(y))
        why = f": with {len(x)} and {len(y)} no data give a p below {floor:.3g}" if floor else ""
        raise ValueError(f"{test} needs at least {LEAST} seeds in each group, got {min(len(x), len(y))}{why}")
    _require_spread(x, y)
    if all(constant(np.abs(group - np.median(group)), float(np.abs(group).max())) for group in (x, y)):
        raise ValueError(
            "in both groups every value lies equally far from its median: the Brown-Forsythe test has no spread of"
            " these distances to work with"
        )
    found = levene(x, y, center="median")
    statistic, p = float(found.statistic), float(found.pvalue)
    return _result(x, y, statistic, p, smallest_brown_forsythe_p(len(x), len(y)), variance_ratio_interval(x, y))


def variance_test_paired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Pitman (1939) and Morgan (1939): whether two models that ran with the same seeds differ in spread.

    The statistic is t, with n - 2 degrees of freedom, of the correlation between a + b and a - b.

    The test assumes normal values and does not become right with more seeds: between independent exponential groups of
    equal spread it rejects at 5 % in 16 % of samples at n = 5, in 23 % at n = 10 and in 30 % at n = 50. Read the
    interval of the ratio beside it, which adapts to the tails of the data: see `variance_ratio_interval_paired`.

    Raises:
        ValueError: seeds that only one of them has, fewer than 4 seeds, a value that is not finite, a model that is the
            same for every seed, or models whose sum or difference is.
    """
    import numpy as np
    from scipy.stats import t as student

    x, y = pairs(a, b, "the Pitman-Morgan test", LEAST)
    _require_spread(x, y)
    scale = np.abs([x, y]).max()
    if constant(x + y, scale) or constant(x - y, scale):
        raise ValueError("the sum or difference of both models is the same for every seed: they have the same spread")
    r, df = float(np.corrcoef(x + y, x - y)[0, 1]), len(x) - 2
    t = r * (df / max(1 - r * r, 1e-300)) ** 0.5
    return _result(x, y, t, float(2 * student.sf(abs(t), df)), 0.0, variance_ratio_interval_paired(x, y))


def smallest_brown_forsythe_p(n_a: int, n_b: int) -> float:
    """The smallest p that the Brown-Forsythe test can approach for groups of this size; 0 if one of them is even.

    The statistic is an F of the distances from the medians. A group of an odd number n contains its median, at the
    distance 0, so that its distances cannot all be equal: at best the others are, which leaves n - 1 equal ones and a
    zero. F is largest if the other group has no spread, N = n_a + n_b: F = (N - 2) n_b (n_a - 1) / N, or the same with
    a and b exchanged. An even number of values can all lie equally far from their median, and F has no bound.

    Raises:
        ValueError: fewer than 2 values in a group.
    """
    from scipy.stats import f

    if min(n_a, n_b) < 2:
        raise ValueError(f"the Brown-Forsythe test needs at least 2 seeds in each group, got {n_a} and {n_b}")
    if n_a % 2 == 0 or n_b % 2 == 0:
        return 0.0
    n = n_a + n_b
    largest = (n - 2) * max(n_b * (n_a - 1), n_a * (n_b - 1)) / n
    return float(f.sf(largest, 1, n - 2))


def _require_spread(x: Floats, y: Floats) -> None:
    for name, group in (("a", x), ("b", y)):
        if same_for_every_seed(group):
            raise ValueError(f"{name} is the same for every seed: there is no variance to compare")


def _result(
    x: Floats, y: Floats, statistic: float, p: float, smallest_p: float, interval: tuple[float, float]
) -> VarianceResult:
    import numpy as np

    stds = float(x.std(ddof=1)), float(y.std(ddof=1))
    deviations = (float(np.abs(group - np.median(group)).mean()) for group in (x, y))
    return VarianceResult(len(x), len(y), *stds, statistic, p, smallest_p, *interval, *deviations)
