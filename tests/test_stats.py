"""Tests across seeds, against SciPy, statsmodels and values computed by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import optimize as scipy_optimize
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from lit_ae import statistics
from lit_ae.statistics.paired import DRAWS as RANDOM_SIGNS
from lit_ae.statistics.variances import PITMAN_MORGAN_UNDER_EXPONENTIAL


def seeds(values):
    return dict(enumerate(values))


def gaussian_pair(n, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(0.5, 1.0, n)
    return a, a + rng.normal(0.3, 0.4, n)


def test_paired_test_by_hand():
    # differences 1, 2, 3: mean 2, std 1, t = 2 / (1 / sqrt 3), t(0.975, 2) = 4.302653
    result = statistics.paired_test(seeds([11, 22, 33]), seeds([10, 20, 30]))
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
    result = statistics.paired_test(seeds(a), seeds(b), confidence=0.9)
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
    assert statistics.paired_test(seeds(a), shuffled) == statistics.paired_test(seeds(a), seeds(b))
    assert statistics.variance_test_paired(seeds(a), shuffled) == statistics.variance_test_paired(seeds(a), seeds(b))


@pytest.mark.parametrize("n", [4, 9])
def test_sign_flip_is_the_exact_permutation_test(n):
    a, b = gaussian_pair(n)
    reference = scipy_stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", n_resamples=np.inf
    )
    assert statistics.sign_flip_p(a - b) == pytest.approx(reference.pvalue)


def test_sign_flip_counts_equal_sums_despite_rounding():
    assert statistics.sign_flip_p([0.1, 0.2, 0.3]) == 0.25
    assert statistics.sign_flip_p([0.1, 0.1, -0.2]) == 1
    assert statistics.sign_flip_p([0.1, 0.7, -0.1, 0.7]) == 0.375  # |sum| >= 1.4 for 6 of 16


def test_sign_flip_of_many_seeds_is_sampled_and_repeatable():
    d = np.random.default_rng(1).normal(0.3, 1, 40)
    p = statistics.sign_flip_p(d)
    assert p == statistics.sign_flip_p(d)
    assert p == pytest.approx(scipy_stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert statistics.sign_flip_p(np.full(40, 1.0) + d * 0.01) == pytest.approx(1 / (1 + RANDOM_SIGNS))


def test_the_exact_tests_have_a_smallest_p():
    for n in (2, 3, 5, 10):
        clear = statistics.paired_test(seeds(np.arange(n) + 100.0), seeds(np.arange(n) / 3))
        assert clear.wilcoxon_p == clear.sign_flip_p == statistics.smallest_two_sided_p(n)
    assert [statistics.smallest_two_sided_p(n) for n in (3, 5)] == [0.25, 0.0625]
    assert statistics.smallest_two_sided_p(10) == pytest.approx(0.00195, abs=1e-5)


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
        statistics.paired_test(seeds(a), seeds(b))


def test_brown_forsythe():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 12), rng.normal(5, 4, 9)
    result = statistics.variance_test_unpaired(seeds(a), seeds(b))
    # an analysis of variance of the distances from the medians
    reference = scipy_stats.f_oneway(abs(a - np.median(a)), abs(b - np.median(b)))
    assert (result.statistic, result.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert (result.n_a, result.n_b) == (12, 9)
    assert (result.std_a, result.std_b) == pytest.approx((a.std(ddof=1), b.std(ddof=1)))
    assert result.p < 0.05
    assert result.smallest_p == 0
    # distances 2, 1, 0, 1, 2 and 6, 3, 0, 3, 6, means 1.2 and 3.6: F = 2.5 * 2.4^2 / ((2.8 + 25.2) / 8) = 4.114...
    by_hand = statistics.variance_test_unpaired(seeds([1, 2, 3, 4, 5]), seeds([0, 3, 6, 9, 12]))
    assert by_hand.statistic == pytest.approx(14.4 / 3.5)
    assert by_hand.ratio == pytest.approx(1 / 3)
    assert (by_hand.ratio_low, by_hand.ratio_high) == statistics.variance_ratio_interval(
        [1, 2, 3, 4, 5], [0, 3, 6, 9, 12]
    )


def test_pitman_morgan():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 15)
    a, b = shared + rng.normal(0, 0.2, 15), 3 * shared + rng.normal(0, 0.2, 15)
    result = statistics.variance_test_paired(seeds(a), seeds(b))
    r, p = scipy_stats.pearsonr(a + b, a - b)
    assert result.p == pytest.approx(p)
    assert result.statistic == pytest.approx(r * math.sqrt(13 / (1 - r**2)))
    # its F form: (F - 1) sqrt(n - 2) / (2 sqrt(F (1 - r_ab^2))) with F the ratio of variances
    ratio, r_ab = a.var() / b.var(), np.corrcoef(a, b)[0, 1]
    assert result.statistic == pytest.approx((ratio - 1) * math.sqrt(13) / (2 * math.sqrt(ratio * (1 - r_ab**2))))
    assert result.p < statistics.variance_test_unpaired(seeds(a), seeds(b)).p  # what the pairing is good for
    assert (result.ratio_low, result.ratio_high) == statistics.variance_ratio_interval_paired(a, b)
    assert result.ratio_high - result.ratio_low < np.ptp(statistics.variance_ratio_interval(a, b))  # here, too


@pytest.mark.parametrize("test", [statistics.variance_test_paired, statistics.variance_test_unpaired])
def test_variance_tests_refuse(test):
    with pytest.raises(ValueError, match=r"at least 4 seeds.*, got 3"):
        test(seeds([1.0, 2, 7]), seeds([1.0, 3, 900]))
    with pytest.raises(ValueError, match="finite values: seed 0 "):
        test(seeds([math.nan, 2, 3, 4]), seeds([1.0, 3, 4, 5]))
    for a, b, side in (([2.0] * 4, [3.0] * 4, "a"), ([2.0] * 4, [3.0, 1, 4, 1], "a"), ([3.0, 1, 4, 1], [2.0] * 4, "b")):
        with pytest.raises(ValueError, match=f"{side} is the same for every seed"):
            test(seeds(a), seeds(b))


def test_paired_variances_refuse_unmatched_seeds_and_shifted_copies():
    with pytest.raises(ValueError, match="only one side has seed 3"):
        statistics.variance_test_paired(seeds([1.0, 2, 4, 5]), seeds([1.0, 3, 4]))
    with pytest.raises(ValueError, match="is the same for every seed"):
        statistics.variance_test_paired(seeds([1.0, 2, 4, 9]), seeds([2.0, 3, 5, 10]))


def test_brown_forsythe_says_its_smallest_p_where_it_refuses():
    with pytest.raises(ValueError, match=r"got 3: with 3 and 3 no data give a p below 0\.116"):
        statistics.variance_test_unpaired(seeds([1.0, 2, 7]), seeds([1.0, 3, 900]))
    with pytest.raises(ValueError, match="equally far from its median"):
        statistics.variance_test_unpaired(seeds([1.0, 1, 3, 3]), seeds([0.0, 0, 9, 9]))


@pytest.mark.parametrize("sizes", [(3, 3), pytest.param((3, 5), marks=pytest.mark.slow), (4, 4)])
def test_smallest_p_of_brown_forsythe_by_search(sizes):
    """A search over all data approaches the formula and never passes it; at even sizes it has no bound."""
    rng, n = np.random.default_rng(0), sum(sizes)

    def p(x):
        return scipy_stats.levene(x[: sizes[0]], x[sizes[0] :], center="median").pvalue

    floor = statistics.smallest_brown_forsythe_p(*sizes)
    draws = rng.normal(size=(500, n)) * np.where(np.arange(n) < sizes[0], 1, rng.choice([0.01, 1], (500, 1)))
    assert min(map(p, draws)) > floor
    found = 1.0
    for start in draws[:4]:
        best = scipy_optimize.minimize(
            lambda x: np.log(p(x) + 1e-30), start * 1.0, method="Nelder-Mead", options={"maxfev": 3000}
        )
        found = min(found, p(best.x))
    assert found >= floor * (1 - 1e-9)
    if floor:
        assert found == pytest.approx(floor, rel=0.03)
    else:
        assert found < 1e-6


def test_smallest_p_of_brown_forsythe_by_hand():
    # n = 3: F = 4 * 3 * 2 / 6 = 4 with 1 and 4 degrees of freedom, reached by distances 1, 0, 1 against none
    assert statistics.smallest_brown_forsythe_p(3, 3) == pytest.approx(scipy_stats.f.sf(4, 1, 4))
    assert statistics.smallest_brown_forsythe_p(3, 3) == pytest.approx(0.116, abs=5e-4)
    assert statistics.smallest_brown_forsythe_p(5, 5) == pytest.approx(scipy_stats.f.sf(16, 1, 8))
    assert statistics.smallest_brown_forsythe_p(3, 9) == statistics.smallest_brown_forsythe_p(9, 3)
    assert statistics.smallest_brown_forsythe_p(4, 7) == 0
    with pytest.raises(ValueError, match="at least 2 seeds in each group, got 1 and 3"):
        statistics.smallest_brown_forsythe_p(1, 3)


@pytest.mark.parametrize("shift", [0, 3e-9])
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_that_does_not_vary_with_the_seed_is_not_tested_against(side, shift):
    """No d_z of hundreds and no p from the spread of initialisations; the difference and its interval stay."""
    varies, constant = np.array([0.00701, 0.00704, 0.00706]), np.full(3, 0.01683)
    constant[0] += shift  # float32 rounding
    a, b = (constant, varies) if side == "a" else (varies, constant)
    result = statistics.paired_test(seeds(a), seeds(b))
    assert result.constant_side == side
    untested = (result.t, result.p, result.wilcoxon_p, result.sign_flip_p, result.effect_size, result.detectable)
    assert all(map(math.isnan, untested))
    interval = scipy_stats.t.interval(0.95, 2, (a - b).mean(), scipy_stats.sem(a - b))
    assert (result.ci_low, result.ci_high) == pytest.approx(interval)
    assert result.mean_difference == pytest.approx((a - b).mean())


def test_a_side_that_varies_little_is_tested():
    a, b = np.array([0.47131, 0.47150, 0.47122]), np.array([0.47060, 0.47063, 0.47061])
    result = statistics.paired_test(seeds(a), seeds(b))
    assert result.constant_side == ""
    assert result.p == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)


def test_samples_against_scipy():
    generator = np.random.default_rng(0)
    a, b = generator.exponential(size=(3, 40)), generator.normal(1, 2, size=(2, 40))
    result = statistics.paired_test_over_samples(a, b.tolist())
    x, y = a.mean(0), b.mean(0)
    theirs = scipy_stats.ttest_rel(x, y)
    assert (result.n, result.t, result.p) == (40, pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    assert (result.ci_low, result.ci_high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert result.mean_difference == pytest.approx(a.mean() - b.mean())
    unbiased = 1 - 3 / (4 * 39 - 1)  # Hedges' usual approximation of his factor
    assert result.effect_size == pytest.approx((x - y).mean() / (x - y).std(ddof=1) * unbiased, rel=1e-4)
    narrow = statistics.paired_test_over_samples(a, b, 0.5)
    assert result.ci_low < narrow.ci_low < narrow.ci_high < result.ci_high
    turned = statistics.paired_test_over_samples(b, a)
    assert (turned.mean_difference, turned.p) == (pytest.approx(-result.mean_difference), pytest.approx(result.p))


def test_a_constant_side_is_tested_over_samples():
    """Training repeats well and one side is the same for every seed, yet d_z is that of the samples."""
    generator = np.random.default_rng(0)
    pca = np.tile(generator.exponential(size=500), (3, 1))
    ae = pca + generator.normal(0.1, 1, size=500) + 1e-4 * generator.normal(size=(3, 500))
    by_seed = [seeds(list(side.mean(1))) for side in (ae, pca)]
    assert statistics.paired_test(*by_seed).constant_side == "b"
    assert 0 < statistics.paired_test_over_samples(ae, pca).effect_size < 0.3


@pytest.mark.parametrize("kind", ["skewed values", "0 or 1"])
def test_samples_of_equal_means_are_told_apart_in_a_twentieth_of_cases(kind):
    """2,000 splits of 60 samples: with a true rate of 5 % there are 75 to 125 rejections with a probability of 99 %."""
    generator, rejected = np.random.default_rng(1), 0
    for _ in range(2000):
        hardness = generator.random(60)  # what both models share of a sample
        if kind == "0 or 1":
            a, b = (generator.random((3, 60)) < hardness for _ in range(2))
        else:
            a, b = (generator.exponential(hardness, (3, 60)) for _ in range(2))
        rejected += statistics.paired_test_over_samples(a, b).p < 0.05
    assert 75 <= rejected <= 125


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (np.ones((2, 30)), np.ones((2, 31)), r"\[2, 30\] and \[2, 31\]"),
        (np.ones(30), np.ones(30), r"\[seeds, n\]"),
        (np.ones((0, 30)), np.ones((2, 30)), r"\[0, 30\]"),
        (np.eye(3, 19), np.ones((3, 19)), "at least 20 samples, got 19"),
        (np.full((1, 20), np.nan), np.ones((1, 20)), "finite"),
        (np.ones((3, 20)), np.zeros((3, 20)), "the difference is 1 for every sample"),
    ],
)
def test_samples_that_cannot_be_tested(a, b, why):
    with pytest.raises(ValueError, match=why):
        statistics.paired_test_over_samples(a, b)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        statistics.paired_test_over_samples(np.eye(2, 20), np.ones((2, 20)), 95)


def test_variance_ratio_interval_against_bonetts_own_program(agrees):
    """The example in the manual of the R package statpsych, `ci.ratio.sd2(.05, y1, y2)`."""
    y1, y2 = [32, 39, 26, 35, 43, 27, 40, 37, 34, 29], [36, 44, 47, 42, 49, 39, 46, 31, 33, 48]
    low, high = statistics.variance_ratio_interval(y1, y2)
    agrees("ratio of stds", "statpsych ci.ratio.sd2", "its example", (low, high), (0.486279, 1.728396), rel=1e-5)
    assert statistics.variance_ratio_interval(y2, y1) == pytest.approx((1 / high, 1 / low))  # groups of equal size
    wider = statistics.variance_ratio_interval(y1, y2, 0.99)
    assert wider[0] < low < high < wider[1]
    scaled = statistics.variance_ratio_interval([3 * y + 5 for y in y1], y2)
    assert scaled == pytest.approx((3 * low, 3 * high))  # as it would not, were the kurtosis pooled at a ratio of 1


def test_paired_ratio_interval_by_hand():
    x, y = np.array([1.0, 2, 4, 8, 9]), np.array([2.0, 1, 5, 7, 13])
    theta = math.log(x.var() / y.var())
    without = np.array([math.log(np.delete(x, i).var() / np.delete(y, i).var()) for i in range(5)])
    error = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())  # the jackknife's
    half = scipy_stats.t.ppf(0.975, 4) * error
    expected = math.exp((theta - half) / 2), math.exp((theta + half) / 2)
    assert statistics.variance_ratio_interval_paired(x, y) == pytest.approx(expected)
    with pytest.raises(ValueError, match="as many of a as of b, got 5 and 4"):
        statistics.variance_ratio_interval_paired(x, y[:4])
    with pytest.raises(ValueError, match="all values of a group but one are equal"):
        statistics.variance_ratio_interval_paired(x[:4], [0.0, 0, 0, 1])


@pytest.mark.parametrize("interval", [statistics.variance_ratio_interval, statistics.variance_ratio_interval_paired])
def test_ratio_intervals_refuse(interval):
    with pytest.raises(ValueError, match="at least 4 seeds, got 3"):
        interval([1.0, 2, 3], [1.0, 2, 4])
    with pytest.raises(ValueError, match="seed 1 has none"):
        interval([1.0, math.nan, 3, 4], [1.0, 2, 4, 5])
    with pytest.raises(ValueError, match="is the same for every seed"):
        interval([1.0, 1, 1, 1], [1.0, 2, 4, 5])
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        interval([1.0, 2, 3, 4], [1.0, 2, 4, 5], 95)


def test_unpaired_ratio_interval_refuses_a_confidence_that_its_factor_cannot_take():
    with pytest.raises(ValueError, match=r"more than 4\.42 values"):
        statistics.variance_ratio_interval([1.0, 2, 3, 4], [1.0, 2, 4, 5], 0.99999)


def test_prediction_interval_by_hand():
    # mean 2, std 1, t(0.975, 2) = 4.302653: 2 ± 4.302653 * sqrt(4 / 3)
    low, high = statistics.prediction_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 * math.sqrt(4 / 3), 2 + 4.302653 * math.sqrt(4 / 3)), abs=1e-6)
    narrow = statistics.confidence_interval([1.0, 2.0, 3.0])
    assert (high - low) / (narrow[1] - narrow[0]) == pytest.approx(
        2
    )  # sqrt(1 + 1 / n) against sqrt(1 / n): sqrt(n + 1)
    for values, message in (
        ([1.0], "at least 2"),
        ([1.0, math.inf], "seed 1 has none"),
        ([0.1, 0.1], "every value is"),
    ):
        with pytest.raises(ValueError, match=message):
            statistics.prediction_interval(values)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        statistics.prediction_interval([1.0, 2.0], 95)


def test_holm_and_benjamini_hochberg_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert statistics.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1, 1]
    assert statistics.holm([]) == statistics.benjamini_hochberg([]) == []
    for wrong in (math.nan, -0.1, 1.1):
        for adjust in (statistics.holm, statistics.benjamini_hochberg):
            with pytest.raises(ValueError, match="must lie in"):
                adjust([0.5, wrong])


def test_corrections_against_statsmodels(agrees):
    p = np.random.default_rng(0).beta(0.3, 1, 40).round(2).tolist()  # with ties, zeros among them
    for name, ours, method in (("Holm", statistics.holm, "holm"), ("BH", statistics.benjamini_hochberg, "fdr_bh")):
        agrees(name, "statsmodels", "40 p-values with ties", ours(p), multipletests(p, method=method)[1], abs=1e-14)


def test_confidence_intervals_against_scipy(agrees):
    d = np.random.default_rng(3).gamma(2, 1, 12) - 1.5
    mean, sem = d.mean(), d.std(ddof=1) / math.sqrt(len(d))
    agrees(
        "t interval", "scipy t.interval", "12 skewed differences",
        statistics.confidence_interval(d, 0.9), scipy_stats.t.interval(0.9, len(d) - 1, mean, sem), rel=1e-12,
    )  # fmt: skip
    bootstrap = statistics.confidence_interval(d, 0.9, "bootstrap")
    # Efron 1987, equations 6.6 and 6.8, with draws of our own
    means = d[np.random.default_rng(1).integers(12, size=(100_000, 12))].mean(1)
    left_out = (d.sum() - d) / 11
    pull = left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    bias = scipy_stats.norm.ppf((means < mean).mean())
    shifted = bias + scipy_stats.norm.ppf([0.05, 0.95])
    by_hand = np.quantile(means, scipy_stats.norm.cdf(bias + shifted / (1 - acceleration * shifted)))
    agrees("BCa interval", "Efron's formula, 100,000 draws", "12 skewed differences", bootstrap, by_hand, abs=0.04)
    assert bootstrap == statistics.confidence_interval(d, 0.9, "bootstrap")
    paired = statistics.paired_test(seeds(d + np.arange(12)), seeds(np.arange(12.0)), 0.9)
    assert statistics.confidence_interval(d, 0.9) == pytest.approx((paired.ci_low, paired.ci_high))


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0], "at least 2 seeds, got 1"), ([1.0, math.nan], "seed 1 has none"), ([0.1, 0.1], "every value is 0.1")],
)
def test_confidence_interval_refuses(method, values, message):
    with pytest.raises(ValueError, match=message):
        statistics.confidence_interval(values, method=method)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        statistics.confidence_interval([1.0, 2.0], 95, method)


def test_sign_flip_refuses():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        statistics.sign_flip_p([1.0])
    with pytest.raises(ValueError, match="seed 1 has none"):
        statistics.sign_flip_p([1.0, math.nan])


numbers = some.floats(-100, 100).map(lambda value: round(value, 3))


@settings(max_examples=20, deadline=None)
@given(some.lists(some.tuples(numbers, numbers), max_size=8))
def test_any_pairs_give_numbers_or_a_reason(pairs):
    """Never NaN without a word; swapping the models turns the difference round and leaves the p-values."""
    a, b = seeds([x for x, _ in pairs]), seeds([y for _, y in pairs])
    if len(pairs) < 2 or np.ptp([x - y for x, y in pairs]) < 1e-9:
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            statistics.paired_test(a, b)
        return
    result = statistics.paired_test(a, b)
    swapped = statistics.paired_test(b, a)
    assert swapped.mean_difference == -result.mean_difference
    assert result.ci_low <= result.mean_difference <= result.ci_high
    constant = next((name for name, side in (("a", a), ("b", b)) if len(set(side.values())) == 1), "")
    assert result.constant_side == constant
    if constant:
        assert math.isnan(result.p)
        return
    floor = statistics.smallest_two_sided_p(len(pairs))
    for name in ("p", "wilcoxon_p", "sign_flip_p"):
        assert 0 <= getattr(result, name) <= 1
        assert getattr(swapped, name) == pytest.approx(getattr(result, name))
    assert result.sign_flip_p >= floor
    assert math.isfinite(result.effect_size) == (len(pairs) > 2)


def test_mean_std():
    assert statistics.mean_std([1.0, 2.0, 3.0]) == (2, 1, 3)
    mean, std, n = statistics.mean_std(iter([4.0]))
    assert (mean, n) == (4, 1)
    assert math.isnan(std)
    with pytest.raises(ValueError, match="no values to take a mean of"):
        statistics.mean_std([])


@pytest.mark.parametrize(("n", "d_z", "alpha"), [(5, 1.0, 0.05), (10, -0.7, 0.01), (40, 0.2, 0.1), (6, 0.0, 0.05)])
def test_power_against_statsmodels(n, d_z, alpha):
    assert statistics.power(n, d_z, alpha) == pytest.approx(TTestPower().power(d_z, n, alpha), abs=1e-6)


@pytest.mark.parametrize(("n", "wanted"), [(3, 0.8), (5, 0.8), (10, 0.9), (30, 0.5)])
def test_detectable_effect_against_statsmodels(n, wanted, agrees):
    ours = statistics.detectable_effect(n, wanted)
    reference = TTestPower().solve_power(nobs=n, power=wanted, alpha=0.05)
    agrees("detectable d_z", "statsmodels TTestPower", "n = 3 to 30", ours, reference, rel=1e-6)
    assert statistics.power(n, ours) == pytest.approx(wanted)
    for wrong in [(1, 0.8, 0.05), (5, 0.05, 0.05), (5, 1.0, 0.05), (5, math.nan, 0.05)]:
        with pytest.raises(ValueError, match="needs n >= 2"):
            statistics.detectable_effect(*wrong)


def test_seeds_for_a_difference():
    assert statistics.seeds_for_difference(0.002, 0.002) == statistics.seeds_needed(1.0) == 10
    assert statistics.seeds_for_difference(-0.1, 0.2) == math.ceil(TTestPower().solve_power(0.5, power=0.8, alpha=0.05))
    for std in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="it must be positive"):
            statistics.seeds_for_difference(0.1, std)
    with pytest.raises(ValueError, match=r"needs \|d_z\|"):
        statistics.seeds_for_difference(0.0, 1.0)


def test_seeds_needed_is_the_least_that_is_enough():
    assert statistics.seeds_needed(1.0) == 10
    for d_z, power, alpha in [(0.01, 0.8, 0.05), (0.4, 0.95, 0.01), (-2.0, 0.5, 1e-6), (10, 0.8, 0.05)]:
        n = statistics.seeds_needed(d_z, power, alpha)
        assert statistics.power(n, d_z, alpha) >= power
        assert n == 2 or statistics.power(n - 1, d_z, alpha) < power
    for wrong in [(0.0, 0.8, 0.05), (math.nan, 0.8, 0.05), (1.0, 1.0, 0.05), (1.0, 0.8, 0.0)]:
        with pytest.raises(ValueError, match="needs"):
            statistics.seeds_needed(*wrong)
    for n, d_z in ((1, 1.0), (5, math.nan)):
        with pytest.raises(ValueError, match="needs n >= 2"):
            statistics.power(n, d_z)
    with pytest.raises(ValueError, match="0 seeds"):
        statistics.smallest_two_sided_p(0)


# -- simulations under the null -----------------------------------------------------------------------------------

DRAWS = 2000


def in_binomial_interval(hits, rate, confidence=0.99):
    low, high = scipy_stats.binom.interval(confidence, DRAWS, rate)
    assert low <= hits <= high, f"{hits} of {DRAWS} at a rate of {rate}: not within {low:.0f} to {high:.0f}"


def test_under_the_null_the_tests_reject_at_their_nominal_rate():
    n, rng = 6, np.random.default_rng(0)
    shared = rng.normal(0, 2, (DRAWS, n))  # what both models take from the seed
    a, b = shared + rng.normal(0, 1, (DRAWS, n)), shared + rng.normal(0, 1, (DRAWS, n))
    p, wilcoxon_p = scipy_stats.ttest_rel(a, b, axis=1).pvalue, scipy_stats.wilcoxon(a, b, axis=1).pvalue
    sign_flip_p = np.array([statistics.sign_flip_p(d) for d in a - b])
    for k in range(50):  # the vectorised values are those that `paired_test` gives one by one
        result = statistics.paired_test(seeds(a[k]), seeds(b[k]))
        assert (result.p, result.wilcoxon_p, result.sign_flip_p) == pytest.approx((p[k], wilcoxon_p[k], sign_flip_p[k]))
        assert (result.ci_low > 0 or result.ci_high < 0) == (p[k] < 0.05)
    in_binomial_interval((p < 0.05).sum(), 0.05)
    # of the 32 values that the exact tests' p can take at n = 6, one lies below 0.05
    in_binomial_interval((sign_flip_p < 0.05).sum(), 1 / 32)
    in_binomial_interval((wilcoxon_p < 0.05).sum(), 1 / 32)


def test_a_true_effect_is_detected_as_often_as_power_says():
    d = np.random.default_rng(1).normal(1, 1, (DRAWS, 10))
    p = scipy_stats.ttest_1samp(d, 0, axis=1).pvalue
    in_binomial_interval(int((p < 0.05).sum()), statistics.power(10, 1.0))


@pytest.mark.parametrize("correlated", [False, True])
def test_under_the_null_holm_keeps_the_family_wise_rate(correlated):
    family, n, rng = 5, 10, np.random.default_rng(2)
    d = rng.normal(0, 1, (DRAWS, family, n))
    if correlated:
        d += rng.normal(0, 1, (DRAWS, 1, n))  # one model stands in every comparison
    p = scipy_stats.ttest_1samp(d, 0, axis=2).pvalue
    b = rng.normal(0, 1, n)
    one = statistics.paired_test(seeds(d[0, 0] + b), seeds(b))
    assert p[0, 0] == pytest.approx(one.p)
    false_claims = sum(min(statistics.holm(row)) < 0.05 for row in p)
    uncorrected = int((p < 0.05).any(1).sum())
    assert uncorrected > scipy_stats.binom.ppf(0.999, DRAWS, 0.05), "without correction the rate is far above"
    if correlated:  # Holm bounds the rate; it is only met where the comparisons are independent
        assert false_claims <= scipy_stats.binom.ppf(0.995, DRAWS, 0.05)
    else:
        in_binomial_interval(false_claims, 1 - (1 - 0.05 / family) ** family)


@pytest.mark.parametrize("n", [4, 10])
@pytest.mark.parametrize("ratio", [1, 3])
@pytest.mark.parametrize("distribution", ["normal", "exponential"])
def test_ratio_intervals_contain_the_ratio_about_as_often_as_they_say(distribution, ratio, n):
    """Bonett's interval contains it in 93 to 98 % of samples, the jackknife's in 90 to 96 %; three errors allowed."""
    draws = 400
    a, b = getattr(np.random.default_rng(n), distribution)(size=(2, draws, n))
    for interval, least in (
        (statistics.variance_ratio_interval, 0.93),
        (statistics.variance_ratio_interval_paired, 0.9),
    ):
        found = [interval(x, y) for x, y in zip(ratio * a, b, strict=True)]
        contained = np.mean([low <= ratio <= high for low, high in found])
        assert contained >= least - 3 * math.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_prediction_intervals_contain_a_further_run(n):
    x = np.random.default_rng(n).normal(5, 2, (DRAWS, n + 1))
    found = np.array([statistics.prediction_interval(row[:n]) for row in x])
    in_binomial_interval(int(((found[:, 0] <= x[:, n]) & (x[:, n] <= found[:, 1])).sum()), 0.95)
    half = (found[:, 1] - found[:, 0]) / 2 / math.sqrt(n + 1)  # the interval of the mean
    assert (abs(x[:, n] - found.mean(1)) <= half).mean() < 0.93  # does not do as well


def test_pitman_morgan_rejects_far_too_often_under_exponential_values():
    n, said = PITMAN_MORGAN_UNDER_EXPONENTIAL
    a, b = np.random.default_rng(4).exponential(size=(2, DRAWS, n))
    p = np.array([statistics.variance_test_paired(seeds(x), seeds(y)).p for x, y in zip(a[:200], b[:200], strict=True)])
    r = [np.corrcoef(x + y, x - y)[0, 1] for x, y in zip(a, b, strict=True)]
    vectorised = scipy_stats.beta.sf(np.square(r), 0.5, (n - 2) / 2)  # of r², the same test
    assert p == pytest.approx(vectorised[:200])
    in_binomial_interval(int((vectorised < 0.05).sum()), said)
    # Brown and Forsythe's test does not
    assert (scipy_stats.levene(a, b, center="median", axis=1).pvalue < 0.05).mean() < 0.06


# -- float32 rounding, ties and outliers ---------------------------------------------------------------------------


def of_360(counts):
    """Shares of 360 by seed, as they are logged: rounded to float32."""
    return seeds(np.float32(np.array(counts) / 360).astype(float))


def test_a_difference_that_is_the_same_but_for_rounding_is_refused():
    counts = np.array([331, 315, 306, 328, 290])
    a, b = of_360(counts), of_360(counts - 3)
    assert np.ptp([a[s] - b[s] for s in a]) > 0
    for test in (
        statistics.paired_test,
        lambda a, b: statistics.equivalence_test(a, b, 0.02),
        statistics.variance_test_paired,
    ):
        with pytest.raises(ValueError, match="for every seed"):
            test(a, b)
    mirrored = of_360([100, 90, 110, 80, 120]), of_360([95, 105, 95, 105, 100])  # two values far from the median, alike
    assert statistics.variance_test_unpaired(*mirrored).p < 1
    alike = of_360([100, 110, 100, 110]), of_360([50, 57, 50, 57])
    with pytest.raises(ValueError, match="equally far from its median"):
        statistics.variance_test_unpaired(*alike)


def test_equal_sums_tie_in_the_sign_flip_test_though_their_values_are_rounded():
    a, b = [227, 314, 283, 239, 269, 296, 184], [228, 313, 277, 235, 265, 295, 181]
    whole = statistics.paired_test(seeds(map(float, a)), seeds(map(float, b)))
    assert statistics.paired_test(of_360(a), of_360(b)).sign_flip_p == whole.sign_flip_p == 0.0625


@pytest.mark.parametrize("n", [3, 6, 13, 14, 20])
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(n):
    generator = np.random.default_rng(n)
    for zeros in (0, 3, 9):
        d = np.concatenate([generator.integers(1, 4, n) * generator.choice([-1.0, 1.0], n), np.zeros(zeros)])
        ranks = scipy_stats.rankdata(np.abs(d[:n])) * np.sign(d[:n])
        if n <= 14:
            signs = np.array(list(itertools.product([-1, 1], repeat=n)))
            expected = (np.abs(signs @ ranks) >= abs(ranks.sum()) - 1e-9).mean()
        else:
            expected = statistics.sign_flip_p(ranks)
        found = statistics.compare_over_data_sets(d + 100, np.full(len(d), 100.0))
        assert (found.p, found.signed_ranks) == pytest.approx((expected, ranks.sum()))


def test_of_many_pairs_with_ties_the_signed_rank_test_is_corrected_for_continuity():
    d = np.array([1.0, 2, 3] * 8 + [-1.0] * 6)
    expected = scipy_stats.wilcoxon(d, correction=True).pvalue
    assert statistics.compare_over_data_sets(d, 0 * d).p == pytest.approx(expected)
    assert scipy_stats.wilcoxon(d).pvalue < expected


def test_data_sets_with_small_values_count_beside_one_with_large_values():
    a, b = [0.91, 0.82, 0.73, 0.64, 0.95, 3e5], [0.81, 0.71, 0.61, 0.51, 0.81, 2.9e5]
    assert statistics.compare_over_data_sets(a, b).p == 2 / 2**6


def test_the_direction_over_data_sets_is_that_of_the_ranks():
    d = np.concatenate([np.arange(1.0, 12), [-1000], np.zeros(26)])
    found = statistics.compare_over_data_sets(d, 0 * d)
    assert (found.median_difference, found.signed_ranks) == (0, 66 - 12)
    assert found.mean_difference < 0


def test_an_outlier_leaves_the_direction_of_a_spread_open():
    a = np.tile([-1, 1.0], 6) + np.linspace(-0.01, 0.01, 12)
    b = np.append(np.linspace(-0.02, 0.02, 11), 3.7)
    found = statistics.variance_test_unpaired(seeds(a), seeds(b))
    assert found.p < 0.05
    assert found.std_a < found.std_b
    assert found.deviation_a > found.deviation_b
    assert found.direction == ""
    assert statistics.variance_test_unpaired(seeds(a), seeds(b[:11])).direction == "higher"
    assert statistics.variance_test_unpaired(seeds(b[:11]), seeds(a)).direction == "lower"


def test_posterior_shares_are_never_below_0():
    for mean in (-1.0, 1.0, -0.3, 0.3):
        for n in (10, 1000):
            a = mean + np.random.default_rng(n).normal(size=n) / 9
            found = statistics.equivalence_test(seeds(a), seeds(0 * a), 0.01)
            assert min(found.below, found.within, found.above) >= 0
            assert found.below + found.within + found.above == pytest.approx(1)


@pytest.mark.parametrize("confidence", [0, 1, 95, -1, math.nan])
def test_what_is_no_confidence_is_refused(confidence):
    a, b = seeds([1.0, 2, 4]), seeds([3.0, 1, 2])
    for test in (statistics.paired_test, statistics.probability_higher):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            test(a, b, confidence)


def test_rounding_is_no_win():
    a = np.float32([0.1, 0.2, 0.3])
    found = statistics.probability_higher(seeds(np.nextafter(a, np.float32(1)).astype(float)), seeds(a.astype(float)))
    assert found.probability == 0.5
