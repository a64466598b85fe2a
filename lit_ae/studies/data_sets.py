"""A profile with several data sets: every row once for each of them. And a profile with only some of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match
from lit_ae.studies.spec import Comparison, ModelSpec, Profile, Study


@dataclass(frozen=True)
class OnDataSets(Study):
    """A study of a profile with several data sets: the row AE becomes `AE on mnist`, `AE on digits`, ….

    Its comparisons are over data sets, and none of `comparisons`, which are over seeds.
    """

    rows: dict[str, dict[str, str]] = field(default_factory=dict)  # row as reports show it -> data set -> row of models
    over_data_sets: list[Comparison] = field(default_factory=list)  # of the rows as reports show them


def expanded(study: Study, profile: Profile) -> Study:
    """The study as that profile runs it; a study that has been expanded stays as it is."""
    if isinstance(study, OnDataSets):
        return study
    study = _with_rows(study, profile.rows) if profile.rows else study
    if isinstance(profile.data, str):
        return study
    names = {row: spec.label or row for row, spec in study.models.items()}
    models = {
        _on(row, data): _moved(spec, data, file, profile.name)
        for data, file in zip(profile.data_sets, profile.data, strict=True)
        for row, spec in study.models.items()
    }
    figures = [
        replace(figure, models=[_on(row, data) for data in profile.data_sets for row in figure.models])
        for figure in study.figures
    ]
    shown = {place: spec.label or place for place, spec in models.items()}
    settings = {each.name: getattr(study, each.name) for each in fields(study)}
    settings |= {"models": models, "figures": figures, "comparisons": []}
    return OnDataSets(
        **settings,
        rows={name: {data: shown[_on(row, data)] for data in profile.data_sets} for row, name in names.items()},
        over_data_sets=[comparison.renamed(names) for comparison in study.comparisons],
    )


def check_data_sets(study: Study, path: Path) -> None:
    """Refuse what has no meaning on several data sets, and rows that are not there.

    Raises:
        SettingError: as above.
    """
    for profile in study.profiles.values():
        where = f"{path}: profiles.{profile.name}"
        for row in profile.rows:
            if row not in study.models:
                near = near_match(row, list(study.models))
                raise SettingError(f"{where}.rows names the row {row!r}, which is not under models{near}")
        if profile.rows and study.sweep:
            raise SettingError(f"{where}.rows cannot be set in a study with a sweep, which needs all its rows")
        for row in profile.rows:
            start = study.models[row].start
            if start and start not in profile.rows:
                raise SettingError(f"{where}.rows lacks {start!r}, the start of {row!r}: add it")
        if isinstance(profile.data, str):
            continue
        if not profile.data or len(set(profile.data_sets)) != len(profile.data):
            raise SettingError(f"{where}.data must be a list of different data sets")
        own = [row for row, spec in study.models.items() if profile.name in spec.profile_data]
        refused = {
            "published": study.published,
            "sweep": study.sweep,
            "tune": study.tune,
            f"profiles.{profile.name}.published_seeds": profile.published_seeds,
            "a comparison of variances": any(comparison.test == "variance" for comparison in study.comparisons),
            f"profile_data of {', '.join(own)}": own,
        }
        for name, found in refused.items():
            if found:
                raise SettingError(
                    f"{where}.data has several data sets, which {name} is not for: leave one of both out"
                )


def _on(row: str, data: str) -> str:
    return f"{row} on {data}"


def _moved(spec: ModelSpec, data: str, file: str, profile: str) -> ModelSpec:
    """The row on that data set."""
    return replace(
        spec,
        profile_data={profile: file},
        start=_on(spec.start, data) if spec.start else None,
        label=_on(spec.label, data) if spec.label else "",
    )


def _with_rows(study: Study, rows: Iterable[str]) -> Study:
    """The study with these rows alone, and with those comparisons and figures that need no other."""
    kept = set(rows)
    return replace(
        study,
        models={row: spec for row, spec in study.models.items() if row in kept},
        comparisons=[c for c in study.comparisons if {c.a, c.b} <= kept],
        published={row: values for row, values in study.published.items() if row in kept},
        figures=[
            replace(f, models=[row for row in f.models if row in kept]) for f in study.figures if kept & {*f.models}
        ],
    )
