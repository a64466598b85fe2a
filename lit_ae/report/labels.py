"""Rows under the names that reports show."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from lit_ae.studies.spec import Study

T = TypeVar("T")


def relabelled(study: Study) -> Study:
    """The study with each row under its `label`, wherever a row is named; runs keep the row's own name."""
    names = {row: spec.label or row for row, spec in study.models.items()}
    if all(row == name for row, name in names.items()):
        return study

    def keyed(values: dict[str, T]) -> dict[str, T]:
        return {names[row]: value for row, value in values.items()}

    sweep = study.sweep and replace(
        study.sweep,
        lines={line: keyed(rows) for line, rows in study.sweep.lines.items()},
        references=[names[row] for row in study.sweep.references],
    )
    return replace(
        study,
        models={
            names[row]: replace(spec, start=names[spec.start] if spec.start else None)
            for row, spec in study.models.items()
        },
        comparisons=[comparison.renamed(names) for comparison in study.comparisons],
        published=keyed(study.published),
        figures=[replace(figure, models=[names[row] for row in figure.models]) for figure in study.figures],
        sweep=sweep,
    )
