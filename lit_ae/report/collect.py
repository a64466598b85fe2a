"""Runs to numbers: what a study's report states, before any formatting."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lit_ae.config_files import near_match
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from lit_ae.stats import PairedResult, VarianceResult
    from lit_ae.study import Column, Comparison, Profile, Study
    from lit_ae.tracking import Run

Cards = list[tuple[str, str]]
ALPHA = 0.05  # of every test that the report reads


@dataclass(frozen=True)
class Cell:
    """One model's value of one column over its seeds; mean, std (n - 1), published are NaN where unknown."""

    model: str
    column: Column
    mean: float
    std: float
    n: int
    published: float


@dataclass(frozen=True)
class Outcome:
    """A declared comparison as computed; a result is None where it could not be had."""

    comparison: Comparison
    label: str  # the metric's name in Table 1
    b_name: str  # what row a is held against: row b, or the baseline in a's own row
    n: int  # pairs of seeds, or the smaller group
    paired: PairedResult | None
    unpaired_variance: VarianceResult | None
    paired_variance: VarianceResult | None
    p_holm: float = math.nan
    why_not: str = ""  # the main test could not be computed

    @property
    def p(self) -> float:
        """The p-value in the family: paired t, or Brown-Forsythe for variances; NaN if not computable."""
        result = self.paired or self.unpaired_variance
        return result.p if result is not None else math.nan


@dataclass(frozen=True)
class Reading:
    """All declared comparisons over one set of seeds: one family for Holm's correction."""

    seeds: tuple[int, ...]
    tests: list[Outcome]

    @property
    def ns(self) -> tuple[int, int]:
        """The smallest and the largest number of seeds that its tests rest on."""
        found = [test.n for test in self.tests]
        return min(found, default=0), max(found, default=0)


@dataclass(frozen=True)
class Results:
    """Everything that the report says, as numbers."""

    study: Study
    profile_name: str
    profile: Profile
    runs: dict[str, dict[int, Run]]  # model -> seed -> run, in the study's order
    cells: dict[tuple[str, str], Cell]  # (model, metric)
    readings: list[Reading]
    problems: list[str]  # missing runs and values that are no number
    protocol: Cards
    environment: Cards

    @property
    def all_runs(self) -> list[Run]:
        """The runs in the order of the table."""
        return [run for seeds in self.runs.values() for run in seeds.values()]


def collect(study: Study, profile_name: str) -> Results:
    """Read the newest finished run for each model × seed, trained with these settings, and compute every table.

    Raises:
        SettingError: unknown profile, no run at all, or a metric that no run logged.
    """
    from lit_ae import tracking
    from lit_ae.study import jobs

    profile = study.profile(profile_name)
    remedy = f"lit-ae study run experiments/{study.name}.yaml --profile {profile_name}"
    wanted = {(job.model, job.seed): job.fit_hash for job in jobs(study, profile)}
    runs: dict[str, dict[int, Run]] = {model: {} for model in study.models}
    others = set()
    for run in sorted(tracking.study_runs(study.name, profile_name), key=lambda run: (run.seed, run.start)):
        key = run.model, run.seed
        if run.status == "FINISHED" and key in wanted:
            if run.tags.get("fit_hash", wanted[key]) == wanted[key]:
                runs[run.model][run.seed] = run
            else:
                others.add(key)
    if not any(runs.values()):
        raise SettingError(f"study {study.name} has no finished run for profile {profile_name}: {remedy}")
    others -= {(model, seed) for model, own in runs.items() for seed in own}
    problems = [f"{len(others)} finished runs were trained with other settings and are left out"] if others else []
    problems += _missing(runs, {model: study.seeds(model, profile) for model in runs}, remedy)
    _check_metrics(study, runs, remedy if problems else None)
    problems += _not_finite(study, runs)
    return Results(
        study=study,
        profile_name=profile_name,
        profile=profile,
        runs=runs,
        cells={(model, c.metric): _cell(study, model, c, runs[model]) for model in runs for c in study.columns},
        readings=[_reading(study, runs, seeds) for seeds in _seed_sets(profile)] if study.comparisons else [],
        problems=problems,
        protocol=_cards(runs, "protocol.json"),
        environment=_cards(runs, "environment.json"),
    )


def metric_label(study: Study, metric: str) -> str:
    """The metric's name in Table 1, or its key where no column has it."""
    return next((column.label for column in study.columns if column.metric == metric), metric)


def seed_values(runs: Mapping[int, Run], metric: str, seeds: Iterable[int] | None = None) -> dict[int, float]:
    """Finite values seed -> metric, of these seeds or of all."""
    wanted = runs if seeds is None else [seed for seed in seeds if seed in runs]
    found = {seed: metric_value(runs[seed], metric) for seed in wanted}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def metric_value(run: Run, metric: str) -> float:
    """The last value of a metric, of KEY@5 the one of epoch 5; NaN where there is none."""
    key, _, epoch = metric.partition("@")
    if key not in run.metrics:
        return math.nan
    return dict(run.history(key)).get(int(epoch), math.nan) if epoch else run.metrics[key]


def differing(values: Mapping[str, Iterable[str]]) -> str:
    """One text for model -> values: the value alone where all models agree, else each with its models."""
    by_text: dict[str, list[str]] = {}
    for model, texts in values.items():
        distinct = " / ".join(dict.fromkeys(texts))
        if distinct:
            by_text.setdefault(distinct, []).append(model)
    if len(by_text) == 1 and all(any(True for _ in texts) for texts in values.values()):
        return next(iter(by_text))
    return "; ".join(f"{', '.join(models)}: {text}" for text, models in by_text.items())


def _missing(runs: Mapping[str, Mapping[int, Run]], wanted: Mapping[str, list[int]], remedy: str) -> list[str]:
    gaps = {model: [seed for seed in wanted[model] if seed not in own] for model, own in runs.items()}
    lost = sum(map(len, gaps.values()))
    if not lost:
        return []
    text = "; ".join(
        f"{model} seed{'s' if len(gap) > 1 else ''} {', '.join(map(str, gap))}" for model, gap in gaps.items() if gap
    )
    return [f"{lost} of {sum(map(len, wanted.values()))} runs are missing: {text}. To add them: {remedy}"]


def _check_metrics(study: Study, runs: Mapping[str, Mapping[int, Run]], missing_remedy: str | None) -> None:
    logged = {metric for own in runs.values() for run in own.values() for metric in run.metrics}
    named = [("columns", column.metric) for column in study.columns if not column.optional]
    named += [("comparisons", metric) for comparison in study.comparisons for metric in comparison.metrics]
    if study.sweep:
        drawn = [*study.sweep.metrics, *(metric for pair in study.sweep.against.items() for metric in pair)]
        named += [("sweep", metric) for metric in drawn]
    for where, name in named:
        metric = name.partition("@")[0]
        if metric not in logged:
            lost = f"; some runs are missing: {missing_remedy}" if missing_remedy else ""
            near = near_match(metric, sorted(logged))
            raise SettingError(f"{where}: no run of study {study.name} logged {metric!r}{near}{lost}")


def _not_finite(study: Study, runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    return [
        f"{column.label} of {model}, seed {seed}, is {run.metrics[column.metric]} and is left out"
        for column in study.columns
        for model, own in runs.items()
        for seed, run in own.items()
        if not math.isfinite(run.metrics.get(column.metric, 0.0))
    ]


def _cell(study: Study, model: str, column: Column, runs: Mapping[int, Run]) -> Cell:
    from lit_ae import stats

    values = list(seed_values(runs, column.metric).values())
    mean, std, n = stats.mean_std(values) if values else (math.nan, math.nan, 0)
    published = study.published.get(model, {}).get(column.published or "", math.nan)
    return Cell(model, column, mean, std if n > 1 else math.nan, n, published)


def _seed_sets(profile: Profile) -> list[tuple[int, ...]]:
    """All seeds; then as many as the published report had, where the profile says so and has more."""
    seeds = tuple(profile.seeds)
    published = profile.published_seeds
    return [seeds, seeds[:published]] if published and len(seeds) > published else [seeds]


def _reading(study: Study, runs: Mapping[str, Mapping[int, Run]], seeds: tuple[int, ...]) -> Reading:
    from lit_ae import stats

    tests = [_test(study, comparison, runs, seeds) for comparison in study.comparisons]
    # A comparison that could not be computed still counts: the family is what was declared beforehand.
    corrected = stats.holm([test.p if math.isfinite(test.p) else 1.0 for test in tests])
    return Reading(
        seeds,
        [replace(t, p_holm=p) if math.isfinite(t.p) else t for t, p in zip(tests, corrected, strict=True)],
    )


def _test(
    study: Study, comparison: Comparison, runs: Mapping[str, Mapping[int, Run]], seeds: tuple[int, ...]
) -> Outcome:
    from lit_ae import stats

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
            paired = stats.paired_test(a_common, b_common)
        else:
            unpaired = stats.variance_test_unpaired(a, b)
    except ValueError as error:  # too few seeds, or no spread
        why_not = str(error)
    if unpaired is not None:
        with suppress(ValueError):  # stands beside the other and may be absent
            by_seed = stats.variance_test_paired(a_common, b_common)
    n = len(common) if comparison.test == "paired" else min(len(a), len(b))
    label = metric_label(study, comparison.metric)
    b_name = metric_label(study, comparison.b_metric) if comparison.b_metric else comparison.b
    return Outcome(comparison, label, b_name, n, paired, unpaired, by_seed, why_not=why_not)


def _cards(runs: Mapping[str, Mapping[int, Run]], path: str) -> Cards:
    """A flat JSON artifact merged over all runs, in order of first appearance."""
    texts: dict[str, dict[str, list[str]]] = {}
    for model, own in runs.items():
        for run in own.values():
            local = run.artifact(path)
            for key, value in json.loads(local.read_text("utf-8")).items() if local else ():
                texts.setdefault(key, {name: [] for name in runs if runs[name]})[model].append(_text(value))
    return [(key, differing(by_model)) for key, by_model in texts.items()]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
