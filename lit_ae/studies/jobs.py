"""A study expanded into jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from lit_ae.settings.files import config_file, config_path
from lit_ae.settings.hashing import content_hash
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.studies.data_sets import expanded
from lit_ae.studies.spec import Profile, Study
from lit_ae.studies.versions import score_versions

# Class name -> the name it had when older runs were made: hashes use the old one, so that these runs stay valid.
RENAMED = {"FittedGaussian": "Gaussian", "LastCheckpoint": "lightning.pytorch.callbacks.ModelCheckpoint"}


@dataclass(frozen=True)
class Job:
    """One run of a study: `lit-ae fit` with these settings, then test.

    Attributes:
        args: its options, which follow its files.
        fit_hash: changes if the training would.
        settings_hash: changes if the training or the settings of the scores would.
        config_hash: changes in addition if the code of a score has another version.
        versions: class name -> version of the scores.
        start: (model, seed, fit_hash) of the run from whose checkpoint the model is initialised.
        configs: name and text of its YAML files in their order: a machine that does the run need not have them.
    """

    model: str
    seed: int
    data: str
    args: tuple[str, ...]
    fit_hash: str
    settings_hash: str
    config_hash: str
    versions: Mapping[str, int] = field(default_factory=dict, hash=False)
    start: tuple[str, int, str] | None = None
    configs: tuple[tuple[str, str], ...] = ()


def jobs(study: Study, profile: Profile) -> list[Job]:
    """A job for each seed × model, seed by seed, so that a stopped study has complete seeds."""
    study = expanded(study, profile)
    rows = {label: row_job(study, profile, label) for label in study.models}
    return [
        _with_seed(rows[label], seed, [*_split(profile, seed), *_figures(study, profile, label, seed)])
        for seed in profile.seeds
        for label in study.models
        if seed in study.seeds(label, profile)
    ]


def row_job(study: Study, profile: Profile, label: str) -> Job:
    """The job of a row but for its seed: reading its files takes longer than all else."""
    spec = study.models[label]
    data = spec.profile_data.get(profile.name) or str(profile.data)
    fit = [
        config_file("model", spec.config),
        config_file("data", data),
        *map(config_path, (*study.configs, *spec.configs)),
    ]
    scores = [config_path(name) for name in (*study.scores, *profile.scores)]
    settings = [*profile.args, *spec.args, *spec.profile_args.get(profile.name, [])]
    start = row_job(study, profile, spec.start) if spec.start else None
    fit_contents, score_contents = _read([config_path("defaults.yaml"), *fit]), _read(scores)
    trained: list[object] = [fit_contents, settings]
    if start:
        trained.append(start.fit_hash)
    if profile.splits != "fixed":
        trained.append({"splits": profile.splits})
    settings_hash = content_hash([trained, score_contents])
    versions = score_versions([*fit_contents, *score_contents])
    changed = {name: version for name, version in versions.items() if version != 1}  # 1: as before there were versions
    return Job(
        model=label,
        seed=0,
        data=Path(data).stem,
        args=tuple(settings),
        fit_hash=content_hash(trained),
        settings_hash=settings_hash,
        config_hash=content_hash([settings_hash, changed]) if changed else settings_hash,
        versions=versions,
        start=(start.model, 0, start.fit_hash) if start else None,
        configs=tuple((path.name, path.read_text(encoding="utf-8")) for path in (*fit, *scores)),
    )


def _with_seed(row: Job, seed: int, options: Sequence[str]) -> Job:
    start = (row.start[0], seed, row.start[2]) if row.start else None
    return replace(row, seed=seed, args=(*row.args, f"--seed_everything={seed}", *options), start=start)


def _split(profile: Profile, seed: int) -> list[str]:
    """The option that gives each seed a split of the data of its own."""
    return [f"--data.split_seed={seed}"] if profile.splits == "by_seed" else []


def _figures(study: Study, profile: Profile, label: str, seed: int) -> list[str]:
    """The option that says which figures a run draws, unless it draws all."""
    if profile.all_figures:
        return []
    return [f"--figures=[{','.join(study.shown_figures(label, seed, profile))}]"]


def _read(paths: Iterable[Path]) -> list[Any]:
    return [_content(path, path.stat().st_mtime_ns if path.exists() else 0) for path in paths]


@cache
def _content(path: Path, changed: int) -> Any:
    """The content of a file as of that change, which nobody alters: rows and studies share most of their files."""
    return _with_old_names(read_yaml(path))


def _with_old_names(content: Any) -> Any:
    """The content with every renamed class under `class_path` by its old name."""
    if isinstance(content, Mapping):
        return {
            key: RENAMED.get(value, value) if key == "class_path" else _with_old_names(value)
            for key, value in content.items()
        }
    return [_with_old_names(value) for value in content] if isinstance(content, list) else content
