"""Whether two models that ran with the same seeds differ by less than a margin that was declared beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lit_ae.statistics.values import pairs


@dataclass(frozen=True)
class EquivalenceResult:
    """How the mean difference a - b over n seeds lies to the interval from -margin to margin."""

    n: int
    margin: float  # in the metric's unit
    p: float  # of the two one-sided t-tests together: small if the mean difference lies within the margin
    below: float  # posterior probabilities that the mean difference is below -margin, within, and above margin
    within: float
    above: float


def equivalence_test(a: Mapping[int, float], b: Mapping[int, float], margin: float) -> EquivalenceResult:
    """Two one-sided paired t-tests (TOST, Schuirmann 1987), and the Bayesian t-test with a region of equivalence.

    The posterior of the mean difference under the prior 1 / variance is Student's t with n - 1 degrees of freedom
    around the measured mean (Benavoli et al. 2017, equation 8, without the correlation of overlapping training sets,
    since each seed trains on its own).

    Args:
        a: seed -> value of the first model.
        b: the same for the second model, with the same seeds.
        margin: the largest difference, in the metric's unit, that counts as none; to be chosen before the runs.

    Raises:
        ValueError: seeds that only one of them has, fewer than 2 seeds, a value that is not finite, the same
            difference for every seed, or a margin that is not positive.
    """
    import numpy as np
    from scipy.stats import t
    from statsmodels.stats.weightstats import ttost_paired

    if not margin > 0:
        raise ValueError(f"the margin of an equivalence test must be positive, got {margin:g}")
    x, y = pairs(a, b, "an equivalence test", least=2)
    d = x - y
    n, error = len(d), float(d.std(ddof=1)) / float(np.sqrt(len(d)))
    if not error > 1e-12 * float(np.abs([x, y]).max()):
        raise ValueError(f"the difference is {d[0]:.6g} for every seed: there is no spread to test against")
    below, not_above = (float(t.cdf(at, n - 1, loc=d.mean(), scale=error)) for at in (-margin, margin))
    p = float(ttost_paired(x, y, -margin, margin)[0])
    return EquivalenceResult(n, margin, p, below, not_above - below, 1 - not_above)
