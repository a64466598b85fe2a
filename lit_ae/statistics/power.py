"""How many seeds are enough to detect which difference."""

from __future__ import annotations


def power(n: int, d_z: float, alpha: float = 0.05) -> float:
    """Probability that the two-sided paired t-test over n >= 2 seeds detects a true effect d_z (noncentral t).

    Raises:
        ValueError: fewer than 2 seeds, d_z not finite, or alpha outside (0, 1).
    """
    from math import isfinite

    if n < 2 or not 0 < alpha < 1 or not isfinite(d_z):
        raise ValueError(f"power needs n >= 2, a finite d_z and 0 < alpha < 1, got {n}, {d_z} and {alpha}")
    return _power(n, d_z, alpha)


def detectable_effect(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true d_z > 0 that the paired t-test over n >= 2 seeds detects with this power.

    Multiplied by the standard deviation of the differences it is a difference in the metric's own units.

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
    """The smallest number of seeds with which the paired t-test has this power against a true effect d_z.

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
    """The number of seeds with which a mean difference of this size is detected, in the metric's own units.

    `std_difference` is that of the differences by seed, as `PairedResult` has it. Choose the difference by what would
    matter in practice, not by what was measured: the power at the measured difference adds nothing to its p.

    Raises:
        ValueError: a standard deviation that is not positive, and as for `seeds_needed`.
    """
    if not std_difference > 0:
        raise ValueError(f"the differences' standard deviation is {std_difference}: it must be positive")
    return seeds_needed(difference / std_difference, power, alpha)


def smallest_two_sided_p(n: int) -> float:
    """The smallest p that the Wilcoxon and sign-flip tests can give for n seeds, whatever the data: 2^(1 - n).

    Of more than 20 seeds the sign-flip test draws 100,000 sign patterns, and cannot give a p below 0.00001.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"the number of seeds must be at least 1, got {n} seeds")
    return float(2.0 ** (1 - n))


def _power(n: int, d_z: float, alpha: float) -> float:
    from math import sqrt

    from scipy.stats import nct, t

    critical, shift = t.ppf(1 - alpha / 2, n - 1), abs(d_z) * sqrt(n)
    return float(nct.sf(critical, n - 1, shift) + nct.sf(critical, n - 1, -shift))  # both tails
