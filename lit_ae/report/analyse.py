"""Runs to numbers: the cells of Table 1 and the declared tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lit_ae.report.cells import ALPHA, Cell, column_cell
from lit_ae.report.collect import Collected, metric_label, seed_values
from lit_ae.report.gaps import lacking
from lit_ae.report.samples import over_samples

if TYPE_CHECKING:
    from lit_ae.report.data_sets import Ranking
    from lit_ae.statistics import (
        DataSetsResult,
        EquivalenceResult,
        Improvement,
        PairedResult,
        SampleResult,
        VarianceResult,
    )
    from lit_ae.studies.spec import Comparison, Profile
    from lit_ae.tracking import Run

ANOTHER = 1e-4  # relative difference between losses of models that differ by more than rounding


@dataclass(frozen=True)
class Outcome:
    """A declared comparison and its tests; a result is None if it could not be computed."""

    comparison: Comparison
    label: str  # the metric's name in Table 1
    better: str  # of the metric's column: lower, higher or none
    b_name: str  # what row a is compared with: row b, or the baseline in a's own row
    n: int  # pairs of seeds, the size of the smaller group, or data sets
    paired: PairedResult | None
    unpaired_variance: VarianceResult | None
    paired_variance: VarianceResult | None
    over_samples: SampleResult | None = None  # instead of `paired`, whose spread says nothing here
    over_data_sets: DataSetsResult | None = None  # instead of `paired`, where the study has several data sets
    means: tuple[float, float] = (math.nan, math.nan)  # of a and of b over all their seeds
    difference: float = math.nan  # of the means over common seeds
    stds: tuple[float, float] = (math.nan, math.nan)  # of a and of b over all their seeds (n - 1)
    sizes: tuple[int, int] = (0, 0)  # numbers of all their seeds
    p_holm: float = math.nan
    equivalence: EquivalenceResult | None = None  # if a margin was declared
    p_equivalence: float = math.nan  # of it, after Holm's correction over all tests of equivalence
    higher: Improvement | None = None  # P(a > b) over pairs of seeds
    why_not: str = ""  # why the main test could not be computed
    lacks: str = ""  # the declared seeds that have no value, in words: the test waits for them
    runs_missing: bool = False  # running the study adds some of them

    @property
    def p(self) -> float:
        """The p-value in the family: paired t, Wilcoxon over data sets, or Brown-Forsythe; NaN if not computable."""
        result = self.over_data_sets or self.of_means or self.unpaired_variance
        return result.p if result is not None else math.nan

    @property
    def shift(self) -> float:
        """What has the sign of the difference that a significant test shows; NaN for a test of variances."""
        if self.over_data_sets is not None:
            return self.over_data_sets.signed_ranks
        return self.of_means.mean_difference if self.of_means is not None else math.nan

    @property
    def of_means(self) -> SampleResult | PairedResult | None:
        """The test of means over seeds or test samples that counts."""
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

    @property
    def is_equivalent(self) -> bool:
        """Whether the difference of means is shown to be within the margin, at 5 % after Holm's correction."""
        return self.p_equivalence < ALPHA


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
    rankings: list[Ranking]  # of all rows over data sets, where the study has several


def analyse(collected: Collected) -> Results:
    """Compute every cell and test of a study."""
    from lit_ae.report.data_sets import compared, rankings

    study, runs = collected.study, collected.runs
    readings = [_reading(collected, seeds) for seeds in _seed_sets(collected.profile)] if study.comparisons else []
    if over_data_sets := compared(collected):
        readings = [Reading(tuple(collected.profile.seeds), corrected(over_data_sets))]
    return Results(
        **vars(collected),
        cells={(model, c.metric): column_cell(study, model, c, runs[model]) for model in runs for c in study.columns},
        readings=readings,
        rankings=rankings(collected),
    )


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
    """The tests of a family with their p-values after Holm's correction; those of equivalence are another family.

    One that could not be computed still counts: the family is what was declared beforehand.
    """
    made = [replace(t, p_holm=p) for t, p in zip(tests, adjusted([test.p for test in tests]), strict=True)]
    places = [place for place, test in enumerate(made) if test.comparison.margin is not None]
    found = [made[place].equivalence for place in places]
    for place, p in zip(places, adjusted([math.nan if one is None else one.p for one in found]), strict=True):
        made[place] = replace(made[place], p_equivalence=p)
    return made


def adjusted(ps: list[float]) -> list[float]:
    """P-values after Holm's correction; NaN, which counts as 1, stays NaN."""
    from lit_ae import statistics

    adjusted = statistics.holm([p if math.isfinite(p) else 1.0 for p in ps])
    return [new if math.isfinite(p) else math.nan for p, new in zip(ps, adjusted, strict=True)]


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
    paired = unpaired = by_seed = by_sample = equivalence = higher = None
    why_not = ""
    try:
        if lacks:
            pass  # the test that was declared needs all its seeds
        elif comparison.test == "paired":
            rows = {comparison.a, comparison.b}
            anew = not comparison.b_metric and all(_trained_anew(runs[row], common) for row in rows)
            paired = statistics.paired_test(a_common, b_common, trained_anew=anew)
        else:
            unpaired = statistics.variance_test_unpaired(a, b)
    except ValueError as error:  # too few seeds, or no spread
        why_not = str(error)
    if comparison.test == "paired" and not lacks and len(common) > 1 and (paired is None or paired.constant_side):
        by_sample = over_samples(
            (runs[comparison.a], comparison.metrics[0], a), (runs[comparison.b], comparison.metrics[1], b)
        )
    if paired is not None and not paired.constant_side:
        higher = statistics.probability_higher(a_common, b_common)
    if comparison.margin is not None:
        if by_sample is not None:
            equivalence = statistics.equivalence_over_samples(by_sample, comparison.margin)
        elif higher is not None:
            equivalence = statistics.equivalence_test(a_common, b_common, comparison.margin)
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
        equivalence=equivalence,
        higher=higher,
        means=(_mean(a.values()), _mean(b.values())),
        difference=_mean(a_common[seed] - b_common[seed] for seed in common),
        stds=(_std(a.values()), _std(b.values())),
        sizes=(len(a), len(b)),
        why_not=why_not,
        lacks=lacks,
        runs_missing=runs_missing,
    )


def _trained_anew(runs: Mapping[int, Run], seeds: Iterable[int]) -> bool:
    """Whether a row's loss differs between seeds, so that an equal value of another metric is not that of one model."""
    losses = [runs[seed].metrics.get("test/loss", math.nan) for seed in seeds]
    known = len(losses) > 1 and all(map(math.isfinite, losses))
    return known and max(losses) - min(losses) > ANOTHER * max(map(abs, losses))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def _std(values: Iterable[float]) -> float:
    from lit_ae import statistics

    found = list(values)
    return statistics.mean_std(found)[1] if found else math.nan
