"""Tests of a mean difference between two models that ran with the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lit_ae.statistics.power import detectable_effect
from lit_ae.statistics.values import (
    ROUNDING,
    constant,
    finite,
    pairs,
    require_confidence,
    same_for_every_seed,
    tied,
)

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

EXACT_UP_TO = 20  # differences: up to here all 2^(n - 1) sign patterns are computed
DRAWS = 100_000  # random sign patterns for more than that


@dataclass(frozen=True)
class PairedResult:
    """A paired comparison a - b over n seeds; every p-value is two-sided.

    If one side is the same for every seed, as PCA and JPEG are, the differences vary only as the other side does over
    its initialisations. Their spread then says nothing about how the difference varies with the test samples, and an
    effect size or a p-value made from it would grow without bound as training becomes more repeatable. `t`, the
    p-values, `effect_size` and `detectable` are NaN in that case; the difference and its interval remain, and hold for
    this test set only. `paired_test_over_samples` compares such models.
    """

    n: int
    mean_difference: float
    std_difference: float  # ddof = 1
    ci_low: float  # of the mean difference, by Student's t
    ci_high: float
    t: float
    p: float  # paired t-test
    wilcoxon_p: float  # signed-rank test
    sign_flip_p: float  # permutation test on the mean difference, exact up to 20 seeds
    welch_p: float  # of the test that ignores the pairs; far above `p` only where pairing by seed removes variance
    correlation: float  # Pearson's, of a and b over seeds; NaN for n = 2 or a side that does not vary
    effect_size: float  # d_z with Hedges' correction; NaN at n = 2, where the correction is not defined
    constant_side: Literal["", "a", "b"]  # the side that is the same for every seed, apart from rounding; empty if none
    same_side: Literal["", "a", "b"]  # as `constant_side`, also if a test is made

    @property
    def detectable(self) -> float:
        """The smallest true difference that the t-test detects with 80 % power, at the measured spread."""
        return math.nan if self.constant_side else detectable_effect(self.n) * self.std_difference


def paired_test(
    a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95, trained_anew: bool = False
) -> PairedResult:
    """Compare seed -> value of two models that ran with the same seeds.

    t-test (Student 1908), signed-rank test (Wilcoxon 1945), sign flips (Fisher 1935), the test without pairs (Welch
    1947), and d_z = mean / std of the differences times Hedges' (1981, equation 6e) small-sample factor for n - 1
    degrees of freedom. No test is made if one side is the same for every seed: see `PairedResult`.

    Args:
        a: the first model's values by seed.
        b: the second model's values by seed.
        confidence: of the interval.
        trained_anew: both models are known to have been trained anew with each seed. A side that is the same for every
            seed nevertheless, as a count is that has reached its limit, is then tested as any other.

    Raises:
        ValueError: seeds that only one of them has, fewer than 2 seeds, a value that is not finite, the same
            difference for every seed, apart from float32 rounding, or a confidence outside (0, 1).
    """
    import numpy as np
    from scipy.stats import ttest_ind, ttest_rel

    require_confidence(confidence)
    x, y = pairs(a, b, "a paired test", least=2)
    d, scale = x - y, float(np.abs([x, y]).max())
    if constant(d, scale):
        raise ValueError(f"the difference is {d[0]:.6g} for every seed: there is no spread to test against")
    n, mean, std = len(d), float(d.mean()), float(d.std(ddof=1))
    test = ttest_rel(x, y)
    interval = test.confidence_interval(confidence)
    same_side: Literal["", "a", "b"] = "a" if same_for_every_seed(x) else "b" if same_for_every_seed(y) else ""
    constant_side: Literal["", "a", "b"] = "" if trained_anew else same_side
    return PairedResult(
        n=n,
        mean_difference=mean,
        std_difference=std,
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        t=math.nan if constant_side else float(test.statistic),
        p=math.nan if constant_side else float(test.pvalue),
        wilcoxon_p=math.nan if constant_side else signed_ranks(x, y)[0],
        sign_flip_p=math.nan if constant_side else sign_flip_p(d, scale),
        # Without variance on one side both tests are the same, and SciPy would warn of it
        welch_p=math.nan if constant_side else float((test if same_side else ttest_ind(x, y, equal_var=False)).pvalue),
        correlation=math.nan if n < 3 or same_side else float(np.corrcoef(x, y)[0, 1]),
        effect_size=math.nan if constant_side or n < 3 else mean / std * hedges(n - 1),
        constant_side=constant_side,
        same_side=same_side,
    )


def sign_flip_p(differences: Sequence[float] | Floats, scale: float = 0.0) -> float:
    """Two-sided p of the mean difference under all 2^n choices of signs; for n > 20 under 100,000 random ones.

    Args:
        differences: one of each pair.
        scale: size of the values whose differences they are, if these were rounded to float32: sums that differ by
            less than such rounding tie.

    Raises:
        ValueError: fewer than 2 differences, or one that is not finite.
    """
    import numpy as np

    d = finite(dict(enumerate(differences)), "the sign-flip test", least=2)
    rounding = max(1e-9 * float(np.abs(d).sum()), ROUNDING * scale)  # also of the same sum in another order
    observed = abs(d.sum()) - rounding
    if len(d) > EXACT_UP_TO:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, len(d)))
        return float((1 + (np.abs(signs @ d) >= observed).sum()) / (1 + DRAWS))
    sums = d[:1]  # by symmetry the first sign can be kept
    for value in d[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= observed).mean())


def signed_ranks(x: Floats, y: Floats) -> tuple[float, float]:
    """Two-sided p of the signed-rank test (Wilcoxon 1945) of pairs x, y [n], and W⁺ - W⁻, the sum of the signed ranks.

    Pairs without a difference are left out; p is 1 if that leaves none. Up to 20 pairs the test is exact, with ties,
    too; beyond, it is the normal approximation with a continuity correction where SciPy has no exact one.
    """
    import numpy as np
    from scipy.stats import rankdata, wilcoxon

    d, scale = x - y, np.maximum(np.abs(x), np.abs(y))
    differ = np.abs(d) > ROUNDING * scale
    if not differ.any():
        return 1.0, 0.0
    sizes = tied(np.abs(d[differ]), scale[differ])
    ranks = np.sign(d[differ]) * rankdata(sizes)
    if len(ranks) == 1:
        return 1.0, float(ranks[0])
    exact = len(ranks) <= EXACT_UP_TO
    p = sign_flip_p(ranks) if exact else float(wilcoxon(np.sign(d[differ]) * sizes, correction=True).pvalue)
    return p, float(ranks.sum())


def hedges(df: int) -> float:
    """Factor by which d_z of df + 1 differences is too large (Hedges 1981, equation 6e)."""
    from math import exp, lgamma, log

    return exp(lgamma(df / 2) - lgamma((df - 1) / 2) - log(df / 2) / 2)
