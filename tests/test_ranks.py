"""Tests over several data sets, against SciPy, published examples, scikit-posthocs and baycomp."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from lit_ae import plots, statistics
from lit_ae.plots.ranks import critical_difference_diagram
from lit_ae.statistics.ranks import groups

# Demšar (2006), table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets
TABLE_6 = [
    [4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1],
    [2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5, 2.5, 2.5, 2.5], [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3], [3, 1, 4, 2],
]  # fmt: skip


def test_friedman_of_the_published_example(agrees):
    found = statistics.friedman_test(TABLE_6, "lower")
    published = "Demšar 2006, section 3.2.2"
    data = "4 versions of C4.5, 14 data sets"
    agrees("mean ranks", published, data, found.mean_ranks, [3.143, 2.0, 2.893, 1.964], rel=0, abs=5e-4)
    agrees("Friedman's χ² and F", published, data, [found.chi2, found.f], [9.28, 3.69], rel=0, abs=5e-3)
    agrees("Nemenyi's critical difference", published, data, found.critical_difference, 1.25, rel=0, abs=5e-3)
    at_10 = statistics.critical_difference(4, 14, 0.1)
    agrees("Nemenyi's critical difference", f"{published}, at 10 %", data, at_10, 1.12, rel=0, abs=5e-3)
    assert groups(found.mean_ranks, found.critical_difference) == [(0, 3)]  # none differ at 5 %
    assert groups(found.mean_ranks, at_10) == [(0, 2), (2, 3)]  # at 10 % the last differs from the first two
    assert (found.n, found.k) == (14, 4)


def test_friedman_and_its_pairs_against_other_packages(agrees):
    x = np.random.default_rng(0).normal(size=(5, 6))
    found = statistics.friedman_test(x, "lower")
    reference = scipy_stats.friedmanchisquare(*x.T)
    data = "6 models, 5 data sets (normal values)"
    ours = [found.chi2, found.chi2_p]
    agrees("Friedman's χ² and p", "scipy.stats.friedmanchisquare", data, ours, [reference.statistic, reference.pvalue])
    nemenyi = {(pair.a, pair.b): pair.nemenyi_p for pair in found.pairs}
    theirs = {(0, 2): 0.845079, (0, 4): 0.650490, (1, 2): 0.755551, (1, 4): 0.538193, (2, 4): 0.999420, (2, 3): 1.0}
    ours = [nemenyi[pair] for pair in theirs]
    agrees("Nemenyi's p", "scikit-posthocs 0.17.1", data, ours, list(theirs.values()), rel=0, abs=1e-6)
    of_pair = next(pair for pair in found.pairs if (pair.a, pair.b) == (1, 4))
    assert of_pair.wilcoxon_p == scipy_stats.wilcoxon(x[:, 1], x[:, 4]).pvalue == 0.0625
    assert of_pair.holm_p == pytest.approx(15 * 0.0625)  # the smallest of 15 pairs
    reversed_ranks = statistics.friedman_test(x, "higher").mean_ranks
    assert reversed_ranks == pytest.approx([7 - rank for rank in found.mean_ranks])


def test_float32_rounding_makes_no_ranks():
    """Accuracies that are multiples of 1/360, logged as float32: equal differences tie, as those of the counts do."""
    a = np.array([277, 301, 277, 246, 216, 277, 341, 209])
    b = np.array([273, 305, 273, 242, 212, 273, 337, 205])
    logged = [np.float32(counts / 360).astype(float) for counts in (a, b)]
    of_counts = scipy_stats.wilcoxon(a - b).pvalue
    assert scipy_stats.wilcoxon(logged[0] - logged[1]).pvalue < 0.05 < of_counts
    assert statistics.compare_over_data_sets(*logged).p == pytest.approx(of_counts)
    by_seed = [dict(enumerate(values)) for values in logged]
    assert statistics.paired_test(*by_seed).wilcoxon_p == pytest.approx(of_counts)
    means = [
        [np.float32(np.array(n) / 360).astype(float).mean() for n in ([296, 312, 311], [297, 311, 311], [0, 1, 2])]
    ]
    assert means[0][0] != means[0][1]
    assert statistics.friedman_test(means * 3, "higher").mean_ranks == (1.5, 1.5, 3)


@pytest.mark.parametrize(("n", "k", "exact"), [(3, 3, 1 / 36), (4, 3, 1 / 216), (3, 4, 1 / 576)])
def test_friedman_of_few_data_sets_has_the_exact_p(agrees, n, k, exact):
    """All data sets rank the models alike: k! of the (k!)^n orders do so."""
    found = statistics.friedman_test(np.tile(np.arange(k), (n, 1)), "lower")
    error = 4 * math.sqrt(exact / 100_000)  # standard errors of the random orders
    agrees("Friedman's p by random orders", "counting", f"{k} models, {n} data sets", found.p, exact, rel=0, abs=error)
    assert found.f == math.inf
    assert found.f_p == 0  # the F of Iman and Davenport cannot be used there


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2, 3]] * 2, "at least 3 data sets and 3 models, got 2 and 3"),
        ([[1, 2]] * 5, "at least 3 data sets and 3 models, got 5 and 2"),
        ([[1, 2, 3], [1, 2, 3], [1, math.nan, 3]], "a finite value of every model"),
    ],
)
def test_friedman_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        statistics.friedman_test(values, "lower")


D = [0.013, -0.002, 0.021, 0.004, 0.032, -0.011, 0.009, 0.018]


@pytest.mark.parametrize(
    ("differences", "margin", "shares"),
    [
        (D, 0.01, (0.00044, 0.48866, 0.5109)),
        (D[:4], 0.01, (0.0, 0.72144, 0.27856)),
        (D, 0.001, (0.01488, 0.00016, 0.98496)),
        ([0.1, 0.2, -0.1, 0.3, 0.01], 0.05, (0.01842, 0.14168, 0.8399)),
    ],
)
def test_signed_rank_posterior(agrees, differences, margin, shares):
    """Both draw 50,000 times: a share differs by chance by 0.003 at most in one of 100 cases."""
    ours = statistics.signed_rank_posterior(differences, margin)
    data = f"{len(differences)} differences, margin {margin:g}"
    agrees("Bayesian signed-rank test", "baycomp 1.0.3", data, ours, shares, rel=0, abs=6e-3)
    below, within, above = statistics.signed_rank_posterior([-d for d in differences], margin)
    assert (above, within, below) == pytest.approx(shares, abs=6e-3)


def test_comparison_over_data_sets_by_hand():
    # differences 1, 2, 6: Walsh averages 1, 1.5, 2, 3.5, 4, 6
    found = statistics.compare_over_data_sets([11, 22, 36], [10, 20, 30])
    assert (found.n, found.mean_difference, found.median_difference, found.p) == (3, 3, 2.75, 0.25)
    assert math.isnan(found.below + found.within + found.above)
    with_margin = statistics.compare_over_data_sets([11, 22, 36], [10, 20, 30], 7)
    assert (with_margin.below, with_margin.within, with_margin.above) == (0, 1, 0)
    assert statistics.compare_over_data_sets([1, 2, 3], [1, 2, 3]).p == 1
    for a, b, message in (
        ([1, 2], [2, 3], "at least 3 of them, got 2"),
        ([1, 2, 3], [1, 2], "one value of each model"),
        ([1, 2, math.nan], [1, 2, 3], "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            statistics.compare_over_data_sets(a, b)
    with pytest.raises(ValueError, match="margin of a comparison must be positive, got 0"):
        statistics.compare_over_data_sets([1, 2, 3], [3, 2, 1], 0)


def test_diagram_shows_ranks_groups_and_the_critical_difference(tmp_path):
    ranks = {"C4.5": 3.143, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    figure = critical_difference_diagram(ranks, 1.12, [(0, 2), (2, 3)], "Four versions of C4.5")
    (axes,) = figure.axes
    bars = [list(line.get_xdata()) for line in axes.lines if line.get_gid() == "group"]
    assert bars == [pytest.approx([1.924, 2.933]), pytest.approx([2.853, 3.183])]
    (ruler,) = (line.get_xdata() for line in axes.lines if line.get_gid() == "difference")
    assert ruler[1] - ruler[0] == pytest.approx(1.12)
    texts = {text.get_text().strip(): text for text in axes.texts}
    assert {"C4.5+m+cf  1.96", "C4.5+m  2.00", "2.89  C4.5+cf", "3.14  C4.5"} < texts.keys()
    path = plots.save(figure, tmp_path / "ranks.png")
    assert path.stat().st_size > 1000
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x0 >= 0 for text in texts.values()), "a label is cut off"
    long = {"Denoising autoencoder (salt and pepper)": 1.5, "Conditional variational autoencoder": 2.5}
    figure = critical_difference_diagram(long, 1.0, [], "Long labels")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    with pytest.raises(ValueError, match="at least 2 labels"):
        critical_difference_diagram({"AE": 1.0}, 1.0, [], "")
