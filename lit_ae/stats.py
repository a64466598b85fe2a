"""Tests across seeds: paired differences, variances, corrections for many tests, what n seeds can show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

EXACT_UP_TO = 20  # seeds whose 2^(n - 1) sign patterns are all looked at
DRAWS = 100_000  # sign patterns drawn beyond that


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
    """Two-sided p of the mean difference under all 2^n choices of signs; above n = 20 under 100,000 drawn."""
    import numpy as np

    d = np.asarray(differences, dtype=np.float64)
    observed = abs(d.sum()) - 1e-9 * np.abs(d).sum()  # the same sum in another order differs by rounding
    if len(d) > EXACT_UP_TO:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, len(d)))
        return float((1 + (np.abs(signs @ d) >= observed).sum()) / (1 + DRAWS))
    sums = d[:1]  # by symmetry the first sign stays
    for value in d[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= observed).mean())


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
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the share of false claims (Benjamini and Hochberg 1995, independent tests).

    Raises:
        ValueError: a value that is no probability.
    """
    return _adjusted(p_values, "fdr_bh")


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
        ValueError: fewer than 2 seeds, or alpha outside (0, 1).
    """
    if n < 2 or not 0 < alpha < 1:
        raise ValueError(f"power needs n >= 2 and 0 < alpha < 1, got n = {n} and alpha = {alpha}")
    return _power(n, d_z, alpha)


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


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    from statsmodels.stats.multitest import multipletests

    if not all(0 <= p <= 1 for p in p_values):  # NaN fails as well
        raise ValueError(f"p-values must lie in [0, 1]: {list(p_values)}")
    return [float(p) for p in multipletests(p_values, method=method)[1]] if len(p_values) else []
