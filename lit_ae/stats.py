"""Tests across seeds: paired differences, variances, corrections for many tests, what n seeds can show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

EXACT_UP_TO = 20  # seeds whose 2^(n - 1) sign patterns are all looked at
DRAWS = 100_000  # sign patterns drawn beyond that
RESAMPLES = 9999  # of the bootstrap


@dataclass(frozen=True)
class PairedResult:
    """A paired comparison a - b over n seeds; every p-value is two-sided."""

    n: int
    mean_difference: float
    std_difference: float  # ddof = 1
    ci_low: float  # of the mean difference, by Student's t
    ci_high: float
    t: float
    p: float  # paired t-test
    wilcoxon_p: float  # signed-rank test
    sign_flip_p: float  # exact permutation test on the mean difference
    effect_size: float  # d_z with Hedges' correction; NaN at n = 2, where the correction leaves nothing

    @property
    def detectable(self) -> float:
        """The least true difference that the t-test finds with 80 % power, the spread being as measured."""
        return detectable_effect(self.n) * self.std_difference


@dataclass(frozen=True)
class VarianceResult:
    """A two-sided comparison of two spreads; standard deviations have ddof = 1."""

    n_a: int
    n_b: int
    std_a: float
    std_b: float
    statistic: float
    p: float


def paired_test(a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95) -> PairedResult:
    """Compare seed -> value of two models that ran with the same seeds.

    t-test (Student 1908), signed-rank test (Wilcoxon 1945), sign flips (Fisher 1935), and d_z = mean / std of
    the differences times Hedges' (1981, equation 6e) small-sample factor for n - 1 degrees of freedom.

    Raises:
        ValueError: seeds that only one of them has, fewer than 2 seeds, a value that is not finite, or the
            same difference for every seed.
    """
    import numpy as np
    from scipy.stats import ttest_rel, wilcoxon

    x, y = _pairs(a, b, "a paired test", least=2)
    d = x - y
    if _constant(d, np.abs([x, y]).max()):
        raise ValueError(f"the difference is {d[0]:.6g} for every seed: there is no spread to test against")
    n, mean, std = len(d), float(d.mean()), float(d.std(ddof=1))
    test = ttest_rel(x, y)
    interval = test.confidence_interval(confidence)
    return PairedResult(
        n=n,
        mean_difference=mean,
        std_difference=std,
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        t=float(test.statistic),
        p=float(test.pvalue),
        wilcoxon_p=float(wilcoxon(d).pvalue),
        sign_flip_p=sign_flip_p(d),
        effect_size=mean / std * _hedges(n - 1) if n > 2 else float("nan"),
    )


def sign_flip_p(differences: Sequence[float] | Floats) -> float:
    """Two-sided p of the mean difference under all 2^n choices of signs; above n = 20 under 100,000 drawn.

    Raises:
        ValueError: fewer than 2 differences, or one that is not finite.
    """
    import numpy as np

    d = _values(dict(enumerate(differences)), "the sign-flip test", least=2)
    observed = abs(d.sum()) - 1e-9 * np.abs(d).sum()  # the same sum in another order differs by rounding
    if len(d) > EXACT_UP_TO:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, len(d)))
        return float((1 + (np.abs(signs @ d) >= observed).sum()) / (1 + DRAWS))
    sums = d[:1]  # by symmetry the first sign stays
    for value in d[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= observed).mean())


def confidence_interval(
    values: Sequence[float] | Floats, confidence: float = 0.95, method: Literal["t", "bootstrap"] = "t"
) -> tuple[float, float]:
    """Low and high end of an interval for the mean of n values, such as the differences of paired seeds.

    `t`: Student's. `bootstrap`: bias-corrected and accelerated (Efron 1987), 9,999 resamples, the same at every call.
    Over a handful of seeds the bootstrap is too narrow: of normal values at n = 5 its 95 % interval holds the mean in
    85 % of samples, Student's in 95 %.

    Raises:
        ValueError: fewer than 2 values, one that is not finite, values that are all equal, or a confidence outside
            (0, 1).
    """
    import numpy as np
    from scipy import stats as scipy_stats

    x = _values(dict(enumerate(values)), "a confidence interval", least=2)
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, got {confidence}")
    if _constant(x, np.abs(x).max()):
        raise ValueError(f"every value is {x[0]:.6g}: there is no spread to make an interval of")
    if method == "t":
        interval = scipy_stats.ttest_1samp(x, 0).confidence_interval(confidence)
    else:
        test = scipy_stats.bootstrap((x,), np.mean, n_resamples=RESAMPLES, confidence_level=confidence, random_state=0)
        interval = test.confidence_interval
    return float(interval.low), float(interval.high)


def variance_test_unpaired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Brown and Forsythe (1974): do two independent groups of seeds differ in spread?

    Raises:
        ValueError: fewer than 3 seeds in a group (with 2, both lie equally far from their median), a value
            that is not finite, or no spread in either group.
    """
    import numpy as np
    from scipy.stats import levene

    x, y = _values(a, "the Brown-Forsythe test", least=3), _values(b, "the Brown-Forsythe test", least=3)
    if _constant(x, np.abs(x).max()) and _constant(y, np.abs(y).max()):
        raise ValueError("neither group varies over its seeds: there are no variances to compare")
    test = levene(x, y, center="median")
    return _variances(x, y, float(test.statistic), float(test.pvalue))


def variance_test_paired(a: Mapping[int, float], b: Mapping[int, float]) -> VarianceResult:
    """Pitman (1939) and Morgan (1939): do two models that ran with the same seeds differ in spread?

    The statistic is t, with n - 2 degrees of freedom, of the correlation between a + b and a - b.

    Raises:
        ValueError: seeds that only one of them has, fewer than 3 seeds, a value that is not finite, or a
            model without spread.
    """
    import numpy as np
    from scipy.stats import t as student

    x, y = _pairs(a, b, "the Pitman-Morgan test", least=3)
    scale = np.abs([x, y]).max()
    if any(_constant(part, scale) for part in (x, y, x + y, x - y)):
        raise ValueError("a model, or the sum or difference of both, is the same for every seed: no variance to test")
    r, df = float(np.corrcoef(x + y, x - y)[0, 1]), len(x) - 2
    t = r * (df / max(1 - r * r, 1e-300)) ** 0.5
    return _variances(x, y, t, float(2 * student.sf(abs(t), df)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for the size of their family, which bounds the chance of any false claim (Holm 1979).

    Raises:
        ValueError: a value that is no probability.
    """
    import numpy as np

    p = _probabilities(p_values)
    order = p.argsort()
    adjusted = np.empty_like(p)  # by hand: statsmodels' function collects garbage, a third of a second at each call
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the share of false claims (Benjamini and Hochberg 1995, independent tests).

    Raises:
        ValueError: a value that is no probability.
    """
    from scipy.stats import false_discovery_control

    p = _probabilities(p_values)
    return [float(adjusted) for adjusted in false_discovery_control(p)] if len(p) else []


def mean_std(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, standard deviation (ddof = 1, NaN for one value) and n.

    Raises:
        ValueError: there are no values.
    """
    import numpy as np

    x = np.fromiter(values, dtype=np.float64)
    if not len(x):
        raise ValueError("the mean of no values")
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan"), len(x)


def power(n: int, d_z: float, alpha: float = 0.05) -> float:
    """Chance that the two-sided paired t-test over n >= 2 seeds finds a true effect d_z (noncentral t).

    Raises:
        ValueError: fewer than 2 seeds, d_z not finite, or alpha outside (0, 1).
    """
    from math import isfinite

    if n < 2 or not 0 < alpha < 1 or not isfinite(d_z):
        raise ValueError(f"power needs n >= 2, a finite d_z and 0 < alpha < 1, got {n}, {d_z} and {alpha}")
    return _power(n, d_z, alpha)


def detectable_effect(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The least true d_z > 0 that the paired t-test over n >= 2 seeds finds with this power.

    Times the standard deviation of the differences it is a difference in the metric's own units.

    Raises:
        ValueError: fewer than 2 seeds, or not 0 < alpha < power < 1.
    """
    from scipy.optimize import brentq

    if n < 2 or not 0 < alpha < power < 1:
        raise ValueError(f"needs n >= 2 and 0 < alpha < power < 1: got {n}, {alpha}, {power}")
    above = 1.0
    while _power(n, above, alpha) < power:
        above *= 2
    return float(brentq(lambda d_z: _power(n, d_z, alpha) - power, 0.0, above))


def seeds_needed(d_z: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The least number of seeds with which the paired t-test has this power against a true effect d_z.

    Raises:
        ValueError: |d_z| below 0.001, or a power or alpha outside (0, 1).
    """
    from bisect import bisect_left
    from statistics import NormalDist

    if not abs(d_z) >= 1e-3 or not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"needs |d_z| >= 0.001, 0 < power, alpha < 1: got {d_z}, {power}, {alpha}")
    z = NormalDist().inv_cdf
    with_known_variance = (z(1 - alpha / 2) + max(z(power), 0)) ** 2 / d_z**2
    enough = range(2, int(2 * with_known_variance) + 1000)
    return enough[bisect_left(enough, power, key=lambda n: _power(n, d_z, alpha))]


def seeds_for_difference(difference: float, std_difference: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The number of seeds with which a wished-for mean difference is found, in the metric's own units.

    `std_difference` is that of the differences by seed, as `PairedResult` holds it. The wish comes from what would
    matter, not from the difference seen: a power worked out from the latter says no more than its p.

    Raises:
        ValueError: a standard deviation that is not positive, and as for `seeds_needed`.
    """
    if not std_difference > 0:
        raise ValueError(f"the differences' standard deviation is {std_difference}: it must be positive")
    return seeds_needed(difference / std_difference, power, alpha)


def smallest_two_sided_p(n: int) -> float:
    """The least p that the Wilcoxon and sign-flip tests can give for n seeds, whatever the data: 2^(1 - n).

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"a test of {n} seeds")
    return float(2.0 ** (1 - n))


def _pairs(a: Mapping[int, float], b: Mapping[int, float], test: str, least: int) -> tuple[Floats, Floats]:
    lonely = sorted(a.keys() ^ b.keys())
    if lonely:
        raise ValueError(f"{test} needs both values of every seed: only one side has seed {_list(lonely)}")
    order = sorted(a)
    return _values({s: a[s] for s in order}, test, least), _values({s: b[s] for s in order}, test, least)


def _values(values: Mapping[int, float], test: str, least: int) -> Floats:
    import numpy as np

    if len(values) < least:
        raise ValueError(f"{test} needs at least {least} seeds, got {len(values)}")
    x = np.fromiter(values.values(), dtype=np.float64)
    wrong = [seed for seed, value in values.items() if not np.isfinite(value)]
    if wrong:
        raise ValueError(f"{test} needs finite values: seed {_list(wrong)} has none")
    return x


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _constant(x: Floats, scale: float) -> bool:
    """Does x vary by no more than rounding, where its terms were of this size?"""
    return bool(x.max() - x.min() <= 1e-12 * scale)


def _variances(x: Floats, y: Floats, statistic: float, p: float) -> VarianceResult:
    return VarianceResult(len(x), len(y), float(x.std(ddof=1)), float(y.std(ddof=1)), statistic, p)


def _power(n: int, d_z: float, alpha: float) -> float:
    from math import sqrt

    from scipy.stats import nct, t

    critical, shift = t.ppf(1 - alpha / 2, n - 1), abs(d_z) * sqrt(n)
    return float(nct.sf(critical, n - 1, shift) + nct.sf(critical, n - 1, -shift))  # both tails


def _hedges(df: int) -> float:
    from math import exp, lgamma, log

    return exp(lgamma(df / 2) - lgamma((df - 1) / 2) - log(df / 2) / 2)


def _probabilities(p_values: Sequence[float]) -> Floats:
    import numpy as np

    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():  # NaN fails as well
        raise ValueError(f"p-values must lie in [0, 1]: {list(p_values)}")
    return p
