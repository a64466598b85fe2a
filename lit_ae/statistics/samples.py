"""A test of a mean difference over test samples, for comparisons that initialisations alone cannot decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_ae.statistics.paired import hedges
from lit_ae.statistics.values import constant, require_confidence

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

LEAST = 20  # samples: the t-test rests on the normal distribution of their mean


@dataclass(frozen=True)
class SampleResult:
    """A paired comparison a - b over n test samples, each averaged over the seeds; p is two-sided."""

    n: int
    mean_difference: float
    std_difference: float  # over samples, ddof = 1
    ci_low: float  # of the mean difference, by Student's t
    ci_high: float
    t: float
    p: float  # paired t-test
    effect_size: float  # d_z with Hedges' correction


def paired_test_over_samples(
    a: Sequence[Sequence[float]] | Floats, b: Sequence[Sequence[float]] | Floats, confidence: float = 0.95
) -> SampleResult:
    """Compare two models by their scores of the same n test samples, the mean over seeds of each sample's score.

    Paired t-test (Student 1908) and d_z = mean / std of the differences. The population are samples like those of the
    test split, for these very initialisations, averaged, and this training split: neither other initialisations nor
    other training data are covered. It is the test for a model that is the same for every seed, such as PCA, to which
    `paired_test` gives no p. The samples have to be independent of each other.

    Args:
        a: scores of the first model [seeds, n]; one row for each seed.
        b: scores of the second model, of the same samples in the same order; it may have another number of seeds.
        confidence: of the interval.

    Raises:
        ValueError: arrays of other shapes, fewer than 20 samples, a value that is not finite, the same difference for
            every sample, or a confidence outside (0, 1).
    """
    import numpy as np
    from scipy.stats import ttest_rel

    sides = [np.asarray(side, dtype=np.float64) for side in (a, b)]
    if any(side.ndim != 2 or not len(side) for side in sides) or sides[0].shape[1] != sides[1].shape[1]:
        shapes = " and ".join(str(list(side.shape)) for side in sides)
        raise ValueError(f"a test over samples needs [seeds, n] of both models with the same n samples, got {shapes}")
    require_confidence(confidence)
    n = sides[0].shape[1]
    if n < LEAST:
        raise ValueError(f"a test over samples needs at least {LEAST} samples, got {n}")
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("a test over samples needs finite values: leave out the samples that have none, on both sides")
    x, y = (side.mean(0) for side in sides)
    d = x - y
    if constant(d, np.abs([x, y]).max()):
        raise ValueError(f"the difference is {d[0]:.6g} for every sample: there is no spread to test against")
    test = ttest_rel(x, y)
    interval = test.confidence_interval(confidence)
    mean, std = float(d.mean()), float(d.std(ddof=1))
    return SampleResult(
        n=n,
        mean_difference=mean,
        std_difference=std,
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        t=float(test.statistic),
        p=float(test.pvalue),
        effect_size=mean / std * hedges(n - 1),
    )
