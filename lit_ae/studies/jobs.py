"""A study expanded into jobs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_ae.settings.files import config_file, config_folder
from lit_ae.settings.hashing import content_hash
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.studies.spec import Profile, Study
from lit_ae.studies.versions import score_versions

# Class name -> the name it had when older runs were made: hashes use the old one, so that these runs stay valid.
RENAMED = {"FittedGaussian": "Gaussian"}


@dataclass(frozen=True)
class Job:
    """One run of a study: `lit-ae fit ARGS`, then test.

    Attributes:
        fit_hash: changes if the training would.
        settings_hash: changes if the training or the settings of the scores would.
        config_hash: changes in addition if the code of a score has another version.
        versions: class name -> version of the scores.
        start: (model, seed, fit_hash) of the run from whose checkpoint the model is initialised.
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


def jobs(study: Study, profile: Profile) -> list[Job]:
    """A job for each seed × model, seed by seed, so that a stopped study has complete seeds."""
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
    fit_contents, score_contents = _read([config_folder() / "defaults.yaml", *fit]), _read(scores)
    trained: list[object] = [fit_contents, settings]
    if start:
        trained.append(start.fit_hash)
    settings_hash = content_hash([trained, score_contents])
    versions = score_versions([*fit_contents, *score_contents])
    changed = {name: version for name, version in versions.items() if version != 1}  # 1: as before there were versions
    return Job(
        model=label,
        seed=seed,
        data=data,
        args=(
            *(part for path in (*fit, *scores) for part in ("--config", str(path))),
            *settings,
            f"--seed_everything={seed}",
            *([] if profile.all_figures else [f"--figures=[{','.join(study.shown_figures(label, seed, profile))}]"]),
        ),
        fit_hash=content_hash(trained),
        settings_hash=settings_hash,
        config_hash=content_hash([settings_hash, changed]) if changed else settings_hash,
        versions=versions,
        start=(start.model, seed, start.fit_hash) if start else None,
    )


def _read(paths: Iterable[Path]) -> list[Any]:
    return [_with_old_names(read_yaml(path)) for path in paths]


def _with_old_names(content: Any) -> Any:
    """The content with every renamed class under `class_path` by its old name."""
    if isinstance(content, Mapping):
        return {
            key: RENAMED.get(value, value) if key == "class_path" else _with_old_names(value)
            for key, value in content.items()
        }
    return [_with_old_names(value) for value in content] if isinstance(content, list) else content
