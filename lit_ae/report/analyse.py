"""Runs to numbers: the cells of Table 1 and the declared tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lit_ae.report.collect import Collected, metric_label, seed_values
from lit_ae.report.formats import number

if TYPE_CHECKING:
    from lit_ae.statistics import PairedResult, VarianceResult
    from lit_ae.studies.spec import Column, Comparison, Profile, Study
    from lit_ae.tracking import Run

ALPHA = 0.05  # significance level of every test in the report


@dataclass(frozen=True)
class Cell:
    """One model's value of one column over its seeds; mean, std (n - 1) and published are NaN if there is none."""

    model: str
    column: Column
    mean: float
    std: float
    n: int
    published: float
    excludes_published: bool = False  # the published figure lies outside the t interval of the mean

    @property
    def better_than_published(self) -> bool | None:
        """Whether our mean is the better one; None without a published figure, a direction, or a difference."""
        difference = self.mean - self.published
        if self.column.better == "none" or math.isnan(difference) or not difference:
            return None
        return difference < 0 if self.column.better == "lower" else difference > 0


@dataclass(frozen=True)
class Outcome:
    """A declared comparison and its tests; a result is None if it could not be computed."""

    comparison: Comparison
    label: str  # the metric's name in Table 1
    better: str  # of the metric's column: lower, higher or none
    b_name: str  # what row a is compared with: row b, or the baseline in a's own row
    n: int  # pairs of seeds, or the size of the smaller group
    paired: PairedResult | None
    unpaired_variance: VarianceResult | None
    paired_variance: VarianceResult | None
    p_holm: float = math.nan
    why_not: str = ""  # why the main test could not be computed

    @property
    def p(self) -> float:
        """The p-value in the family: paired t, or Brown-Forsythe for variances; NaN if not computable."""
        result = self.paired or self.unpaired_variance
        return result.p if result is not None else math.nan

    @property
    def is_significant(self) -> bool:
        """At 5 % after Holm's correction; False also for a test that could not be computed."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Reading:
    """All declared comparisons over one set of seeds: one family for Holm's correction."""

    seeds: tuple[int, ...]
    tests: list[Outcome]

    @property
    def ns(self) -> tuple[int, int]:
        """The smallest and the largest number of seeds among its tests."""
        found = [test.n for test in self.tests]
        return min(found, default=0), max(found, default=0)


@dataclass(frozen=True)
class Results(Collected):
    """What was collected and everything computed from it."""

    cells: dict[tuple[str, str], Cell]  # (model, metric)
    readings: list[Reading]


def analyse(collected: Collected) -> Results:
    """Compute every cell and test of a study."""
    study, runs = collected.study, collected.runs
    return Results(
        **vars(collected),
        cells={(model, c.metric): _cell(study, model, c, runs[model]) for model in runs for c in study.columns},
        readings=[_reading(study, runs, seeds) for seeds in _seed_sets(collected.profile)] if study.comparisons else [],
    )


def best_rows(results: Results, column: Column) -> tuple[str, list[str]]:
    """The best mean as printed and the rows that have it (ties as printed); none if no row can be called the best.

    Rows on data of their own have another task and are left out.
    """
    models = results.study.models.items()
    cells = [results.cells[m, column.metric] for m, spec in models if results.profile_name not in spec.profile_data]
    means = {cell.model: cell.mean for cell in cells if not math.isnan(cell.mean)}
    if column.better == "none" or not column.mark_best or len(means) < 2:
        return "", []
    best = number(min(means.values()) if column.better == "lower" else max(means.values()), column.format)
    return best, [model for model, mean in means.items() if number(mean, column.format) == best]


def _cell(study: Study, model: str, column: Column, runs: Mapping[int, Run]) -> Cell:
    from lit_ae import statistics

    values = list(seed_values(runs, column.metric).values())
    mean, std, n = statistics.mean_std(values) if values else (math.nan, math.nan, 0)
    published = study.published.get(model, {}).get(column.published or "", math.nan)
    return Cell(model, column, mean, std if n > 1 else math.nan, n, published, _excludes(values, published))


def _excludes(values: list[float], published: float) -> bool:
    """Whether a published figure, taken as exact, lies outside the 95 % t interval of the mean of our values."""
    from lit_ae import statistics

    try:
        low, high = statistics.confidence_interval(values, 1 - ALPHA)
    except ValueError:  # one seed, or no spread
        return False
    return not math.isnan(published) and not low <= published <= high


def _seed_sets(profile: Profile) -> list[tuple[int, ...]]:
    """All seeds; then as many as the published report had, if the profile says so and has more."""
    seeds = tuple(profile.seeds)
    published = profile.published_seeds
    return [seeds, seeds[:published]] if published and len(seeds) > published else [seeds]


def _reading(study: Study, runs: Mapping[str, Mapping[int, Run]], seeds: tuple[int, ...]) -> Reading:
    from lit_ae import statistics

    tests = [_test(study, comparison, runs, seeds) for comparison in study.comparisons]
    # A comparison that could not be computed still counts: the family is what was declared beforehand.
    corrected = statistics.holm([test.p if math.isfinite(test.p) else 1.0 for test in tests])
    return Reading(
        seeds,
        [replace(t, p_holm=p) if math.isfinite(t.p) else t for t, p in zip(tests, corrected, strict=True)],
    )


def _test(
    study: Study, comparison: Comparison, runs: Mapping[str, Mapping[int, Run]], seeds: tuple[int, ...]
) -> Outcome:
    from lit_ae import statistics

    a, b = (
        seed_values(runs.get(row, {}), metric, seeds)
        for row, metric in zip((comparison.a, comparison.b), comparison.metrics, strict=True)
    )
    common = a.keys() & b.keys()
    a_common, b_common = ({s: v for s, v in values.items() if s in common} for values in (a, b))
    paired = unpaired = by_seed = None
    why_not = ""
    try:
        if comparison.test == "paired":
            paired = statistics.paired_test(a_common, b_common)
        else:
            unpaired = statistics.variance_test_unpaired(a, b)
    except ValueError as error:  # too few seeds, or no spread
        why_not = str(error)
    if unpaired is not None:
        with suppress(ValueError):  # reported beside the other test if it can be computed
            by_seed = statistics.variance_test_paired(a_common, b_common)
    return Outcome(
        comparison=comparison,
        label=metric_label(study, comparison.metric),
        better=next((c.better for c in study.columns if c.metric == comparison.metric), "none"),
        b_name=metric_label(study, comparison.b_metric) if comparison.b_metric else comparison.b,
        n=len(common) if comparison.test == "paired" else min(len(a), len(b)),
        paired=paired,
        unpaired_variance=unpaired,
        paired_variance=by_seed,
        why_not=why_not,
    )
