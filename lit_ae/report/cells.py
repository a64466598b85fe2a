"""The cells of Table 1: a model's value of a column over its seeds, and the published figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lit_ae.report.collect import seed_values
from lit_ae.report.formats import number

if TYPE_CHECKING:
    from lit_ae.report.analyse import Results
    from lit_ae.studies.spec import Column, Study
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


def column_cell(study: Study, model: str, column: Column, runs: Mapping[int, Run]) -> Cell:
    """The cell of a model's runs."""
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


def best_rows(results: Results, column: Column) -> tuple[str, list[str]]:
    """The best mean as printed and the rows that have it (ties as printed); none if no row can be called the best.

    Rows on data of their own have another task and are left out, as are rows with fewer seeds than others.
    """
    models = results.study.models.items()
    cells = [results.cells[m, column.metric] for m, spec in models if results.profile_name not in spec.profile_data]
    most = max((cell.n for cell in cells), default=0)
    means = {cell.model: cell.mean for cell in cells if cell.n == most and not math.isnan(cell.mean)}
    if column.better == "none" or not column.mark_best or len(means) < 2:
        return "", []
    best = number(min(means.values()) if column.better == "lower" else max(means.values()), column.format)
    return best, [model for model, mean in means.items() if number(mean, column.format) == best]
