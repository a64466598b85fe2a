"""Several models on several data sets: mean ranks, Friedman's test, and which pairs of models differ (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from lit_ae.statistics.corrections import holm
from lit_ae.statistics.paired import signed_ranks
from lit_ae.statistics.values import tied

if TYPE_CHECKING:
    from lit_ae.statistics.values import Floats

LEAST = 3  # data sets, and models
DRAWS = 100_000  # random orders of the ranks within each data set


@dataclass(frozen=True)
class PairOfRanks:
    """Two models, by their places among the columns; p-values are two-sided."""

    a: int
    b: int
    difference: float  # of the mean ranks, a - b
    nemenyi_p: float  # of that difference, for all pairs together
    wilcoxon_p: float  # of the values by data set, for this pair alone
    holm_p: float  # the same after Holm's correction over all pairs


@dataclass(frozen=True)
class RankResult:
    """Friedman's test that k models have the same mean rank over n data sets, and the pairs behind it."""

    n: int
    k: int
    mean_ranks: tuple[float, ...]  # rank 1 is best; ties share their mean rank
    chi2: float
    chi2_p: float  # chi-squared with k - 1 degrees of freedom
    f: float  # infinite if all data sets rank the models alike
    f_p: float  # F with k - 1 and (k - 1)(n - 1) degrees of freedom
    p: float  # of chi2 if the ranks of each data set are put in random order: right for few data sets, too
    critical_difference: float  # Nemenyi's, at 5 %: mean ranks farther apart differ significantly
    pairs: tuple[PairOfRanks, ...]


def friedman_test(values: Sequence[Sequence[float]] | Floats, better: Literal["lower", "higher"]) -> RankResult:
    """Friedman's (1937) test over n data sets, with the F of Iman and Davenport (1980) and Nemenyi's (1963) test.

    The formulas are those of Demšar (2006, section 3.2.2), which have no correction for ties and are conservative where
    there are some. Both approximations of p are poor for few data sets: for 3 models that 3 data sets rank alike they
    give 0.050 and 0, where 1 / 36 is right. So `p` comes from 100,000 random orders, the same at every call.

    Pairs of models: Nemenyi's test compares mean ranks, which depend on the other models too; Wilcoxon's (1945)
    signed-rank test does not, and is preferred where there are enough data sets (Benavoli et al. 2016).

    Args:
        values: a value of each model on each data set [n, k], such as its mean over seeds.
        better: whether rank 1 goes to the lowest or to the highest value.

    Raises:
        ValueError: fewer than 3 data sets or models, or a value that is not finite.
    """
    import numpy as np
    from scipy.stats import chi2 as chi_squared
    from scipy.stats import f as fisher
    from scipy.stats import rankdata

    x = np.asarray(values, dtype=np.float64)
    n, k = x.shape if x.ndim == 2 else (0, 0)
    if n < LEAST or k < LEAST:
        raise ValueError(f"Friedman's test needs at least {LEAST} data sets and {LEAST} models, got {n} and {k}")
    if not np.isfinite(x).all():
        raise ValueError("Friedman's test needs a finite value of every model on every data set")
    x = np.stack([tied(row, np.abs(row)) for row in x])
    ranks = rankdata(x if better == "lower" else -x, axis=1)
    mean = ranks.mean(0)
    chi2 = _chi2(mean, n, k)
    f = (n - 1) * chi2 / (n * (k - 1) - chi2) if n * (k - 1) - chi2 > 1e-9 else math.inf
    orders = np.random.default_rng(0).permuted(np.broadcast_to(ranks, (DRAWS, n, k)), axis=2)
    at_least = int((_chi2(orders.mean(1), n, k) >= chi2 - 1e-9).sum())
    return RankResult(
        n=n,
        k=k,
        mean_ranks=tuple(map(float, mean)),
        chi2=float(chi2),
        chi2_p=float(chi_squared.sf(chi2, k - 1)),
        f=float(f),
        f_p=float(fisher.sf(f, k - 1, (k - 1) * (n - 1))),
        p=(1 + at_least) / (1 + DRAWS),
        critical_difference=critical_difference(k, n),
        pairs=_pairs(x, mean),
    )


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's: the difference of two mean ranks, of k models over n data sets, from which on it is significant."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, k, math.inf)) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))


def groups(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Places (first, last) in the order of rank of each largest group whose mean ranks differ by no more than that."""
    order = sorted(mean_ranks)
    reach = [max(j for j, rank in enumerate(order) if rank - first <= difference) for first in order]
    return [(i, j) for i, j in enumerate(reach) if j > i and (i == 0 or reach[i - 1] < j)]


def _chi2(mean_ranks: Floats, n: int, k: int) -> Floats:
    """Friedman's statistic of mean ranks [..., k]."""
    squares = (mean_ranks * mean_ranks).sum(-1)
    found: Floats = 12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4)
    return found


def _pairs(x: Floats, mean_ranks: Floats) -> tuple[PairOfRanks, ...]:
    from scipy.stats import studentized_range

    n, k = x.shape
    places = list(combinations(range(k), 2))
    differences = [float(mean_ranks[a] - mean_ranks[b]) for a, b in places]
    scale = math.sqrt(2) / math.sqrt(k * (k + 1) / (6 * n))
    nemenyi = studentized_range.sf([abs(d) * scale for d in differences], k, math.inf)
    ps = [signed_ranks(x[:, a], x[:, b])[0] for a, b in places]
    return tuple(
        PairOfRanks(a, b, difference, min(1.0, float(p)), single, corrected)
        for (a, b), difference, p, single, corrected in zip(places, differences, nemenyi, ps, holm(ps), strict=True)
    )
