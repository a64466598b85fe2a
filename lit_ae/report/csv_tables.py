"""The tables in long format for other programs, unrounded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lit_ae.report.gaps import left_out_of
from lit_ae.report.text import verdict
from lit_ae.studies.data_sets import OnDataSets

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Results

PAIRED = ("mean_difference", "ci_low", "ci_high", "effect_size", "detectable", "p", "wilcoxon_p", "sign_flip_p")
PAIRS = ("welch_p", "correlation")
EQUIVALENCE = ("margin", "p", "below", "within", "above")
SPREAD = ("std_a", "std_b", "ratio", "ratio_low", "ratio_high", "smallest_p")


def table_1_csv(results: Results) -> str:
    """Table 1; the difference is ours − published, empty if the published figure's definition is unknown."""
    rows = []
    for cell in results.cells.values():
        difference = math.nan if cell.unknown else cell.mean - cell.published
        numbers = _texts([cell.mean, cell.std, cell.n, cell.published, difference])
        rows.append(
            [cell.model, cell.column.metric, *numbers, cell.unknown, left_out_of(results, cell.model, cell.column)]
        )
    return _csv(
        ["model", "metric", "mean", "std", "n", "published", "difference", "unknown_definition", "left_out"], rows
    )


def comparisons_csv(results: Results) -> str:
    """All comparisons; a cell is empty if a test does not give that number, and `no_verdict` says why there is none."""
    header = ["seeds", "test", "metric", "a", "b", "b_metric", "n", "over", *PAIRED, "p_holm", *SPREAD]
    header += ["pitman_morgan_p", "paired_ratio_low", "paired_ratio_high"]
    header += [*PAIRS, "p_higher", "p_higher_low", "p_higher_high", "margin", "tost_p", "below", "within", "above"]
    header += ["tost_p_holm", "no_verdict", "claim"]
    rows = []
    for reading in results.readings:
        for test in reading.tests:
            declared, result = test.comparison, test.over_data_sets or test.of_means or test.unpaired_variance
            names = [declared.test, declared.metric, declared.a, declared.b, declared.metrics[1]]
            values = [
                *(getattr(result, name, math.nan) for name in PAIRED),
                test.p_holm,
                *(getattr(result, name, math.nan) for name in SPREAD),
                *(getattr(test.paired_variance, name, math.nan) for name in ("p", "ratio_low", "ratio_high")),
                *(getattr(result, name, math.nan) for name in PAIRS),
                *(test.higher or [math.nan] * 3),
                *_within_margin(test),
                test.p_equivalence,
            ]
            n, over = (test.n, "seeds") if test.over_samples is None else (test.over_samples.n, "test samples")
            if isinstance(results.study, OnDataSets):
                over = "data sets"
            if declared.test == "paired" and test.over_samples is None:
                values[0] = test.difference
            elif declared.test == "variance":
                values[len(PAIRED) + 1 : len(PAIRED) + 3] = test.stds
            why = verdict(test) if math.isnan(test.p) else ""
            rows.append([str(len(reading.seeds)), *names, str(n), over, *_texts(values), why, declared.claim])
    return _csv(header, rows)


def _within_margin(test: Outcome) -> list[float]:
    """Margin, p of the test of equivalence, and the posterior's shares below, within and above the margin."""
    over = test.over_data_sets
    if over is not None and over.margin is not None:
        return [over.margin, math.nan, over.below, over.within, over.above]
    return [getattr(test.equivalence, name, math.nan) for name in EQUIVALENCE]


def _texts(values: Iterable[float]) -> list[str]:
    return ["" if math.isnan(value) else str(value) for value in values]


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()
