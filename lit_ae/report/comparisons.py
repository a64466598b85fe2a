"""Tests to text: the comparisons' tables, what they show, and what so few seeds cannot show."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, TypedDict

from lit_ae.report.collect import ALPHA, seed_values
from lit_ae.report.tables import DASH, best_rows, number, p_value, seeds_text, significant

if TYPE_CHECKING:
    from lit_ae.report.collect import Outcome, Reading, Results


LEADERS = 3  # columns that the answer names where nothing is tested


class TableText(TypedDict):
    """A plain table."""

    title: str
    header: list[str]
    rows: list[list[str]]


class ReadingText(TypedDict):
    """The comparisons over one set of seeds."""

    title: str
    tables: list[TableText]
    caption: str
    limits: str


def verdict(test: Outcome) -> str:
    """What the test shows at 5 % after Holm's correction, in a few words."""
    if math.isnan(test.p):
        return f"not computable: {test.why_not}"
    if test.p_holm >= ALPHA:
        return "no difference shown"
    a = test.comparison.a
    if test.paired is not None:
        return f"{a} {'higher' if test.paired.mean_difference > 0 else 'lower'}"
    assert test.unpaired_variance is not None
    return f"{a} varies {'more' if test.unpaired_variance.std_a > test.unpaired_variance.std_b else 'less'}"


def readings(results: Results) -> list[ReadingText]:
    """The comparisons' tables, one pair (means, variances) for each reading."""
    return [_reading(reading, k > 0) for k, reading in enumerate(results.readings)]


def _reading(reading: Reading, only_first: bool) -> ReadingText:
    n = len(reading.seeds)
    title = f"The first {n} seeds only, as published" if only_first else "All seeds"
    means = [_paired_row(test) for test in reading.tests if test.comparison.test == "paired"]
    spreads = [_variance_row(test) for test in reading.tests if test.comparison.test == "variance"]
    tables: list[TableText] = []
    first = ["comparison", "metric", "claim", "at 5 %"]
    if means:
        header = [*first, "n", "difference", "95 % CI", "effect size", "found at 80 % power", "t-test p", "Holm p"]
        header += ["Wilcoxon p", "sign-flip p"]
        tables.append({"title": "Means, paired by seed", "header": header, "rows": means})
    if spreads:
        header = [*first, "n", "std", "Brown–Forsythe p", "Holm p", "Pitman–Morgan p"]
        tables.append({"title": "Variances across seeds", "header": header, "rows": spreads})
    family = len(reading.tests)
    caption = (
        f"Holm's correction runs over the whole family of {family} comparisons declared in the study file. "
        "Difference: first minus second model, mean over seeds, with its t interval; effect size: that mean "
        "over the standard deviation of the differences (d_z), with Hedges' correction; found at 80 % power: the least "
        "true difference that the t-test, uncorrected, would find in four of five such studies, the spread being as "
        "measured; sign-flip: exact permutation test; Pitman–Morgan: variances paired by seed. “At 5 %” "
        "reads the Holm p."
    )
    return {"title": title, "tables": tables, "caption": caption, "limits": limits(reading)}


def _head(test: Outcome) -> list[str]:
    return [test.label, test.comparison.claim, verdict(test), str(test.n)]


def _paired_row(test: Outcome) -> list[str]:
    head = [f"{test.comparison.a} − {test.b_name}", *_head(test)]
    result = test.paired
    if result is None:
        return [*head, *[DASH] * 8]
    interval = f"[{significant(result.ci_low, '+')}, {significant(result.ci_high, '+')}]"
    return [
        *head,
        significant(result.mean_difference, "+"),
        DASH if math.isnan(result.ci_low) else interval,
        number(result.effect_size, "+.2f"),
        significant(result.detectable),
        *map(p_value, (result.p, test.p_holm, result.wilcoxon_p, result.sign_flip_p)),
    ]


def _variance_row(test: Outcome) -> list[str]:
    head = [f"{test.comparison.a} against {test.b_name}", *_head(test)]
    result, by_seed = test.unpaired_variance, test.paired_variance
    if result is None:
        return [*head, *[DASH] * 4]
    return [
        *head,
        f"{significant(result.std_a)} against {significant(result.std_b)}",
        *map(p_value, (result.p, test.p_holm, by_seed.p if by_seed else math.nan)),
    ]


def limits(reading: Reading) -> str:
    """What so few seeds cannot show, in plain words: the fewest that a test of means, or of variances, rests on.

    Floors of the exact tests, power of the paired t-test at d_z = 1, 95 % interval of a
    standard deviation (χ²).
    """
    from scipy.stats import chi2

    from lit_ae import stats

    family = len(reading.tests)
    pairs, group = (
        min((test.n for test in reading.tests if test.comparison.test == kind and test.n > 1), default=0)
        for kind in ("paired", "variance")
    )
    if not pairs and not group:
        return "Fewer than two seeds show no spread, so no test can be made."
    said = []
    if pairs:
        floor = stats.smallest_two_sided_p(pairs)
        text = f"the Wilcoxon and sign-flip tests cannot give a p below {floor:.3g}"
        if floor > ALPHA:
            text += ", so neither can ever reach 5 %, whatever the data"
        elif floor * family > ALPHA:
            text += f", which is {min(1.0, floor * family):.3g} after correction for {family} comparisons"
        missed = 100 * (1 - stats.power(pairs, 1.0))
        said.append(text)
        said.append(
            "the t-test can go lower only by taking the differences as normal, and misses a true mean "
            f"difference of one standard deviation in {missed:.0f} % of studies even before correction"
        )
    if group:
        low, high = (math.sqrt((group - 1) / chi2.ppf(q, group - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
        said.append(
            f"a true standard deviation may lie anywhere from {low:.2g} to {high:.2g} times the one measured "
            "(95 % interval, normal data)"
        )
    fewest = min(n for n in (pairs, group) if n)
    return f"What {fewest} seeds cannot show: {'; '.join(said)}. “No difference shown” is not “equal”."


def answer(results: Results) -> str:
    """One sentence made from the numbers: what the declared comparisons show, and which show nothing.

    Without a test that can be made it says what was measured; where none was declared, which row is best.
    """
    if not results.readings:
        return f"{_leaders(results)}; no comparison was declared, so none of this is tested."
    reading = results.readings[0]
    fewest, most = reading.ns
    if most < 2:
        return f"{_measured(results)}; a single seed cannot tell any of this from chance."
    shown = [_finding(test) for test in reading.tests if test.p_holm < ALPHA]
    others = [
        f"{test.comparison.a} and {test.b_name} in {test.label}" for test in reading.tests if not test.p_holm < ALPHA
    ]
    count = f"{len(shown)} of {len(reading.tests)} declared comparisons" if shown else "no declared comparison"
    text = f"With {seeds_text(fewest, most)}, {count} can be told from chance at 5 % after Holm's correction"
    if shown:
        text += f": {'; '.join(shown)}"
    if others:
        text += f"; no difference shown: {'; '.join(others)}"
    return text + "."


def _leaders(results: Results) -> str:
    columns = [column for column in results.study.columns if column.better != "none"]
    best = [(column, *best_rows(results, column)) for column in columns]
    said = [
        f"{'lowest' if column.better == 'lower' else 'highest'} {column.label}: {', '.join(models)} ({value})"
        for column, value, models in best
        if models
    ]
    return f"As measured, {'; '.join(said[:LEADERS])}" if said else "As the table shows"


def _measured(results: Results) -> str:
    said = []
    for test in results.readings[0].tests:
        declared = test.comparison
        sides = zip((declared.a, declared.b), declared.metrics, strict=True)
        values = [list(seed_values(results.runs[row], metric).values()) for row, metric in sides]
        if declared.test == "paired" and all(values):
            a, b = (significant(sum(own) / len(own)) for own in values)
            said.append(f"{test.label} is {a} for {declared.a} and {b} for {test.b_name}")
    return f"As measured, {'; '.join(said)}" if said else _leaders(results)


def comparisons_csv(results: Results) -> str:
    """All comparisons in long format, unrounded; a cell is empty where a test does not give that number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    paired = ("mean_difference", "ci_low", "ci_high", "effect_size", "detectable", "p", "wilcoxon_p", "sign_flip_p")
    spread = ("std_a", "std_b")
    writer.writerow(
        ["seeds", "test", "metric", "a", "b", "b_metric", "n", *paired, "p_holm", *spread, "pitman_morgan_p"]
    )
    for reading in results.readings:
        for test in reading.tests:
            declared, result = test.comparison, test.paired or test.unpaired_variance
            by_seed = test.paired_variance.p if test.paired_variance else math.nan
            values = [
                *(getattr(result, name, math.nan) for name in paired),
                test.p_holm,
                *(getattr(result, name, math.nan) for name in spread),
                by_seed,
            ]
            texts = ["" if math.isnan(value) else str(value) for value in values]
            head = [
                len(reading.seeds),
                declared.test,
                declared.metric,
                declared.a,
                declared.b,
                declared.metrics[1],
                test.n,
            ]
            writer.writerow([*head, *texts])
    return out.getvalue()


def _finding(test: Outcome) -> str:
    p = f"Holm p {'' if test.p_holm < 0.001 else '= '}{p_value(test.p_holm)}"
    a, b = test.comparison.a, f"{'' if test.comparison.b_metric else 'for '}{test.b_name}"
    if test.paired is not None:
        difference = test.paired.mean_difference
        word = "higher" if difference > 0 else "lower"
        return f"{test.label} is {word} for {a} than {b} by {significant(abs(difference))} ({p})"
    assert test.unpaired_variance is not None
    result = test.unpaired_variance
    word = "more" if result.std_a > result.std_b else "less"
    spreads = f"std {significant(result.std_a)} against {significant(result.std_b)}"
    return f"{test.label} varies {word} for {a} than {b} ({spreads}, {p})"
