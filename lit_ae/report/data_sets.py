"""Rows compared over data sets: the declared comparisons, and the ranking of all rows by each column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lit_ae.report.collect import metric_label, seed_values
from lit_ae.report.formats import listed
from lit_ae.studies.data_sets import OnDataSets

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome
    from lit_ae.report.collect import Collected
    from lit_ae.statistics import RankResult
    from lit_ae.studies.spec import Column, Comparison


@dataclass(frozen=True)
class Ranking:
    """All rows that have a column's metric, over the data sets on which each of them has it."""

    column: Column
    means: dict[str, dict[str, float]]  # row -> data set -> mean over seeds
    data: list[str]  # the data sets that are ranked
    result: RankResult | None
    why_not: str = ""  # why there is no test
    p_holm: float = math.nan  # of Friedman's test, after Holm's correction over all columns


def rankings(collected: Collected) -> list[Ranking]:
    """A ranking for each column that says which rows are better; none for a study on one data set."""
    from lit_ae.report.analyse import adjusted

    study = collected.study
    if not isinstance(study, OnDataSets):
        return []
    found = [_ranking(collected, study, c) for c in study.columns if c.better != "none" and c.mark_best]
    ps = adjusted([math.nan if one.result is None else one.result.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, ps, strict=True)]


def compared(collected: Collected) -> list[Outcome]:
    """The declared comparisons over data sets; none for a study on one data set."""
    study = collected.study
    return [_compared(collected, study, c) for c in study.over_data_sets] if isinstance(study, OnDataSets) else []


def _ranking(collected: Collected, study: OnDataSets, column: Column) -> Ranking:
    from lit_ae import statistics

    means = {row: _means(collected, places, column.metric) for row, places in study.rows.items()}
    means = {row: values for row, values in means.items() if values}
    data = [name for name in collected.profile.data_sets if all(name in values for values in means.values())]
    better = column.better
    assert better != "none"
    try:
        result = statistics.friedman_test([[means[row][name] for row in means] for name in data], better)
    except ValueError as error:
        return Ranking(column, means, data, None, str(error))
    return Ranking(column, means, data, result)


def _compared(collected: Collected, study: OnDataSets, comparison: Comparison) -> Outcome:
    from lit_ae import statistics
    from lit_ae.report.analyse import Outcome

    rows = comparison.a, comparison.b
    a, b = (_means(collected, study.rows[row], key) for row, key in zip(rows, comparison.metrics, strict=True))
    data = collected.profile.data_sets
    both = [name for name in data if name in a and name in b]
    result, why_not = None, ""
    if len(both) == len(data):
        try:
            values_a, values_b = ([found[name] for name in both] for found in (a, b))
            result = statistics.compare_over_data_sets(values_a, values_b, comparison.margin)
        except ValueError as error:  # too few data sets
            why_not = str(error)
    return Outcome(
        comparison=comparison,
        label=metric_label(study, comparison.metric),
        better=next((c.better for c in study.columns if c.metric == comparison.metric), "none"),
        b_name=metric_label(study, comparison.b_metric) if comparison.b_metric else comparison.b,
        n=len(both),
        paired=None,
        unpaired_variance=None,
        paired_variance=None,
        over_data_sets=result,
        difference=sum(a[name] - b[name] for name in both) / len(both) if both else math.nan,
        why_not=why_not,
        lacks="; ".join(
            dict.fromkeys(
                text
                for row, key, found in zip(rows, comparison.metrics, (a, b), strict=True)
                for text in _gaps(collected, row, key, [name for name in data if name not in found])
            )
        ),
        runs_missing=any(_runs_missing(collected, place) for row in rows for place in study.rows[row].values()),
    )


def _means(collected: Collected, places: Mapping[str, str], metric: str) -> dict[str, float]:
    """Data set -> mean of a row over its seeds, where all of these have a value."""
    found = {}
    for data, place in places.items():
        seeds = collected.study.seeds(place, collected.profile)
        values = seed_values(collected.runs[place], metric, seeds)
        if len(values) == len(seeds):
            found[data] = sum(values.values()) / len(values)
    return found


def _gaps(collected: Collected, row: str, metric: str, without: list[str]) -> list[str]:
    """Why a row has no mean on these data sets."""
    study = collected.study
    assert isinstance(study, OnDataSets)
    places = study.rows[row]
    gone = [name for name in without if name not in places or _runs_missing(collected, places[name])]
    no_value = [name for name in without if name not in gone]
    said = [f"{row} lacks seeds on {listed(gone)}"] if gone else []
    return said + ([f"{metric_label(study, metric)} of {row} has no value on {listed(no_value)}"] if no_value else [])


def _runs_missing(collected: Collected, place: str) -> bool:
    return any(seed not in collected.runs[place] for seed in collected.study.seeds(place, collected.profile))
