"""Finished runs of a study as plain files, by which machines that share no MLflow server put their runs together.

Each run is a folder with `run.json` (settings, tags and logged values) and `artifacts` (figures, protocols, scores of
single samples). Checkpoints, which are large, come along only if they are asked for. The folder `shared` has what all
runs of the study were scored with, such as a classifier.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from lit_ae import tracking
from lit_ae.console import terminal
from lit_ae.errors import SettingError
from lit_ae.settings.names import file_name
from lit_ae.settings.whole_files import whole_file, write_whole
from lit_ae.studies.jobs import jobs
from lit_ae.studies.parent import lease
from lit_ae.studies.spec import Profile, Study
from lit_ae.tracking.shared import FOLDER as SHARED
from lit_ae.tracking.shared import MADE

FILE, ARTIFACTS, CHECKPOINTS = "run.json", "artifacts", "checkpoints"
ORIGIN = "imported_from"  # tag of an imported run: the id that it had where it was done
NOT_CARRIED = ("mlflow.", "owner", "heartbeat", ORIGIN)  # beginnings of tags that belong to a store or a process

Item = TypeVar("Item")


class Imported(NamedTuple):
    """Numbers of runs: added to the store, there already, and, of those added, not of the study's settings today."""

    added: int
    known: int
    stale: int


def export_runs(study: Study, profile: Profile, folder: Path, checkpoints: bool = False) -> int:
    """Write the newest finished run of each row and seed, and what the runs share, to a folder; gives their number.

    Args:
        study: the study.
        profile: one of its profiles.
        folder: is created if need be; a run that it holds already is written again.
        checkpoints: whether the runs' checkpoints are written as well.

    Raises:
        SettingError: there are no such runs, or the folder cannot be written.
    """
    parent = tracking.study_parent(study.name, profile.name)
    runs = tracking.study_runs(study.name, profile.name)
    if parent is None or not runs:
        raise SettingError(
            f"study {study.name}, profile {profile.name}, has no finished runs in {tracking.store_uri()}: run it "
            "first, or set MLFLOW_TRACKING_URI to the store that has them"
        )
    for run in _shown(runs, "exporting runs"):
        target = folder / f"{file_name(run.model)}-seed-{run.seed}-{run.id[:8]}"
        for path in _artifacts(run.id):
            if checkpoints or path.parts[0] != CHECKPOINTS:
                _copy(run, path, target / ARTIFACTS)
        write_whole(target / FILE, _in_lines(_as_plain(run)).encode(), "give another folder")
    for path in _artifacts(parent.id):
        if path.parts[0] == SHARED:
            _copy(parent, path, folder)
    return len(runs)


def import_runs(study: Study, profile: Profile, folder: Path) -> Imported:
    """Add the runs of a folder to the store as runs of this study; one that the store has already stays as it is.

    All files are read before the first run is added. A run that has come without its checkpoint cannot be scored again:
    if a version of its scores changes, it is trained again.

    Raises:
        SettingError: the folder has no runs, or a file is not that of a run of this study and profile, or another
            process is running the study.
    """
    found = [(_read(path, study, profile), path.parent / ARTIFACTS) for path in sorted(folder.glob(f"*/{FILE}"))]
    if not found:
        raise SettingError(f"{folder} has no folders with {FILE}: give one that `lit-ae study export` has written")
    wanted = {job.config_hash for job in jobs(study, profile)}
    with lease(study, profile) as parent, tracking.run_status(parent):
        _import_shared(parent, folder / SHARED)
        runs = tracking.heads(study.name, parent)
        known = {run.id for run in runs} | {run.tags.get(ORIGIN) for run in runs if run.status == "FINISHED"}
        new = [(content, artifacts) for content, artifacts in found if content["id"] not in known]
        stale = 0
        for content, artifacts in _shown(new, "importing runs"):
            kind = "run" if content["tags"].get("config_hash") in wanted else "stale"
            stale += kind == "stale"
            _add({**content, "tags": {**content["tags"], "kind": kind}}, artifacts, parent, study.name)
    return Imported(len(new), len(found) - len(new), stale)


# -- writing files -------------------------------------------------------------------------------------------------


def _as_plain(run: tracking.Run) -> dict[str, Any]:
    client = tracking.client()
    inputs = client.get_run(run.id).inputs
    return {
        "id": run.tags.get(ORIGIN, run.id),
        "start": run.start,
        "end": run.end,
        "tags": {key: value for key, value in run.tags.items() if not key.startswith(NOT_CARRIED)},
        "params": run.params,
        # step, value, time in ms since 1970
        "metrics": {
            key: [
                [m.step, _plain(tracking.as_logged(m.value)), m.timestamp]
                for m in client.get_metric_history(run.id, key)
            ]
            for key in run.metrics
        },
        "data_sets": [
            {
                "name": given.dataset.name,
                "digest": given.dataset.digest,
                "context": next((tag.value for tag in given.tags if tag.key == "mlflow.data.context"), ""),
                "profile": json.loads(given.dataset.profile or "{}"),
            }
            for given in (inputs.dataset_inputs if inputs else ())
        ],
    }


def _plain(value: float) -> float | str:
    """JSON has no word for these: "nan", "inf" and "-inf", which `float` reads."""
    return value if math.isfinite(value) else str(value)


def _in_lines(value: object, depth: int = 0) -> str:
    """JSON with a line for each setting, tag and metric, so that two runs can be compared line by line."""
    if not isinstance(value, dict) or depth == 2:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    margin = " " * (depth + 1)
    lines = (f"{margin}{json.dumps(key)}: {_in_lines(value[key], depth + 1)}" for key in sorted(value))
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def _artifacts(run_id: str, folder: str | None = None) -> Iterator[PurePosixPath]:
    for entry in tracking.client().list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _artifacts(run_id, entry.path)
        else:
            yield PurePosixPath(entry.path)


def _copy(run: tracking.Run, path: PurePosixPath, folder: Path) -> None:
    if source := run.artifact(str(path)):
        with whole_file(folder / path, "give another folder") as part:
            shutil.copyfile(source, part)


# -- reading them --------------------------------------------------------------------------------------------------


def _read(path: Path, study: Study, profile: Profile) -> dict[str, Any]:
    """The run of a file, with values as numbers.

    Raises:
        SettingError: it is not the file of a run, or that of another study or profile.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tags = {str(key): str(value) for key, value in content["tags"].items()}
        for tag, own in (("study", study.name), ("profile", profile.name)):
            if tags[tag] != own:
                raise SettingError(f"{path} is a run of the {tag} {tags[tag]!r} and not of {own!r}: give that {tag}")
        return {
            "id": str(content["id"]),
            "start": float(content["start"]),
            "end": float(content["end"]),
            "tags": tags,
            "params": {str(key): str(value) for key, value in content["params"].items()},
            "metrics": [
                ({str(key): float(value)}, int(step), int(at))
                for key, values in content["metrics"].items()
                for step, value, at in values
            ],
            "data_sets": [
                {
                    "name": str(d["name"]),
                    "digest": str(d["digest"]),
                    "context": str(d["context"]),
                    "profile": d["profile"],
                }
                for d in content["data_sets"]
            ],
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingError(
            f"{path} is not a run that `lit-ae study export` has written ({type(error).__name__}: {error})"
        ) from error


def _import_shared(parent: str, folder: Path) -> None:
    """What the runs were scored with, unless the study has it already."""
    for path in sorted(folder.glob("*")):
        if tracking.get_run(parent).artifact(f"{SHARED}/{path.name}") is None:
            tracking.log_file(parent, path, SHARED)
            tracking.set_tags(parent, {f"{SHARED}.{path.name}": MADE})


def _add(content: dict[str, Any], artifacts: Path, parent: str, experiment: str) -> None:
    tags = {**content["tags"], ORIGIN: content["id"]}
    if not (artifacts / CHECKPOINTS).is_dir():
        tags.pop("trained", None)
    name = f"{tags.get('model', '')} seed {tags.get('seed', '')}"
    run_id = tracking.create_run(experiment, name, tags, parent, start=content["start"])
    with tracking.run_status(run_id):
        tracking.log_params(run_id, content["params"])
        tracking.write_all_metrics(run_id, content["metrics"])
        for data in content["data_sets"]:
            tracking.log_dataset(run_id, **data)
        for path in sorted(artifacts.rglob("*")):
            if path.is_file():
                tracking.log_file(run_id, path, path.parent.relative_to(artifacts).as_posix())
    tracking.write_end(run_id, "FINISHED", round(content["end"] * 1000))


def _shown(items: Sequence[Item], title: str) -> Iterator[Item]:
    """The items, with a progress bar on a terminal."""
    from rich.progress import track

    yield from track(items, title, console=terminal(), transient=True)
