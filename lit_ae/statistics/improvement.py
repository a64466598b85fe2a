"""How often one model's run has a higher value than the other's, which a mean difference does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lit_ae.statistics.values import ROUNDING, pairs, require_confidence


class Improvement(NamedTuple):
    """An estimate of P(a > b) over runs with the same seed, and its interval."""

    probability: float
    low: float
    high: float


def probability_higher(a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95) -> Improvement:
    """P(a > b) of two models that ran with the same seeds; a tie counts as half (Bouthillier et al. 2021, section 4).

    The interval is that of Clopper and Pearson (1934), which covers the true probability at least as often as stated;
    the bootstrap of the paper gives [1, 1] where all of a few seeds agree.

    Raises:
        ValueError: seeds that only one of them has, fewer than 2 seeds, a value that is not finite, or a confidence
            outside (0, 1).
    """
    import numpy as np
    from statsmodels.stats.proportion import proportion_confint

    require_confidence(confidence)
    x, y = pairs(a, b, "a probability of improvement", least=2)
    equal = np.abs(x - y) <= ROUNDING * np.maximum(np.abs(x), np.abs(y))
    wins = float(((x > y) & ~equal).sum() + 0.5 * equal.sum())
    low, high = proportion_confint(wins, len(x), alpha=1 - confidence, method="beta")
    return Improvement(wins / len(x), float(low), float(high))
