"""Tests of whether two models differ in their spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_ae.statistics.values import constant, finite, pairs

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats


@dataclass(frozen=True)
class VarianceResult:
    """A two-sided comparison of two spreads; standard deviations have ddof = 1."""

    n_a: int
    n_b: int
    std_a: float
    std_b: float
    statistic: float
    p: float


def variance_test_unpaired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Brown and Forsythe (1974): whether two independent groups of seeds differ in spread.

    Raises:
        ValueError: fewer than 3 seeds in a group (with 2, both have the same distance from their median), a value
            that is not finite, or no spread in either group.
    """
    import numpy as np
    from scipy.stats import levene

    x, y = finite(a, "the Brown-Forsythe test", least=3), finite(b, "the Brown-Forsythe test", least=3)
    if constant(x, np.abs(x).max()) and constant(y, np.abs(y).max()):
        raise ValueError("neither group varies over its seeds: there are no variances to compare")
    test = levene(x, y, center="median")
    return _result(x, y, float(test.statistic), float(test.pvalue))


def variance_test_paired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Pitman (1939) and Morgan (1939): whether two models that ran with the same seeds differ in spread.

    The statistic is t, with n - 2 degrees of freedom, of the correlation between a + b and a - b.

    Raises:
        ValueError: seeds that only one of them has, fewer than 3 seeds, a value that is not finite, or a
            model without spread.
    """
    import numpy as np
    from scipy.stats import t as student

    x, y = pairs(a, b, "the Pitman-Morgan test", least=3)
    scale = np.abs([x, y]).max()
    if any(constant(part, scale) for part in (x, y, x + y, x - y)):
        raise ValueError("a model, or the sum or difference of both, is the same for every seed: no variance to test")
    r, df = float(np.corrcoef(x + y, x - y)[0, 1]), len(x) - 2
    t = r * (df / max(1 - r * r, 1e-300)) ** 0.5
    return _result(x, y, t, float(2 * student.sf(abs(t), df)))


def _result(x: Floats, y: Floats, statistic: float, p: float) -> VarianceResult:
    return VarianceResult(len(x), len(y), float(x.std(ddof=1)), float(y.std(ddof=1)), statistic, p)
