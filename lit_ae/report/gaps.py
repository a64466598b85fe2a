"""What is not there and why: scores that runs left out, and values that a declared comparison waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_ae.report.collect import metric_label, seed_values
from lit_ae.report.formats import seed_names
from lit_ae.tracking.left_out import why_left_out

if TYPE_CHECKING:
    from lit_ae.report.collect import Collected
    from lit_ae.studies.spec import Column, Comparison


def left_out_scores(collected: Collected) -> list[str]:
    """A sentence for each score that runs left out and each reason, with the rows and, if not all, their seeds."""
    rows: dict[tuple[str, str], dict[str, list[int]]] = {}
    for model, by_seed in collected.left_out.items():
        for seed, scores in by_seed.items():
            for score, why in scores.items():
                rows.setdefault((score, why), {}).setdefault(model, []).append(seed)
    said = []
    for (score, why), by_model in rows.items():
        names = [
            model if len(seeds) == len(collected.runs[model]) else f"{model} ({seed_names(seeds)})"
            for model, seeds in by_model.items()
        ]
        label = next((c.label for c in collected.study.columns if score in _names(c.metric)), score)
        said.append(f"{label} was left out of {', '.join(names)}: {why.rstrip('.')}.")
    return said


def left_out_of(collected: Collected, model: str, column: Column) -> str:
    """Why runs of a row left out the score of a column; empty if none did."""
    scores = collected.left_out.get(model, {}).values()
    return "; ".join(dict.fromkeys(why for why in (why_left_out(own, column.metric) for own in scores) if why))


def lacking(collected: Collected, comparison: Comparison, seeds: tuple[int, ...]) -> tuple[str, bool]:
    """The declared values among these seeds that a comparison does not have, in words, and whether runs are missing."""
    declared = collected.study.declared_seeds(comparison, collected.profile)
    not_run: dict[tuple[int, ...], list[str]] = {}
    without: dict[tuple[str, str, str], list[int]] = {}
    sides = dict.fromkeys(zip((comparison.a, comparison.b), comparison.metrics, map(tuple, declared), strict=True))
    for row, metric, wanted in sides:
        runs = collected.runs.get(row, {})
        here = [seed for seed in wanted if seed in seeds]
        gone = tuple(seed for seed in here if seed not in runs)
        if gone and row not in not_run.setdefault(gone, []):
            not_run[gone].append(row)
        values = seed_values(runs, metric, here)
        for seed in here:
            if seed in runs and seed not in values:
                why = why_left_out(collected.left_out.get(row, {}).get(seed, {}), metric)
                label = metric_label(collected.study, metric)
                without.setdefault((label, row, why), []).append(seed)
    said = [f"{' and '.join(rows)} lack{'s' if len(rows) == 1 else ''} {seed_names(g)}" for g, rows in not_run.items()]
    said += [
        f"{label} of {row} has no value for {seed_names(gap)}{f' ({why})' if why else ''}"
        for (label, row, why), gap in without.items()
    ]
    return "; ".join(said), bool(not_run)


def _names(metric: str) -> tuple[str, str]:
    """A metric's name with its stage and without it."""
    return metric, metric.partition("/")[2]
