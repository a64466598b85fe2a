"""A study is data: experiments/NAME.yaml read into dataclasses, and expanded into jobs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from lit_ae.config_files import config_file, config_folder, near_match
from lit_ae.errors import SettingError


@dataclass(frozen=True)
class Profile:
    """One way to run a study: its data set, seeds and budget."""

    name: str
    data: str
    seeds: list[int]
    note: str = ""
    args: list[str] = field(default_factory=list)
    published_seeds: int | None = None  # a second reading with the published number of seeds


@dataclass(frozen=True)
class ModelSpec:
    """A row: a file of configs/model and what it changes of it, for all profiles or for one.

    `start` names the row whose checkpoint of the same seed is its `model.pretrained`.
    """

    config: str
    args: list[str] = field(default_factory=list)
    profile_args: dict[str, list[str]] = field(default_factory=dict)
    profile_data: dict[str, str] = field(default_factory=dict)  # data of its own instead of the profile's
    profile_seeds: dict[str, int] = field(default_factory=dict)  # how many of the profile's seeds, where not all
    configs: list[str] = field(default_factory=list)  # files of configs/ that it stacks on the study's
    start: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of Table 1: a metric's last value, of KEY@5 that of epoch 5, beside the published figure of that key."""

    metric: str
    label: str
    format: str = ".3f"
    better: Literal["lower", "higher", "none"] = "none"
    published: str | None = None
    optional: bool = False  # on some data no run has it: the column is then all dashes, and no mistake in the name


@dataclass(frozen=True)
class Comparison:
    """One declared test, a - b: of means paired by seed, or of variances.

    With `b_metric` row b is held against by that metric: a baseline that stands in every row, b being a itself.
    """

    metric: str
    a: str
    b: str
    test: Literal["paired", "variance"] = "paired"
    claim: str = ""
    b_metric: str | None = None

    @property
    def metrics(self) -> tuple[str, str]:
        """The metric of a and that of b."""
        return self.metric, self.b_metric or self.metric


@dataclass(frozen=True)
class FigureSpec:
    """A figure of each named model's first seed."""

    name: str
    models: list[str]
    caption: str = ""


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in one setting: a figure of each metric against it, a line for each group of rows.

    `against` names pairs of metrics, y -> x, drawn one against the other along the same lines, such as reconstruction
    against KL. `references` are rows without that setting: horizontal lines.
    """

    label: str  # of the x axis, with its unit
    lines: dict[str, dict[str, float]]  # line -> row -> x
    metrics: list[str] = field(default_factory=list)
    against: dict[str, str] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    log_x: bool = False


@dataclass(frozen=True)
class Study:
    """What experiments/NAME.yaml says."""

    name: str
    title: str
    question: str
    profiles: dict[str, Profile]
    models: dict[str, ModelSpec]
    columns: list[Column]
    configs: list[str] = field(default_factory=list)  # files of configs/ that every run stacks on its own
    scores: list[str] = field(default_factory=list)  # the same, for the test alone: a change trains nothing anew
    comparisons: list[Comparison] = field(default_factory=list)
    published: dict[str, dict[str, float]] = field(default_factory=dict)
    figures: list[FigureSpec] = field(default_factory=list)
    sweep: Sweep | None = None
    order: int = 99  # place among the reports of a page, lowest first
    notes: list[str] = field(default_factory=list)

    def seeds(self, label: str, profile: Profile) -> list[int]:
        """The seeds that a row is run with."""
        return profile.seeds[: self.models[label].profile_seeds.get(profile.name)]

    def common_seeds(self, comparison: Comparison, profile: Profile) -> list[int]:
        """The seeds that both rows of a comparison are run with."""
        other = self.seeds(comparison.b, profile)
        return [seed for seed in self.seeds(comparison.a, profile) if seed in other]

    def profile(self, name: str) -> Profile:
        """A profile by name.

        Raises:
            SettingError: the study has none of that name.
        """
        if name not in self.profiles:
            raise SettingError(f"study {self.name} has no profile {name!r}{near_match(name, list(self.profiles))}")
        return self.profiles[name]


PARTS: tuple[Any, ...] = (Profile, ModelSpec, Column, Comparison, FigureSpec, Sweep, Study)


@dataclass(frozen=True)
class Job:
    """One run of a study: `lit-ae fit ARGS`, then test.

    `fit_hash` changes when the training would, `config_hash` when the training or the scores would; `start` is the
    (model, seed, fit_hash) of the run whose checkpoint it sets out from.
    """

    model: str
    seed: int
    data: str
    args: tuple[str, ...]
    fit_hash: str
    config_hash: str
    start: tuple[str, int, str] | None = None


def jobs(study: Study, profile: Profile) -> list[Job]:
    """A job for each seed × model, seed by seed, so that a stopped study leaves whole seeds behind."""
    return [
        _job(study, profile, label, seed)
        for seed in profile.seeds
        for label in study.models
        if seed in study.seeds(label, profile)
    ]


def _job(study: Study, profile: Profile, label: str, seed: int) -> Job:
    spec = study.models[label]
    data = spec.profile_data.get(profile.name, profile.data)
    fit = [
        config_file("model", spec.config),
        config_file("data", data),
        *(config_folder() / name for name in (*study.configs, *spec.configs)),
    ]
    scores = [config_folder() / name for name in study.scores]
    settings = [*profile.args, *spec.args, *spec.profile_args.get(profile.name, [])]
    start = _job(study, profile, spec.start, seed) if spec.start else None
    trained: list[object] = [[_read(path) for path in (config_folder() / "defaults.yaml", *fit)], settings]
    if start:
        trained.append(start.fit_hash)
    return Job(
        model=label,
        seed=seed,
        data=data,
        args=(
            *(part for path in (*fit, *scores) for part in ("--config", str(path))),
            *settings,
            f"--seed_everything={seed}",
        ),
        fit_hash=_hash(trained),
        config_hash=_hash([trained, [_read(path) for path in scores]]),
        start=(start.model, seed, start.fit_hash) if start else None,
    )


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


# -- reading -----------------------------------------------------------------------------------------------------


def load_study(path: Path) -> Study:
    """Read and check an experiment file.

    Raises:
        SettingError: the file is missing or no YAML, a key is unknown, missing or of the wrong type, or a row that is
            spoken of is not there.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    raw = _read(path)
    if not isinstance(raw, Mapping):
        raise SettingError(f"{path} holds no mapping: see experiments/stochastic.yaml for the keys")
    profiles = raw.get("profiles")
    named = (
        {name: {"name": name, **value} if isinstance(value, Mapping) else value for name, value in profiles.items()}
        if isinstance(profiles, Mapping)
        else profiles
    )
    for cls in PARTS:
        cls.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        study = TypeAdapter(Study).validate_json(json.dumps({**raw, "profiles": named}, default=str), strict=True)
    except ValidationError as error:
        unknown = "unexpected_keyword_argument"
        first = min(error.errors(), key=lambda found: found["type"] != unknown)  # it explains what is missing, too
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == unknown:
            known = sorted({f.name for cls in PARTS for f in fields(cls)})
            raise SettingError(f"{path}: unknown key {where!r}{near_match(str(first['loc'][-1]), known)}") from error
        what = "is missing" if first["type"] == "missing" else f"is {str(first['input'])[:60]!r}: {first['msg']}"
        raise SettingError(f"{path}: {where} {what}") from error
    _check_names(study, path)
    return study


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror}): give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} is no text: give the path of a YAML file") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise SettingError(f"{path} is not YAML{line}: {getattr(error, 'problem', error)}") from error


def sweep_rows(sweep: Sweep) -> list[str]:
    """The rows that a sweep speaks of."""
    return [*(row for rows in sweep.lines.values() for row in rows), *sweep.references]


def _check_sweep(sweep: Sweep, path: Path) -> None:
    if not (sweep.metrics or sweep.against):
        raise SettingError(f"{path}: sweep names nothing to draw: give it metrics, against or both")
    for line, rows in (sweep.lines or {"": {}}).items():
        if not rows:
            raise SettingError(f"{path}: sweep.lines {line!r} has no row: give it ROW: x")
        if sweep.log_x and min(rows.values()) <= 0:
            raise SettingError(f"{path}: sweep.lines {line!r} has an x of 0 or less, which log_x cannot show")


def _check_names(study: Study, path: Path) -> None:
    labels = list(study.models)
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
            raise SettingError(f"{path}: {where} names no row {label!r}{near_match(label, labels)}")
    for column in study.columns:
        key, at, epoch = column.metric.partition("@")
        if at and not epoch.isdecimal():
            raise SettingError(f"{path}: columns.metric {column.metric!r} must end in an epoch, as {key}@5 does")
        try:
            format(0.0, column.format)
        except ValueError as error:
            raise SettingError(f"{path}: columns.format {column.format!r} is no number format such as '.3f'") from error
    if study.sweep:
        _check_sweep(study.sweep, path)
    for label, spec in study.models.items():
        for key in ("profile_args", "profile_data", "profile_seeds"):
            for name in getattr(spec, key):
                if name not in study.profiles:
                    near = near_match(name, list(study.profiles))
                    raise SettingError(f"{path}: models.{label}.{key} names no profile {name!r}{near}")
    for profile in study.profiles.values():
        config_file("data", profile.data)
        if not profile.seeds or len(set(profile.seeds)) != len(profile.seeds):
            raise SettingError(f"{path}: profiles.{profile.name}.seeds must be a list of different numbers")
    for label, spec in study.models.items():
        config_file("model", spec.config)
        for data in spec.profile_data.values():
            config_file("data", data)
        if spec.start and labels.index(spec.start) >= labels.index(label):
            raise SettingError(f"{path}: models.{label}.start is {spec.start!r}: that row must stand above it")
        for profile in study.profiles.values():
            if spec.profile_seeds.get(profile.name, 1) < 1:
                raise SettingError(f"{path}: models.{label}.profile_seeds.{profile.name} must be at least 1")
            if spec.start and len(study.seeds(label, profile)) > len(study.seeds(spec.start, profile)):
                raise SettingError(f"{path}: models.{label} has more seeds than its start {spec.start!r}")
