"""The tables in long format for other programs, unrounded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_ae.report.analyse import Results

PAIRED = ("mean_difference", "ci_low", "ci_high", "effect_size", "detectable", "p", "wilcoxon_p", "sign_flip_p")
SPREAD = ("std_a", "std_b")


def table_1_csv(results: Results) -> str:
    """Table 1; the difference is ours − published."""
    rows = [
        [cell.model, cell.column.metric]
        + _texts([cell.mean, cell.std, cell.n, cell.published, cell.mean - cell.published])
        for cell in results.cells.values()
    ]
    return _csv(["model", "metric", "mean", "std", "n", "published", "difference"], rows)


def comparisons_csv(results: Results) -> str:
    """All comparisons; a cell is empty if a test does not give that number."""
    header = ["seeds", "test", "metric", "a", "b", "b_metric", "n", *PAIRED, "p_holm", *SPREAD, "pitman_morgan_p"]
    rows = []
    for reading in results.readings:
        for test in reading.tests:
            declared, result = test.comparison, test.paired or test.unpaired_variance
            names = [declared.test, declared.metric, declared.a, declared.b, declared.metrics[1]]
            values = [
                *(getattr(result, name, math.nan) for name in PAIRED),
                test.p_holm,
                *(getattr(result, name, math.nan) for name in SPREAD),
                test.paired_variance.p if test.paired_variance else math.nan,
            ]
            rows.append([str(len(reading.seeds)), *names, str(test.n), *_texts(values)])
    return _csv(header, rows)


def _texts(values: Iterable[float]) -> list[str]:
    return ["" if math.isnan(value) else str(value) for value in values]


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()
