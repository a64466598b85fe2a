"""Two models on several data sets: Wilcoxon's signed-rank test and its Bayesian counterpart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_ae.statistics.paired import signed_ranks

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

LEAST = 3  # data sets
DRAWS = 50_000  # of the posterior
PRIOR = 0.5  # strength of the prior, which lies on a difference of 0


@dataclass(frozen=True)
class DataSetsResult:
    """A comparison a - b over n data sets, with one difference each; p is two-sided."""

    n: int
    mean_difference: float
    median_difference: float  # of all means of two differences (Hodges and Lehmann 1963)
    p: float  # of Wilcoxon's signed-rank test
    signed_ranks: float  # W⁺ - W⁻, whose sign that test is about
    margin: float | None  # in the metric's unit; None if none was declared
    below: float  # posterior probabilities that a lower by more than the margin, within it, or higher is likeliest
    within: float
    above: float


def compare_over_data_sets(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, margin: float | None = None
) -> DataSetsResult:
    """Compare two models by a value each on the same n data sets, such as the mean over seeds.

    Wilcoxon's (1945) signed-rank test and, if a margin is declared, the Bayesian one: see `signed_rank_posterior`. Both
    compare differences of different data sets by size, so these should be in comparable units (Demšar 2006).

    Raises:
        ValueError: other numbers of a than of b, fewer than 3 data sets, a value that is not finite, or a margin that
            is not positive.
    """
    import numpy as np

    x, y = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"a comparison over data sets needs one value of each model, got {x.shape} and {y.shape}")
    if len(x) < LEAST:
        raise ValueError(f"a comparison over data sets needs at least {LEAST} of them, got {len(x)}")
    d = x - y
    if not np.isfinite(d).all():
        raise ValueError("a comparison over data sets needs finite values")
    shares = (math.nan,) * 3 if margin is None else signed_rank_posterior(d, margin)
    walsh = (d[:, None] + d)[np.triu_indices(len(d))] / 2
    return DataSetsResult(len(d), float(d.mean()), float(np.median(walsh)), *signed_ranks(x, y), margin, *shares)


def signed_rank_posterior(
    differences: Sequence[float] | Floats, margin: float, draws: int = DRAWS
) -> tuple[float, float, float]:
    """Probabilities that below -margin, within the margin, and above it is where differences most likely lie.

    The Bayesian signed-rank test (Benavoli et al. 2014; 2017, section 4.2): the distribution of differences has a
    Dirichlet process as its prior, with strength 0.5 on a difference of 0. In each draw from the posterior, the mean of
    two random differences is most likely below, within or above; the shares of draws are returned. They tend to 0 or
    1 with more data sets: they are not the shares of data sets with such differences. Draws are the same at every call.

    Raises:
        ValueError: a margin that is not positive, or a difference that is not finite.
    """
    import numpy as np

    if not margin > 0:
        raise ValueError(f"the margin of a comparison must be positive, got {margin:g}")
    d = np.concatenate([[0.0], np.asarray(differences, dtype=np.float64)])
    if not np.isfinite(d).all():
        raise ValueError("a posterior of differences needs finite values")
    weights = np.random.default_rng(0).dirichlet([PRIOR, *[1.0] * (len(d) - 1)], draws)  # [draws, 1 + n]
    means = (d[:, None] + d) / 2
    sides = [(s > margin) + 0.5 * (s == margin) for s in (-means, means)]  # a mean on the margin counts as half
    below, above = (((weights @ side) * weights).sum(1) for side in sides)
    most_likely = np.stack([below, 1 - below - above, above]).argmax(0)
    shares = np.bincount(most_likely, minlength=3) / draws
    return float(shares[0]), float(shares[1]), float(shares[2])
