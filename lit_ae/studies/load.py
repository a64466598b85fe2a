"""experiments/NAME.yaml read and checked."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lit_ae.errors import SettingError
from lit_ae.settings.files import config_file, experiment_folder
from lit_ae.settings.names import require_different_files, require_plain
from lit_ae.settings.suggestions import near_match
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.studies.data_sets import check_data_sets
from lit_ae.studies.spec import (
    Column,
    Comparison,
    FigureSpec,
    ModelSpec,
    Note,
    Profile,
    Range,
    Study,
    Sweep,
    Tune,
    TunedOn,
)
from lit_ae.studies.tuning_rules import check_tuning

PARTS: tuple[Any, ...] = (Profile, ModelSpec, Column, Comparison, FigureSpec, Sweep, Note, Range, Tune, TunedOn, Study)


def load_study(path: Path, given: Path | None = None) -> Study:
    """Read and check an experiment file.

    Args:
        path: the file.
        given: the path or short name by which the user named it, for commands in messages; None: the path.

    Raises:
        SettingError: the file is missing or not YAML, a key is unknown, missing or of the wrong type, or a row or
            profile is named that the file does not define.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    raw = read_yaml(path)
    if not isinstance(raw, Mapping):
        example = experiment_folder() / "stochastic.yaml"
        raise SettingError(f"{path} does not hold settings (KEY: VALUE): see {example} for the keys")
    for cls in PARTS:
        cls.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        study = TypeAdapter(Study).validate_json(json.dumps(_completed(raw, path.parent), default=str), strict=True)
    except ValidationError as error:
        unknown = "unexpected_keyword_argument"
        first = min(error.errors(), key=lambda found: found["type"] != unknown)  # it explains what is missing, too
        where = ".".join(str(part) for part in first["loc"])
        if isinstance(raw.get("tune"), Mapping):  # one search, which became a list of one
            where = where.replace("tune.0", "tune", 1)
        if first["type"] == unknown:
            known = sorted({f.name for cls in PARTS for f in fields(cls)})
            raise SettingError(f"{path}: unknown key {where!r}{near_match(str(first['loc'][-1]), known)}") from error
        what = "is missing" if first["type"] == "missing" else f"is {str(first['input'])[:60]!r}: {first['msg']}"
        raise SettingError(f"{path}: {where} {what}") from error
    if study.given:
        raise SettingError(f"{path}: unknown key 'given': leave it out")
    study = replace(study, given=str(given or path))
    require_plain(f"{path}: name", [study.name])
    require_plain(f"{path}: profiles", study.profiles)
    require_plain(f"{path}: figures", [figure.name for figure in study.figures])
    require_different_files(f"{path}: models", study.models)
    require_different_files(f"{path}: labels of models", [spec.label or row for row, spec in study.models.items()])
    _check_rows(study, path)
    _check_columns(study, path)
    _check_comparisons(study, path)
    _check_unknown_definitions(study, path)
    _check_profiles(study, path)
    _check_starts(study, path)
    check_data_sets(study, path)
    check_tuning(study, path)
    if study.sweep:
        _check_sweep(study.sweep, path)
    return study


def sweep_rows(sweep: Sweep) -> list[str]:
    """The rows that a sweep names."""
    return [*(row for rows in sweep.lines.values() for row in rows), *sweep.references]


def plotted_metrics(sweep: Sweep) -> list[str]:
    """The metrics that a sweep plots."""
    return [*sweep.metrics, *(metric for pair in sweep.against.items() for metric in pair)]


def _completed(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content with each profile's key as its name, one search as a list, and plain notes as notes without a title.

    YAML files that lie beside the study's, or are named from there, become absolute paths.
    """
    content: dict[str, Any] = _beside(dict(raw), folder)
    if isinstance(profiles := content.get("profiles"), Mapping):
        content["profiles"] = {
            name: {"name": name, **value} if isinstance(value, Mapping) else value for name, value in profiles.items()
        }
    if isinstance(content.get("tune"), Mapping):
        content["tune"] = [content["tune"]]
    if isinstance(notes := content.get("notes"), list):
        content["notes"] = [{"text": note} if isinstance(note, str) else note for note in notes]
    return content


OF_FILES = ("config", "configs", "scores", "data", "profile_data")  # keys whose values name YAML files


def _beside(content: Any, folder: Path, names_files: bool = False) -> Any:
    if isinstance(content, Mapping):
        return {key: _beside(value, folder, names_files or key in OF_FILES) for key, value in content.items()}
    if isinstance(content, list):
        return [_beside(value, folder, names_files) for value in content]
    is_file = names_files and isinstance(content, str) and content.endswith((".yaml", ".yml"))
    return str((folder / content).resolve()) if is_file and (folder / content).is_file() else content


def _check_rows(study: Study, path: Path) -> None:
    """Every row that is named somewhere is a row of `models`."""
    named = [
        *((c.a, "comparisons") for c in study.comparisons),
        *((c.b, "comparisons") for c in study.comparisons),
        *((m, "figures") for f in study.figures for m in f.models),
        *((m, "published") for m in study.published),
        *((spec.start, "start") for spec in study.models.values() if spec.start),
        *((m, "sweep") for m in (sweep_rows(study.sweep) if study.sweep else [])),
    ]
    for label, where in named:
        if label not in study.models:
            near = near_match(label, list(study.models))
            raise SettingError(f"{path}: {where} names the row {label!r}, which is not under models{near}")


def _check_columns(study: Study, path: Path) -> None:
    for column in study.columns:
        _check_epoch(column.metric, f"{path}: columns.metric")
        try:
            format(0.0, column.format)
        except ValueError as error:
            raise SettingError(
                f"{path}: columns.format {column.format!r} is not a number format: write one such as '.3f'"
            ) from error
    for key in ("metric", "label"):
        values = [getattr(column, key) for column in study.columns]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise SettingError(f"{path}: two columns have the {key} {twice!r}: give each a {key} of its own")


def _check_comparisons(study: Study, path: Path) -> None:
    for comparison in study.comparisons:
        for metric in comparison.metrics:
            _check_epoch(metric, f"{path}: comparisons.metric")
        margin = comparison.margin
        if margin is not None and not 0 < margin < math.inf:
            raise SettingError(f"{path}: comparisons.margin is {margin:g}: it must be a number above 0")
        if margin is not None and comparison.test == "variance":
            raise SettingError(
                f"{path}: comparisons.margin is {margin:g} for a comparison of variances, which has no test of "
                "equivalence: leave it out"
            )


def _check_epoch(metric: str, where: str) -> None:
    key, at, epoch = metric.partition("@")
    if at and not epoch.isdecimal():
        raise SettingError(f"{where} {metric!r} must end in an epoch number, as in {key}@5")


def _check_unknown_definitions(study: Study, path: Path) -> None:
    known = sorted({key for figures in study.published.values() for key in figures})
    for key in study.unknown_definitions:
        if key not in known:
            raise SettingError(
                f"{path}: unknown_definitions names {key!r}, which no row publishes{near_match(key, known)}"
            )


def _check_profiles(study: Study, path: Path) -> None:
    """The profiles' seeds are different numbers, rows speak of known profiles, and all files are there."""
    for profile in study.profiles.values():
        for data in [profile.data] if isinstance(profile.data, str) else profile.data:
            config_file("data", data)
        if not profile.seeds or len(set(profile.seeds)) != len(profile.seeds):
            raise SettingError(f"{path}: profiles.{profile.name}.seeds must be a list of different numbers")
    for label, spec in study.models.items():
        for key in ("profile_args", "profile_data", "profile_seeds"):
            for name in getattr(spec, key):
                if name not in study.profiles:
                    near = near_match(name, list(study.profiles))
                    raise SettingError(
                        f"{path}: models.{label}.{key} names the profile {name!r}, which does not exist{near}"
                    )
        config_file("model", spec.config)
        for data in spec.profile_data.values():
            config_file("data", data)
        if spec.cost <= 0:
            raise SettingError(f"{path}: models.{label}.cost is {spec.cost:g}: it must be above 0")
        for name, number in spec.profile_seeds.items():
            if number < 1:
                raise SettingError(f"{path}: models.{label}.profile_seeds.{name} must be at least 1")


def _check_starts(study: Study, path: Path) -> None:
    """A row that another is initialised from stands above it and has all its seeds."""
    labels = list(study.models)
    for label, spec in study.models.items():
        if not spec.start:
            continue
        if labels.index(spec.start) >= labels.index(label):
            raise SettingError(f"{path}: models.{label}.start is {spec.start!r}: that row must stand above it")
        for profile in study.profiles.values():
            if len(study.seeds(label, profile)) > len(study.seeds(spec.start, profile)):
                raise SettingError(f"{path}: models.{label} has more seeds than {spec.start!r}, its start")


def _check_sweep(sweep: Sweep, path: Path) -> None:
    if not (sweep.metrics or sweep.against):
        raise SettingError(f"{path}: sweep has nothing to plot: give it metrics, against or both")
    for metric in plotted_metrics(sweep):
        _check_epoch(metric, f"{path}: sweep metric")
    for line, rows in (sweep.lines or {"": {}}).items():
        if not rows:
            raise SettingError(f"{path}: sweep.lines {line!r} has no row: give it ROW: x")
        if sweep.log_x and min(rows.values()) <= 0:
            raise SettingError(f"{path}: sweep.lines {line!r} has an x of 0 or less, which log_x cannot show")
