"""Two models across seeds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from lit_ae.statistics import (
    PairedResult,
    mean_std,
    paired_test,
    smallest_two_sided_p,
    variance_ratio_interval_paired,
)

Values: TypeAlias = Mapping[int, float] | Iterable[float]
ALPHA = 0.05
LEAST = 4  # seeds, for the spreads


@dataclass(frozen=True)
class Comparison(PairedResult):
    """The result of `lit_ae.statistics.paired_test` for a - b, with the mean and standard deviation of both sides.

    All p-values are two-sided. `print` gives the result in words. If one side is the same for every seed
    (`constant_side`), no test is made: the p-values and the effect size are NaN.
    """

    mean_a: float
    std_a: float  # ddof = 1
    mean_b: float
    std_b: float
    std_ratio_low: float  # 95 % interval of std_a / std_b; NaN below 4 seeds, and where it is not defined
    std_ratio_high: float

    def __str__(self) -> str:
        direction = "higher" if self.mean_difference > 0 else "lower"
        effect = "" if math.isnan(self.effect_size) else f" Effect size d_z = {self.effect_size:.2f}."
        return (
            f"Over {self.n} seeds a is {self.mean_a:.4g} ± {self.std_a:.2g} and b is {self.mean_b:.4g} ± "
            f"{self.std_b:.2g} (mean ± standard deviation).\n"
            f"a is {direction} than b by {abs(self.mean_difference):.4g} on average; 95 % confidence interval of "
            f"a - b: {self.ci_low:.4g} to {self.ci_high:.4g}.{effect}\n"
            f"{self._untested() if self.constant_side else self._tests()}{self._spreads()}"
        )

    def _tests(self) -> str:
        significant = "significant" if self.p < ALPHA else "not significant"
        return (
            f"The difference is {significant} at 5 % (paired t-test, p = {self.p:.3g}; Wilcoxon signed-rank test, p = "
            f"{self.wilcoxon_p:.3g}; sign-flip test, p = {self.sign_flip_p:.3g}).\n"
            f"With {self.n} seeds the last two cannot give a p below {smallest_two_sided_p(self.n):.2g}, and the t-test"
            f" finds a true difference of {self.detectable:.2g} with a probability of 80 %."
        )

    def _untested(self) -> str:
        other = "b" if self.constant_side == "a" else "a"
        return (
            f"No test is made: {self.constant_side} is the same for every seed, so that the interval covers only the "
            f"seeds of {other}, on this test set. Compare values of the test samples "
            "(lit_ae.statistics.paired_test_over_samples), or several splits of the data."
        )

    def _spreads(self) -> str:
        if self.constant_side:
            return ""
        if math.isnan(self.std_ratio_low):
            return "" if self.n >= LEAST else f"\nThe two spreads are not compared: that takes {LEAST} seeds or more."
        return (
            f"\nThe standard deviation of a is {self.std_a / self.std_b:.2g} times that of b; 95 % confidence "
            f"interval: {self.std_ratio_low:.2g} to {self.std_ratio_high:.2g}."
        )


def compare(a: Values, b: Values) -> Comparison:
    """Test whether two models differ in a score, paired by seed.

    If you make several comparisons, correct their p-values with `lit_ae.statistics.holm`. A side that is the same for
    every seed, such as PCA, is not tested against: see `lit_ae.statistics.PairedResult`.

    Args:
        a: value of the first model by seed: a dict (or a pandas Series indexed by seed), or a list in the order of b's.
        b: the same of the second model.

    Raises:
        ValueError: a seed that only one side has, lists that differ in length, fewer than 2 seeds, a value that is not
            finite, or the same difference for every seed.

    >>> import lit_ae
    >>> result = lit_ae.compare({0: 31.2, 1: 30.1, 2: 32.5}, {0: 35.0, 1: 33.2, 2: 36.9})
    >>> round(result.mean_difference, 2), round(result.p, 4)
    (-3.77, 0.0098)
    >>> print(result)
    Over 3 seeds a is 31.27 ± 1.2 and b is 35.03 ± 1.9 (mean ± standard deviation).
    a is lower than b by 3.767 on average; 95 % confidence interval of a - b: -5.383 to -2.15. Effect size d_z = -3.27.
    The difference is significant at 5 % (paired t-test, p = 0.0098; Wilcoxon signed-rank test, p = 0.25; sign-flip test, p = 0.25).
    With 3 seeds the last two cannot give a p below 0.25, and the t-test finds a true difference of 2.1 with a probability of 80 %.
    The two spreads are not compared: that takes 4 seeds or more.
    """  # noqa: E501 - what is printed
    of_a, of_b = _by_seed(a), _by_seed(b)
    if (of_a is None) != (of_b is None):
        raise ValueError("one side is given by seed and the other is a list: give both in the same way")
    if of_a is None or of_b is None:
        first, second = ([float(value) for value in side] for side in (a, b))
        if len(first) != len(second):
            raise ValueError(
                f"a has {len(first)} values and b has {len(second)}: give one of each seed to both, or dicts by seed"
            )
        of_a, of_b = dict(enumerate(first)), dict(enumerate(second))
    (mean_a, std_a, _), (mean_b, std_b, _) = mean_std(of_a.values()), mean_std(of_b.values())
    tested = paired_test(of_a, of_b)
    try:
        low, high = variance_ratio_interval_paired(list(of_a.values()), [of_b[seed] for seed in of_a])
    except ValueError:  # too few seeds, or a spread of 0
        low = high = math.nan
    return Comparison(**asdict(tested), mean_a=mean_a, std_a=std_a, mean_b=mean_b, std_b=std_b,
                      std_ratio_low=low, std_ratio_high=high)  # fmt: skip


def _by_seed(values: Any) -> dict[int, float] | None:
    """The values by seed; None if they are given as a list."""
    if not hasattr(values, "items"):
        return None
    if wrong := [seed for seed, _ in values.items() if not _is_whole(seed)]:
        raise ValueError(f"{wrong[0]!r} is given as a seed: give whole numbers")
    pairs = [(int(seed), float(value)) for seed, value in values.items()]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a seed occurs twice on one side: keep one value of each seed")
    return found


def _is_whole(seed: Any) -> bool:
    try:
        return int(seed) == (int(seed) if isinstance(seed, str) else seed)
    except (TypeError, ValueError, OverflowError):  # a name, or a tuple of several levels
        return False
