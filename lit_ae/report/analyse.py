"""Runs to numbers: the cells of Table 1 and the declared tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lit_ae.report.collect import Collected, metric_label, seed_values
from lit_ae.report.formats import number
from lit_ae.report.gaps import lacking
from lit_ae.report.samples import over_samples

if TYPE_CHECKING:
    from lit_ae.statistics import PairedResult, SampleResult, VarianceResult
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
    unknown: str = ""  # why it is not known what the published figure measured; empty if it is
    excludes_published: bool = False  # the published figure lies outside the prediction interval of one further run
    constant: bool = False  # the values of several seeds are all equal

    @property
    def better_than_published(self) -> bool | None:
        """Whether our mean is the better one.

        None without a difference, a direction, or a published figure whose definition is known.
        """
        difference = self.mean - self.published
        if self.column.better == "none" or self.unknown or math.isnan(difference) or not difference:
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
    over_samples: SampleResult | None = None  # instead of `paired`, whose spread says nothing here
    means: tuple[float, float] = (math.nan, math.nan)  # of a and of b over all their seeds
    difference: float = math.nan  # of the means over common seeds
    stds: tuple[float, float] = (math.nan, math.nan)  # of a and of b over all their seeds (n - 1)
    p_holm: float = math.nan
    why_not: str = ""  # why the main test could not be computed
    lacks: str = ""  # the declared seeds that have no value, in words: the test waits for them
    runs_missing: bool = False  # running the study adds some of them

    @property
    def p(self) -> float:
        """The p-value in the family: paired t, or Brown-Forsythe for variances; NaN if not computable."""
        result = self.of_means or self.unpaired_variance
        return result.p if result is not None else math.nan

    @property
    def of_means(self) -> SampleResult | PairedResult | None:
        """The test of means that counts."""
        return self.over_samples or self.paired

    @property
    def constant_name(self) -> str:
        """The side that is the same for every seed, so that no test is made; empty if there is none."""
        side = self.paired.constant_side if self.paired is not None and self.over_samples is None else ""
        return {"": "", "a": self.comparison.a, "b": self.b_name}[side]

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
        """The smallest and the largest number of seeds among the tests that were made, or else among all."""
        found = [test.n for test in self.tests if math.isfinite(test.p)] or [test.n for test in self.tests]
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
        readings=[_reading(collected, seeds) for seeds in _seed_sets(collected.profile)] if study.comparisons else [],
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
    key = column.published or ""
    published = study.published.get(model, {}).get(key, math.nan)
    unknown = "" if math.isnan(published) else study.unknown_definitions.get(key, "")
    return cell(model, column, list(seed_values(runs, column.metric).values()), published, unknown)


def cell(model: str, column: Column, values: list[float], published: float, unknown: str) -> Cell:
    """The cell of these values over seeds, compared with the published figure if its definition is known."""
    from lit_ae import statistics

    mean, std, n = statistics.mean_std(values) if values else (math.nan, math.nan, 0)
    made = Cell(model, column, mean, std if n > 1 else math.nan, n, published, unknown)
    try:
        low, high = statistics.prediction_interval(values, 1 - ALPHA)
    except ValueError:  # one seed, or no spread
        return replace(made, constant=n > 1)
    return replace(made, excludes_published=not unknown and not math.isnan(published) and not low <= published <= high)


def _seed_sets(profile: Profile) -> list[tuple[int, ...]]:
    """All seeds; then as many as the published report had, if the profile says so and has more."""
    seeds = tuple(profile.seeds)
    published = profile.published_seeds
    return [seeds, seeds[:published]] if published and len(seeds) > published else [seeds]


def _reading(collected: Collected, seeds: tuple[int, ...]) -> Reading:
    return Reading(
        seeds, corrected([_test(collected, comparison, seeds) for comparison in collected.study.comparisons])
    )


def corrected(tests: list[Outcome]) -> list[Outcome]:
    """The tests of a family with their p-values after Holm's correction.

    One that could not be computed still counts: the family is what was declared beforehand.
    """
    from lit_ae import statistics

    adjusted = statistics.holm([test.p if math.isfinite(test.p) else 1.0 for test in tests])
    return [replace(t, p_holm=p) if math.isfinite(t.p) else t for t, p in zip(tests, adjusted, strict=True)]


def _test(collected: Collected, comparison: Comparison, seeds: tuple[int, ...]) -> Outcome:
    from lit_ae import statistics

    study, runs = collected.study, collected.runs
    a, b = (
        seed_values(runs.get(row, {}), metric, [seed for seed in declared if seed in seeds])
        for row, metric, declared in zip(
            (comparison.a, comparison.b),
            comparison.metrics,
            study.declared_seeds(comparison, collected.profile),
            strict=True,
        )
    )
    common = a.keys() & b.keys()
    a_common, b_common = ({s: v for s, v in values.items() if s in common} for values in (a, b))
    lacks, runs_missing = lacking(collected, comparison, seeds)
    paired = unpaired = by_seed = by_sample = None
    why_not = ""
    try:
        if lacks:
            pass  # the test that was declared needs all its seeds
        elif comparison.test == "paired":
            paired = statistics.paired_test(a_common, b_common)
        else:
            unpaired = statistics.variance_test_unpaired(a, b)
    except ValueError as error:  # too few seeds, or no spread
        why_not = str(error)
    if comparison.test == "paired" and not lacks and len(common) > 1 and (paired is None or paired.constant_side):
        by_sample = over_samples(
            (runs[comparison.a], comparison.metrics[0], a), (runs[comparison.b], comparison.metrics[1], b)
        )
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
        over_samples=by_sample,
        means=(_mean(a.values()), _mean(b.values())),
        difference=_mean(a_common[seed] - b_common[seed] for seed in common),
        stds=(_std(a.values()), _std(b.values())),
        why_not=why_not,
        lacks=lacks,
        runs_missing=runs_missing,
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def _std(values: Iterable[float]) -> float:
    from lit_ae import statistics

    found = list(values)
    return statistics.mean_std(found)[1] if found else math.nan
