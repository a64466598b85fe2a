"""Equivalence within a margin, P(a > b), pairing: against independent references and by simulation."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from lit_ae import statistics
from lit_ae.report.claims import write_claims
from lit_ae.report.csv_tables import PAIRED

DRAWS = 2000


def seeds(values):
    return dict(enumerate(values))


def within_binomial_bounds(count, rate):
    """Whether a count of 2,000 draws is one that the rate gives, but for 1 in 1,000 times."""
    low, high = scipy_stats.binom.interval(0.999, DRAWS, rate)
    return low <= count <= high


def test_equivalence_against_one_sided_tests_and_a_drawn_posterior(agrees):
    rng = np.random.default_rng(0)
    a = rng.normal(0.50, 0.02, 8)
    b = a + rng.normal(0.004, 0.01, 8)
    found = statistics.equivalence_test(seeds(a), seeds(b), 0.012)
    d = a - b
    sides = [
        scipy_stats.ttest_1samp(d, -0.012, alternative="greater").pvalue,
        scipy_stats.ttest_1samp(d, 0.012, alternative="less").pvalue,
    ]
    agrees("TOST p", "scipy, two one-sided tests", "8 pairs", found.p, max(sides), abs=1e-14)
    # Under the prior 1 / variance: (n - 1) s² / variance ~ chi², mean ~ N(d, variance / n)
    variance = 7 * d.var(ddof=1) / rng.chisquare(7, 400_000)
    mean = rng.normal(d.mean(), np.sqrt(variance / 8))
    shares = [(mean < -0.012).mean(), (abs(mean) <= 0.012).mean(), (mean > 0.012).mean()]
    agrees(
        "P(below, within, above)",
        "400,000 draws",
        "8 pairs",
        (found.below, found.within, found.above),
        shares,
        abs=4e-3,
    )
    assert found.below + found.within + found.above == pytest.approx(1)


def test_equivalence_over_samples_against_one_sided_tests(agrees):
    rng = np.random.default_rng(3)
    a = rng.normal(0.5, 0.1, (3, 400))
    b = a[:1] - 0.002 + rng.normal(0, 0.03, 400)
    found = statistics.equivalence_over_samples(statistics.paired_test_over_samples(a, b), 0.006)
    x, y = a.mean(0), b[0]
    sides = [
        scipy_stats.ttest_rel(x + 0.006, y, alternative="greater").pvalue,
        scipy_stats.ttest_rel(x - 0.006, y, alternative="less").pvalue,
    ]
    agrees("TOST p over samples", "scipy, two one-sided tests", "400 samples", found.p, max(sides), abs=1e-14)
    assert (found.below, found.above) == pytest.approx(sides)
    assert found.below + found.within + found.above == pytest.approx(1)
    with pytest.raises(ValueError, match="must be positive"):
        statistics.equivalence_over_samples(statistics.paired_test_over_samples(a, b), 0.0)


@pytest.mark.parametrize(("difference", "rate"), [(1.0, 0.05), (-1.0, 0.05)])
def test_equivalence_is_claimed_wrongly_in_5_percent_at_the_margin(difference, rate):
    """At a true difference of just the margin, and a spread small enough for the other side never to matter."""
    rng = np.random.default_rng(1)
    d = rng.normal(difference, 0.2, (DRAWS, 6))
    found = [statistics.equivalence_test(seeds(x), seeds(np.zeros(6)), 1.0).p < 0.05 for x in d]
    assert within_binomial_bounds(sum(found), rate)


def test_equivalence_is_found_as_often_as_the_noncentral_t_says():
    """With no true difference: P(reject both) by integration over the sample's standard deviation."""
    n, margin, std = 10, 1.0, 1.0
    rng = np.random.default_rng(2)
    d = rng.normal(0, std, (DRAWS, n))
    found = sum(statistics.equivalence_test(seeds(x), seeds(np.zeros(n)), margin).p < 0.05 for x in d)
    critical = scipy_stats.t.ppf(0.95, n - 1)
    s = np.sqrt(scipy_stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, n - 1) / (n - 1)) * std
    room = np.maximum(margin - critical * s / math.sqrt(n), 0) / (std / math.sqrt(n))
    assert within_binomial_bounds(found, float((2 * scipy_stats.norm.cdf(room) - 1).mean()))


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_is_positive(margin):
    with pytest.raises(ValueError, match="margin of an equivalence test must be positive"):
        statistics.equivalence_test(seeds([1, 2]), seeds([1, 3]), margin)


def test_equivalence_needs_a_spread():
    with pytest.raises(ValueError, match="the difference is 1 for every seed"):
        statistics.equivalence_test(seeds([1, 2, 3]), seeds([0, 1, 2]), 0.5)


@pytest.mark.parametrize("wins", [0, 3, 10])
def test_probability_of_improvement_against_scipy(wins, agrees):
    a = [1.0] * wins + [-1.0] * (10 - wins)
    found = statistics.probability_higher(seeds(a), seeds([0.0] * 10))
    exact = scipy_stats.binomtest(wins, 10).proportion_ci(method="exact")
    expected = (wins / 10, exact.low, exact.high)
    agrees("P(a > b)", "scipy, exact", f"{wins} of 10 pairs", tuple(found), expected, abs=1e-12)


def test_a_tie_counts_as_half():
    assert statistics.probability_higher(seeds([1, 2]), seeds([1, 1])).probability == 0.75


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_the_interval_of_the_probability_covers_it_at_least_as_often_as_stated(shift):
    """Paired normal values: P(a > b) = Φ(shift / √2)."""
    rng = np.random.default_rng(3)
    true = scipy_stats.norm.cdf(shift / math.sqrt(2))
    a, b = rng.normal(shift, 1, (DRAWS, 10)), rng.normal(0, 1, (DRAWS, 10))
    found = [statistics.probability_higher(seeds(x), seeds(y)) for x, y in zip(a, b, strict=True)]
    covered = sum(low <= true <= high for _, low, high in found)
    assert covered >= scipy_stats.binom.ppf(0.001, DRAWS, 0.95)
    assert np.mean([p for p, _, _ in found]) == pytest.approx(true, abs=4 * math.sqrt(true * (1 - true) / DRAWS / 10))


def test_what_pairing_removes_is_said(agrees):
    rng = np.random.default_rng(4)
    a = rng.normal(0, 1, 10)
    b = a + rng.normal(0.3, 0.1, 10)
    found = statistics.paired_test(seeds(a), seeds(b))
    welch = scipy_stats.ttest_ind(a, b, equal_var=False).pvalue
    agrees("Welch p, correlation", "scipy, numpy", "10 pairs", (found.welch_p, found.correlation),
           (welch, np.corrcoef(a, b)[0, 1]), abs=1e-12)  # fmt: skip
    assert found.p < 0.001 < 0.3 < found.welch_p
    constant = statistics.paired_test(seeds(a), seeds([1.0] * 10))
    assert math.isnan(constant.welch_p)
    assert math.isnan(constant.correlation)


def test_all_claims_of_a_folder_are_corrected_together(tmp_path: Path):
    """Three p-values of two reports: Holm and Benjamini-Hochberg by hand."""
    header = ["seeds", "test", "metric", "a", "b", "b_metric", "n", "over", *PAIRED, "p_holm", "claim"]

    def line(name, p, n_seeds="10"):
        values = {"seeds": n_seeds, "metric": f"test/{name}", "a": "VAE", "b": "AE", "b_metric": f"test/{name}"}
        values |= {"n": n_seeds, "over": "seeds", "mean_difference": "0.5", "p": p, "p_holm": p, "claim": "a | b"}
        return ",".join(values.get(key, "") for key in header)

    one = [",".join(header), line("mse", "0.01"), line("fid", ""), line("mse", "0.5", "3")]
    (tmp_path / "one-comparisons.csv").write_text("\n".join(one) + "\n")
    (tmp_path / "two-comparisons.csv").write_text(
        "\n".join([",".join(header), line("nmi", "0.02"), line("ari", "0.3")])
    )
    write_claims(tmp_path)
    text = (tmp_path / "all-comparisons.md").read_text("utf-8")
    rows = {line.split(" | ")[2]: line.strip("| ").split(" | ") for line in text.splitlines() if "test/" in line}
    # of 4 declared, one counts as p = 1; the reading of 3 seeds is a part of that of 10
    assert [rows[f"test/{name}"][-2:] for name in ("mse", "nmi", "ari")] == [
        ["0.040", "0.040"],
        ["0.060", "0.040"],
        ["0.600", "0.400"],
    ]
    assert rows["test/fid"][-4:] == ["–"] * 4
    assert rows["test/mse"][3] == r"a \| b"
    assert "4 comparisons are declared" in text.replace("\n", " ")
    assert "2 of 3 p-values are below 5 % as they are, 1 by Holm over all, 2 by BH" in text.replace("\n", " ")


def test_texts_of_a_study_stay_texts_on_the_page_of_all_claims(tmp_path: Path):
    row = {"seeds": "5", "test": "paired", "metric": "test/mse", "a": "<img src=x>", "b": "[x](javascript:y)", "n": "5"}
    row |= {"mean_difference": "0.25", "p": "0.01", "p_holm": "0.01", "claim": "over\ntwo lines"}
    with (tmp_path / "one-comparisons.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    write_claims(tmp_path)
    said = r"| [one](one.md) | &lt;img src=x> against [x]\(javascript:y) | test/mse | over two lines | 5 |"
    assert said in (tmp_path / "all-comparisons.md").read_text("utf-8")


def test_files_of_earlier_reports_have_fewer_columns(tmp_path: Path):
    header, row = "seeds,test,metric,a,b,n,mean_difference,p,p_holm", "5,paired,test/mse,VAE,AE,5,0.25,0.01,0.01"
    (tmp_path / "old-comparisons.csv").write_text(f"{header}\n{row}\n")
    write_claims(tmp_path)
    written = "| [old](old.md) | VAE against AE | test/mse |  | 5 | +0.250 | 0.010 | 0.010 | 0.010 | 0.010 |"
    assert written in (tmp_path / "all-comparisons.md").read_text("utf-8")


def test_no_claims_no_page(tmp_path: Path):
    write_claims(tmp_path)
    assert not list(tmp_path.iterdir())
