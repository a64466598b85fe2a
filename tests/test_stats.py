"""Tests across seeds, against SciPy, statsmodels and values worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from lit_ae import stats


def seeds(values):
    return dict(enumerate(values))


def gaussian_pair(n, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(0.5, 1.0, n)
    return a, a + rng.normal(0.3, 0.4, n)


def test_paired_test_by_hand():
    # differences 1, 2, 3: mean 2, std 1, t = 2 / (1 / sqrt 3), t(0.975, 2) = 4.302653
    result = stats.paired_test(seeds([11, 22, 33]), seeds([10, 20, 30]))
    assert (result.n, result.mean_difference, result.std_difference) == (3, 2, 1)
    assert result.t == pytest.approx(2 * math.sqrt(3))
    assert result.p == pytest.approx(0.074180, abs=1e-6)
    assert result.ci_low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert result.ci_high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert result.wilcoxon_p == result.sign_flip_p == 0.25
    # J(2) = Gamma(1) / (sqrt(2 / 2) Gamma(1 / 2)) = 1 / sqrt pi
    assert result.effect_size == pytest.approx(2 / math.sqrt(math.pi))


@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_paired_test_against_scipy(n):
    a, b = gaussian_pair(n)
    result = stats.paired_test(seeds(a), seeds(b), confidence=0.9)
    reference = scipy_stats.ttest_rel(a, b)
    assert (result.t, result.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert (result.ci_low, result.ci_high) == pytest.approx(tuple(reference.confidence_interval(0.9)))
    assert result.wilcoxon_p == pytest.approx(scipy_stats.wilcoxon(a, b).pvalue)
    d_z = (a - b).mean() / (a - b).std(ddof=1)
    if n == 2:
        assert math.isnan(result.effect_size)
    else:  # Hedges' approximation of the factor
        assert result.effect_size == pytest.approx(d_z * (1 - 3 / (4 * (n - 1) - 1)), rel=0.01)


def test_pairs_are_made_by_seed_not_by_order():
    a, b = gaussian_pair(6)
    shuffled = {seed: b[seed] for seed in (3, 0, 5, 1, 4, 2)}
    assert stats.paired_test(seeds(a), shuffled) == stats.paired_test(seeds(a), seeds(b))
    assert stats.variance_test_paired(seeds(a), shuffled) == stats.variance_test_paired(seeds(a), seeds(b))


@pytest.mark.parametrize("n", [4, 9])
def test_sign_flip_is_the_exact_permutation_test(n):
    a, b = gaussian_pair(n)
    reference = scipy_stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", n_resamples=np.inf
    )
    assert stats.sign_flip_p(a - b) == pytest.approx(reference.pvalue)


def test_sign_flip_counts_equal_sums_despite_rounding():
    assert stats.sign_flip_p([0.1, 0.2, 0.3]) == 0.25
    assert stats.sign_flip_p([0.1, 0.1, -0.2]) == 1
    assert stats.sign_flip_p([0.1, 0.7, -0.1, 0.7]) == 0.375  # |sum| >= 1.4 for 6 of 16


def test_sign_flip_of_many_seeds_is_sampled_and_repeatable():
    d = np.random.default_rng(1).normal(0.3, 1, 40)
    p = stats.sign_flip_p(d)
    assert p == stats.sign_flip_p(d)
    assert p == pytest.approx(scipy_stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert stats.sign_flip_p(np.full(40, 1.0) + d * 0.01) == pytest.approx(1 / (1 + stats.DRAWS))


def test_no_test_beats_the_floor():
    for n in (2, 3, 5, 10):
        clear = stats.paired_test(seeds(np.arange(n) + 100.0), seeds(np.zeros(n)))
        assert clear.wilcoxon_p == clear.sign_flip_p == stats.smallest_two_sided_p(n)
    assert [stats.smallest_two_sided_p(n) for n in (3, 5)] == [0.25, 0.0625]
    assert stats.smallest_two_sided_p(10) == pytest.approx(0.00195, abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [2.0], "at least 2 seeds, got 1"),
        ([], [], "at least 2 seeds, got 0"),
        ([1.0, 2, 3], [1.0, 5], "only one side has seed 2"),
        ([1.0, math.nan, 3], [1.0, 5, 2], "finite values: seed 1 "),
        ([1.0, 2, 3], [1.0, 5, math.inf], "finite values: seed 2 "),
        ([1.1, 2.2, 3.3], [1.0, 2.1, 3.2], "difference is 0.1 for every seed"),
        ([1.0, 2], [1.0, 2], "difference is 0 for every seed"),
    ],
)
def test_paired_test_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        stats.paired_test(seeds(a), seeds(b))


def test_brown_forsythe():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 12), rng.normal(5, 4, 9)
    result = stats.variance_test_unpaired(seeds(a), seeds(b))
    # an analysis of variance of the distances from the medians
    reference = scipy_stats.f_oneway(abs(a - np.median(a)), abs(b - np.median(b)))
    assert (result.statistic, result.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert (result.n_a, result.n_b) == (12, 9)
    assert (result.std_a, result.std_b) == pytest.approx((a.std(ddof=1), b.std(ddof=1)))
    assert result.p < 0.05
    # distances 1, 0, 1 and 4, 0, 4: F = (3 + 3) / ((2 / 3 + 32 / 3) / 4) = 36 / 17
    by_hand = stats.variance_test_unpaired(seeds([1, 2, 3]), seeds([1, 5, 9]))
    assert by_hand.statistic == pytest.approx(36 / 17)


def test_pitman_morgan():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 15)
    a, b = shared + rng.normal(0, 0.2, 15), 3 * shared + rng.normal(0, 0.2, 15)
    result = stats.variance_test_paired(seeds(a), seeds(b))
    r, p = scipy_stats.pearsonr(a + b, a - b)
    assert result.p == pytest.approx(p)
    assert result.statistic == pytest.approx(r * math.sqrt(13 / (1 - r**2)))
    # its F form: (F - 1) sqrt(n - 2) / (2 sqrt(F (1 - r_ab^2))) with F the ratio of variances
    ratio, r_ab = a.var() / b.var(), np.corrcoef(a, b)[0, 1]
    assert result.statistic == pytest.approx((ratio - 1) * math.sqrt(13) / (2 * math.sqrt(ratio * (1 - r_ab**2))))
    assert result.p < stats.variance_test_unpaired(seeds(a), seeds(b)).p  # what the pairing is good for


@pytest.mark.parametrize("test", [stats.variance_test_paired, stats.variance_test_unpaired])
def test_variance_tests_refuse(test):
    with pytest.raises(ValueError, match="at least 3 seeds, got 2"):
        test(seeds([1.0, 2]), seeds([1.0, 3]))
    with pytest.raises(ValueError, match="finite values: seed 0 "):
        test(seeds([math.nan, 2, 3]), seeds([1.0, 3, 4]))
    with pytest.raises(ValueError, match=r"neither group varies|is the same for every seed"):
        test(seeds([2.0, 2, 2]), seeds([3.0, 3, 3]))


def test_paired_variances_refuse_lonely_seeds_and_shifted_copies():
    with pytest.raises(ValueError, match="only one side has seed 3"):
        stats.variance_test_paired(seeds([1.0, 2, 4, 5]), seeds([1.0, 3, 4]))
    with pytest.raises(ValueError, match="is the same for every seed"):
        stats.variance_test_paired(seeds([1.0, 2, 4]), seeds([2.0, 3, 5]))


def test_holm_and_benjamini_hochberg_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert stats.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert stats.holm([0.6, 0.7]) == [1, 1]
    assert stats.holm([]) == stats.benjamini_hochberg([]) == []
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="must lie in"):
            stats.holm([0.5, wrong])


def test_mean_std():
    assert stats.mean_std([1.0, 2.0, 3.0]) == (2, 1, 3)
    mean, std, n = stats.mean_std(iter([4.0]))
    assert (mean, n) == (4, 1)
    assert math.isnan(std)
    with pytest.raises(ValueError, match="no values"):
        stats.mean_std([])


@pytest.mark.parametrize(("n", "d_z", "alpha"), [(5, 1.0, 0.05), (10, -0.7, 0.01), (40, 0.2, 0.1), (6, 0.0, 0.05)])
def test_power_against_statsmodels(n, d_z, alpha):
    assert stats.power(n, d_z, alpha) == pytest.approx(TTestPower().power(d_z, n, alpha), abs=1e-6)


def test_seeds_needed_is_the_least_that_is_enough():
    assert stats.seeds_needed(1.0) == 10
    for d_z, power, alpha in [(0.01, 0.8, 0.05), (0.4, 0.95, 0.01), (-2.0, 0.5, 1e-6), (10, 0.8, 0.05)]:
        n = stats.seeds_needed(d_z, power, alpha)
        assert stats.power(n, d_z, alpha) >= power
        assert n == 2 or stats.power(n - 1, d_z, alpha) < power
    for wrong in [(0.0, 0.8, 0.05), (math.nan, 0.8, 0.05), (1.0, 1.0, 0.05), (1.0, 0.8, 0.0)]:
        with pytest.raises(ValueError, match="needs"):
            stats.seeds_needed(*wrong)
    with pytest.raises(ValueError, match="needs n >= 2"):
        stats.power(1, 1.0)
    with pytest.raises(ValueError, match="0 seeds"):
        stats.smallest_two_sided_p(0)
