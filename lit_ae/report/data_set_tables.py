"""The comparisons over data sets as tables, sentences and critical-difference diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_ae.report.captions import command
from lit_ae.report.cells import ALPHA
from lit_ae.report.formats import DASH, listed, number, p_value, significant, with_arrow
from lit_ae.report.text import sample_size, verdict
from lit_ae.settings.names import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from lit_ae.report.analyse import Outcome, Results
    from lit_ae.report.comparison_tables import ReadingText, TableText
    from lit_ae.report.data_sets import Ranking
    from lit_ae.statistics import RankResult

CAPTION = (
    "Each row has one value on each data set, its mean over the seeds; n is the number of data sets (Demšar 2006). "
    "Mean rank: rank 1 is the best row of a data set. Friedman's test asks whether all rows have the same mean rank: "
    "χ² and its p, the F of Iman and Davenport and its p, which are both approximations for many data sets, and p by "
    "random orders, which is right for few as well (100,000 orders of the ranks within each data set). Only this p is "
    "corrected, over all columns (Holm). Critical difference: Nemenyi's; rows whose mean ranks are farther apart "
    "differ at 5 %. Pairs of rows are shown where Friedman's corrected p is below 5 %: Nemenyi's p covers all pairs "
    "but depends on the other rows, Wilcoxon's does not and is corrected over all pairs (Holm)."
)
COMPARED = (
    "Declared comparisons: Wilcoxon's signed-rank test of the differences by data set, corrected over all that were "
    "declared (Holm). Difference: mean over data sets; the test's direction is that of the median of all means of two "
    "differences (Hodges and Lehmann)."
)
WITH_MARGIN = (
    "P(below, within, above the margin): the Bayesian signed-rank test (Benavoli et al. 2014, 2017), the posterior "
    "probability of each of three outcomes to be the likeliest for the mean of two random differences: that the first "
    "row is lower by more than the margin, that both are within it, and that the first is higher by more. It needs no "
    "correction, and decides no verdict."
)


def over_data_sets(results: Results) -> ReadingText:
    """Means and mean ranks by data set, Friedman's tests, pairs of rows, and the declared comparisons."""
    n = len(results.profile.data_sets)
    tests = results.readings[0].tests if results.readings else []
    tables = [_means(ranking) for ranking in results.rankings]
    if results.rankings:
        tables.append(_friedman(results.rankings))
    tables += [_pairs(ranking, ranking.result) for ranking in results.rankings if ranking.result and _rejects(ranking)]
    if tests:
        tables.append(_declared(tests))
    with_margin = any(test.comparison.margin is not None for test in tests)
    caption = [CAPTION, *([COMPARED] if tests else []), *([WITH_MARGIN] if with_margin else [])]
    return {
        "title": f"Over {n} data set{'' if n == 1 else 's'}",
        "tables": tables,
        "caption": " ".join(caption),
        "limits": _limits(results, tests),
    }


def draw(results: Results, folder: Path) -> list[dict[str, str]]:
    """Write a critical-difference diagram of each ranking to the folder: entries {src, caption, group}."""
    from lit_ae import plots
    from lit_ae.plots.ranks import critical_difference_diagram
    from lit_ae.statistics.ranks import groups

    drawn = []
    for ranking in results.rankings:
        found = ranking.result
        if found is None:
            continue
        title = f"{_label(ranking)}: mean ranks over {found.n} data sets"
        ranks = dict(zip(ranking.means, found.mean_ranks, strict=True))
        alike = groups(found.mean_ranks, found.critical_difference)
        figure = critical_difference_diagram(ranks, found.critical_difference, alike, title)
        path = plots.save(figure, folder / f"ranks-{file_name(ranking.column.metric)}.png")
        shown = (
            f"{title}; rank 1 is best. A bar joins rows whose mean ranks differ by no more than the critical "
            f"difference of {found.critical_difference:.2f} (Nemenyi, 5 %): for these no difference is shown, which "
            "does not mean that they are equal."
        )
        if not _rejects(ranking):
            shown += " Friedman's test does not reject equal ranks here, so that no pair is to be read from the figure."
        drawn.append({"src": f"{folder.name}/{path.name}", "caption": shown, "group": "Critical differences"})
    return drawn


def _label(ranking: Ranking) -> str:
    return with_arrow(ranking.column.label, ranking.column.better)


def _rejects(ranking: Ranking) -> bool:
    return ranking.p_holm < ALPHA


def _means(ranking: Ranking) -> TableText:
    ranks = dict(zip(ranking.means, ranking.result.mean_ranks, strict=True)) if ranking.result else {}
    data = list(dict.fromkeys(name for values in ranking.means.values() for name in values))
    rows = [
        [
            row,
            *(number(values[name], ranking.column.format) if name in values else DASH for name in data),
            number(ranks[row], ".2f") if row in ranks else DASH,
        ]
        for row, values in ranking.means.items()
    ]
    header = ["model", *data, "mean rank"]
    return {"title": f"{_label(ranking)}: means over seeds by data set, and mean ranks", "header": header, "rows": rows}


def _friedman(rankings: list[Ranking]) -> TableText:
    header = ["metric", "result", "n (data sets)", "rows", "χ²", "p of χ²", "F", "p of F", "p by random orders"]
    header += ["Holm p", "critical difference"]
    rows = []
    for ranking in rankings:
        found, n, k = ranking.result, len(ranking.data), len(ranking.means)
        if found is None:
            rows.append([_label(ranking), "no test", str(n), str(k), *[DASH] * 7])
            continue
        result = "mean ranks differ at 5 % (Holm)" if _rejects(ranking) else "no difference of mean ranks shown"
        ps = [p_value(p) for p in (found.f_p, found.p, ranking.p_holm)]
        numbers = [number(found.chi2, ".2f"), p_value(found.chi2_p), number(found.f, ".2f"), *ps]
        rows.append([_label(ranking), result, str(n), str(k), *numbers, number(found.critical_difference, ".2f")])
    return {"title": "Friedman's test", "header": header, "rows": rows}


def _pairs(ranking: Ranking, found: RankResult) -> TableText:
    names = list(ranking.means)
    rows = [
        [
            f"{names[pair.a]} − {names[pair.b]}",
            number(pair.difference, "+.2f"),
            *map(p_value, (pair.nemenyi_p, pair.wilcoxon_p, pair.holm_p)),
        ]
        for pair in sorted(found.pairs, key=lambda pair: pair.nemenyi_p)
    ]
    header = ["rows", "difference of mean ranks", "Nemenyi p", "Wilcoxon p", "Holm p of Wilcoxon"]
    return {"title": f"{_label(ranking)}: pairs of rows", "header": header, "rows": rows}


def _declared(tests: list[Outcome]) -> TableText:
    header = ["comparison", "metric", "claim", "result", "n", "difference", "Wilcoxon p", "Holm p"]
    with_margin = any(test.comparison.margin is not None for test in tests)
    if with_margin:
        header += ["margin", "P(below, within, above the margin)"]
    rows = []
    for test in tests:
        row = [f"{test.comparison.a} − {test.b_name}", with_arrow(test.label, test.better), test.comparison.claim]
        row += [verdict(test), sample_size(test), significant(test.difference, "+"), p_value(test.p)]
        found, margin = test.over_data_sets, test.comparison.margin
        shares = DASH
        if found is not None and margin is not None:
            shares = ", ".join(number(share, ".3f") for share in (found.below, found.within, found.above))
        row += [p_value(test.p_holm), DASH if margin is None else significant(margin), shares]
        rows.append(row[: len(header)])
    return {"title": "Declared comparisons, by data set", "header": header, "rows": rows}


def _limits(results: Results, tests: list[Outcome]) -> str:
    """What so few data sets cannot show, and which tests could not be made."""
    from lit_ae import statistics

    n = len(results.profile.data_sets)
    said = [f"n is {n}, the number of data sets: more seeds make each value more exact but do not add to n."]
    if n >= 3:
        least, pairs = statistics.smallest_two_sided_p(n), max((_n_pairs(one) for one in results.rankings), default=1)
        enough = next(m for m in range(3, 100) if pairs * statistics.smallest_two_sided_p(m) <= ALPHA)
        reach = ", so that no two rows can be shown to differ by it, whatever the data" if least > ALPHA else ""
        said.append(
            f"What {n} data sets cannot show: Wilcoxon's test cannot give a p below {least:.3g}{reach}; after Holm's "
            f"correction over {pairs} pairs it takes {enough} data sets to reach 5 %."
        )
    by_reach: dict[tuple[float, int], list[str]] = {}  # (critical difference, rows) -> columns
    for one in results.rankings:
        if one.result is not None:
            by_reach.setdefault((one.result.critical_difference, one.result.k), []).append(_label(one))
    said += [
        f"By {listed(labels)} two rows differ by Nemenyi's test only if their mean ranks are {apart:.2f} apart, of "
        f"{k - 1} at most."
        for (apart, k), labels in by_reach.items()
    ]
    for one in results.rankings:
        if one.result is None:
            said.append(f"{_label(one)} is not tested: {one.why_not}.")
        gone = [name for name in results.profile.data_sets if name not in one.data]
        if gone:
            said.append(f"{_label(one)} is ranked without {listed(gone)}, where a row lacks seeds or has no value.")
    waiting = [test for test in tests if test.lacks]
    if waiting:
        said.append(
            f"{len(waiting)} of the declared comparisons wait for values that are not there.{command(results, waiting)}"
        )
    return " ".join(said)


def _n_pairs(ranking: Ranking) -> int:
    k = len(ranking.means)
    return max(1, k * (k - 1) // 2)
