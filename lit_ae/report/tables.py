"""Table 1 and the published figures as plain strings, shared by every output format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

from lit_ae.report.cells import best_rows
from lit_ae.report.formats import DASH, mean_std, number, with_arrow

if TYPE_CHECKING:
    from lit_ae.report.analyse import Results
    from lit_ae.report.cells import Cell


class CellText(TypedDict):
    """A cell of Table 1; `few` gives n if it is less than the seeds; empty texts if there is nothing."""

    text: str  # with a dagger if the row differs significantly from another in a declared comparison
    few: str
    published: str  # with a question mark if its definition is unknown
    best: bool


class RowText(TypedDict):
    """A row of Table 1."""

    model: str
    cells: list[CellText]


class ColumnText(TypedDict):
    """A column of Table 1."""

    label: str
    better: str  # lower, higher or none


class PublishedText(TypedDict):
    """One of our figures and the published one; `difference` is ours - published."""

    model: str
    metric: str
    ours: str
    published: str
    difference: str  # with a dagger if our prediction interval does not contain the published figure
    ours_is: str  # better, worse, why the figures cannot be compared, or a dash if nothing can be said


def columns(results: Results) -> list[ColumnText]:
    """The columns of Table 1."""
    return [{"label": column.label, "better": column.better} for column in results.study.columns]


def table_1(results: Results) -> list[RowText]:
    """Rows of Table 1: models × columns, the best mean of each column marked (as its `better` says)."""
    seeds = len(results.profile.seeds)
    best = {column.metric: best_rows(results, column)[1] for column in results.study.columns}
    tests = results.readings[0].tests if results.readings else []
    significant_cells = {(t.comparison.a, t.comparison.metric) for t in tests if t.is_significant}
    rows: list[RowText] = []
    for model in results.runs:
        texts: list[CellText] = []
        for column in results.study.columns:
            cell = results.cells[model, column.metric]
            dagger = "†" if (model, column.metric) in significant_cells else ""
            texts.append(
                {
                    "text": mean_std(cell.mean, cell.std, column.format) + dagger,
                    "few": f"n = {cell.n}" if 0 < cell.n < seeds else "",
                    "published": _published(cell),
                    "best": model in best[column.metric],
                }
            )
        rows.append({"model": model, "cells": texts})
    return rows


def beside_published(results: Results) -> list[PublishedText]:
    """Every figure of ours for which its column has a published one, with the difference.

    The dagger marks a published figure, taken as that of one run, outside the 95 % prediction interval of ours.
    """
    rows: list[PublishedText] = []
    for cell in results.cells.values():
        if math.isnan(cell.published) or not cell.n:
            continue
        column, better = cell.column, cell.better_than_published
        difference = DASH if cell.unknown else number(cell.mean - cell.published, f"+{column.format}")
        words = (
            f"not comparable: {cell.unknown}" if cell.unknown else {None: DASH, True: "better", False: "worse"}[better]
        )
        rows.append(
            {
                "model": cell.model,
                "metric": with_arrow(column.label, column.better),
                "ours": mean_std(cell.mean, cell.std, column.format) + (f" (n = {cell.n})" if cell.n == 1 else ""),
                "published": _published(cell),
                "difference": difference + ("†" if cell.excludes_published else ""),
                "ours_is": words,
            }
        )
    return rows


def _published(cell: Cell) -> str:
    if math.isnan(cell.published):
        return ""
    return number(cell.published, cell.column.format) + ("?" if cell.unknown else "")
