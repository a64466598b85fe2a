"""The comparisons of a study as tables of plain strings, shared by every output format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

from lit_ae.report.captions import limits, tests_caption
from lit_ae.report.collect import metric_label
from lit_ae.report.data_set_tables import over_data_sets
from lit_ae.report.formats import DASH, number, p_value, significant, with_arrow
from lit_ae.report.samples import sources
from lit_ae.report.text import sample_size, verdict
from lit_ae.studies.data_sets import OnDataSets

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Reading, Results
    from lit_ae.statistics import SampleResult


WITH_MARGIN = ["margin", "TOST p", "Holm p of TOST", "P(below, within, above the margin)"]


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


def readings(results: Results) -> list[ReadingText]:
    """The comparisons' tables for each reading: of means by seed, of means over test samples, of variances."""
    if isinstance(results.study, OnDataSets):
        return [over_data_sets(results)]
    return [_reading(results, reading, k > 0) for k, reading in enumerate(results.readings)]


def _reading(results: Results, reading: Reading, only_first: bool) -> ReadingText:
    title = f"The first {len(reading.seeds)} seeds only, as published" if only_first else "All seeds"
    paired = [test for test in reading.tests if test.comparison.test == "paired"]
    means = [_paired_row(test) for test in paired if test.over_samples is None]
    samples = [_sample_row(test, test.over_samples) for test in paired if test.over_samples is not None]
    spreads = [_variance_row(test) for test in reading.tests if test.comparison.test == "variance"]
    tables: list[TableText] = []
    first = ["comparison", "metric", "claim", "result", "n"]
    if means:
        header = [*first, "difference", "95 % CI", "effect size", "detectable at 80 % power", "t-test p", "Holm p"]
        header += ["Wilcoxon p", "sign-flip p"]
        tables.append({"title": "Means, paired by seed", "header": header, "rows": means})
    pairs = [row for test in paired if test.over_samples is None for row in _pairs_row(test)]
    if pairs:
        header = ["comparison", "metric", "n", "P(first better), 95 % CI", "correlation over seeds", "Welch p"]
        if any(test.comparison.margin is not None for test in paired):
            header += WITH_MARGIN
        tables.append({"title": "The same pairs of seeds", "header": header, "rows": [r[: len(header)] for r in pairs]})
    if samples:
        header = [*first, "difference", "95 % CI", "effect size", "t-test p", "Holm p"]
        if any(test.comparison.margin is not None for test in paired if test.over_samples):
            header += WITH_MARGIN
        title = "Means over test samples, averaged over seeds"
        tables.append({"title": title, "header": header, "rows": [row[: len(header)] for row in samples]})
    if found := sources(results, reading):
        header = ["model", "metric", "seeds", "model noise", "test samples", "test-set noise"]
        rows = [
            [
                source.row,
                metric_label(results.study, source.metric),
                str(source.seeds),
                significant(source.over_seeds),
                f"{source.samples:,}",
                significant(source.over_samples),
            ]
            for source in found
        ]
        tables.append({"title": "Where the spread of a mean comes from", "header": header, "rows": rows})
    if spreads:
        header = [*first, "std", "ratio", "95 % CI of the ratio", "Brown–Forsythe p", "Holm p"]
        header += ["Pitman–Morgan p", "95 % CI of the ratio, paired"]
        tables.append({"title": "Variances across seeds", "header": header, "rows": spreads})
    return {
        "title": title,
        "tables": tables,
        "caption": tests_caption(results, reading),
        "limits": limits(results, reading),
    }


def _head(test: Outcome) -> list[str]:
    return [with_arrow(test.label, test.better), test.comparison.claim, verdict(test), sample_size(test)]


def _paired_row(test: Outcome) -> list[str]:
    head = [f"{test.comparison.a} − {test.b_name}", *_head(test)]
    result = test.paired
    if result is None:
        return [*head, significant(test.difference, "+"), *[DASH] * 7]
    return [
        *head,
        significant(result.mean_difference, "+"),
        _interval(result.ci_low, result.ci_high, "+"),
        number(result.effect_size, "+.2f"),
        significant(result.detectable),
        *map(p_value, (result.p, test.p_holm, result.wilcoxon_p, result.sign_flip_p)),
    ]


def _pairs_row(test: Outcome) -> list[list[str]]:
    """A row of further statistics of the pairs; none where there is no test."""
    result, higher = test.paired, test.higher
    if result is None or higher is None:
        return []
    probability, low, high = higher
    if test.better == "lower":
        probability, low, high = 1 - probability, 1 - high, 1 - low
    said = "higher: " if test.better == "none" else ""
    row = [
        f"{test.comparison.a} − {test.b_name}",
        with_arrow(test.label, test.better),
        str(result.n),
        f"{said}{number(probability, '.2f')} {_interval(low, high)}",
        number(result.correlation, "+.2f"),
        p_value(result.welch_p),
    ]
    return [[*row, *_margin_cells(test)]]


def _margin_cells(test: Outcome) -> list[str]:
    found = test.equivalence
    if found is None:
        return [DASH] * len(WITH_MARGIN)
    shares = ", ".join(number(share, ".3f") for share in (found.below, found.within, found.above))
    return [significant(found.margin), p_value(found.p), p_value(test.p_equivalence), shares]


def _sample_row(test: Outcome, result: SampleResult) -> list[str]:
    return [
        f"{test.comparison.a} − {test.b_name}",
        *_head(test),
        significant(result.mean_difference, "+"),
        _interval(result.ci_low, result.ci_high, "+"),
        number(result.effect_size, "+.2f"),
        p_value(result.p),
        p_value(test.p_holm),
        *_margin_cells(test),
    ]


def _variance_row(test: Outcome) -> list[str]:
    head = [f"{test.comparison.a} against {test.b_name}", *_head(test)]
    result, by_seed = test.unpaired_variance, test.paired_variance
    std_a, std_b = test.stds
    stds = DASH if math.isnan(std_a + std_b) else f"{significant(std_a)} against {significant(std_b)}"
    if result is None:
        return [*head, stds, *[DASH] * 6]
    return [
        *head,
        stds,
        significant(result.ratio),
        _interval(result.ratio_low, result.ratio_high),
        p_value(result.p),
        p_value(test.p_holm),
        p_value(by_seed.p) if by_seed else DASH,
        _interval(by_seed.ratio_low, by_seed.ratio_high) if by_seed else DASH,
    ]


def _interval(low: float, high: float, sign: str = "") -> str:
    return DASH if math.isnan(low) else f"[{significant(low, sign)}, {significant(high, sign)}]"
