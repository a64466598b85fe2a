"""Whether two models that ran with the same seeds differ by less than a margin that was declared beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_ae.statistics.values import constant, pairs

if TYPE_CHECKING:
    from lit_ae.statistics.samples import SampleResult


@dataclass(frozen=True)
class EquivalenceResult:
    """How the mean difference a - b over n seeds, or test samples, lies to the interval from -margin to margin."""

    n: int
    margin: float  # in the metric's unit
    p: float  # of the two one-sided t-tests together: small if the mean difference lies within the margin
    below: float  # posterior probabilities that the mean difference is below -margin, within, and above margin
    within: float
    above: float


def equivalence_test(a: Mapping[int, float], b: Mapping[int, float], margin: float) -> EquivalenceResult:
    """Two one-sided paired t-tests (TOST, Schuirmann 1987), and the Bayesian t-test with a region of equivalence.

    The posterior of the mean difference under the prior 1 / variance is Student's t with n - 1 degrees of freedom
    around the measured mean (Benavoli et al. 2017, equation 8, without the correlation of overlapping training sets:
    the seeds share one split, or the result holds for other splits of the same samples).

    Args:
        a: seed -> value of the first model.
        b: the same for the second model, with the same seeds.
        margin: the largest difference, in the metric's unit, that counts as none; to be chosen before the runs.

    Raises:
        ValueError: seeds that only one of them has, fewer than 2 seeds, a value that is not finite, the same
            difference for every seed, or a margin that is not positive.
    """
    import numpy as np
    from statsmodels.stats.weightstats import ttost_paired

    _check(margin)
    x, y = pairs(a, b, "an equivalence test", least=2)
    d = x - y
    if constant(d, float(np.abs([x, y]).max())):
        raise ValueError(f"the difference is {d[0]:.6g} for every seed: there is no spread to test against")
    n, error = len(d), float(d.std(ddof=1)) / float(np.sqrt(len(d)))
    p = float(ttost_paired(x, y, -margin, margin)[0])
    return EquivalenceResult(n, margin, p, *_shares(float(d.mean()), error, n, margin))


def equivalence_over_samples(result: SampleResult, margin: float) -> EquivalenceResult:
    """The same for the mean difference over test samples, from the comparison over them.

    Under this prior, the p of each one-sided t-test is the posterior probability of the side that it rules out.

    Raises:
        ValueError: a margin that is not positive.
    """
    _check(margin)
    error = result.std_difference / math.sqrt(result.n)
    below, within, above = _shares(result.mean_difference, error, result.n, margin)
    return EquivalenceResult(result.n, margin, max(below, above), below, within, above)


def _check(margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"the margin of an equivalence test must be positive, got {margin:g}")


def _shares(mean: float, error: float, n: int, margin: float) -> tuple[float, float, float]:
    """Posterior probabilities that a mean difference lies below -margin, within the margin, and above it."""
    from scipy.stats import t

    posterior = t(n - 1, loc=mean, scale=error)
    below, above = float(posterior.cdf(-margin)), float(posterior.sf(margin))
    # From the tail that is small: the difference of two numbers close to 1 may be below 0 by rounding
    within = posterior.cdf(margin) - below if mean > 0 else posterior.sf(-margin) - above
    return below, float(within), above
