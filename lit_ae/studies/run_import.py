"""Runs that `lit-ae study export` has written as plain files, added to the store of another machine."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.jobs import jobs
from lit_ae.studies.parent import lease
from lit_ae.studies.run_export import ARTIFACTS, CHECKPOINTS, FILE, ORIGIN, files, origin, refuse_other, shown
from lit_ae.studies.spec import Profile, Study
from lit_ae.tracking.shared import FOLDER as SHARED
from lit_ae.tracking.shared import MADE

KEY = ("model", "seed", "config_hash")  # tags that say which of a study's jobs a run is


class Imported(NamedTuple):
    """Numbers of runs: added to the store, there already, and, of those added, not of the study's rows today."""

    added: int
    known: int
    stale: int


def import_runs(study: Study, profile: Profile, folder: Path) -> Imported:
    """Add the runs of a folder to the store as runs of this study; one that the store has already stays as it is.

    All files are read before the first run is added. A run that was scored again since it was imported, or comes with
    its checkpoint now, replaces the imported one. A run without its checkpoint cannot be scored again: if a version of
    its scores changes, it is trained again.

    Raises:
        SettingError: the folder has no runs, or a file is not that of a run of this study and profile, or the study has
            another classifier than that of these runs, or another process is running the study.
    """
    found = {}
    for path in sorted(folder.glob(f"*/{FILE}")):
        content = _read(path, study, profile)
        found[content["id"]] = content, path.parent / ARTIFACTS
    if not found:
        raise SettingError(f"{folder} has no folders with {FILE}: give one that `lit-ae study export` has written")
    wanted = {(job.model, str(job.seed), job.config_hash) for job in jobs(study, profile)}
    with lease(study, profile) as parent, tracking.run_status(parent):
        _import_shared(parent, folder / SHARED)
        runs = [run for run in tracking.heads(study.name, parent) if run.status == "FINISHED" or ORIGIN not in run.tags]
        for run in runs:  # of which an earlier study file may have had other rows
            if run.tags.get("kind") == "stale" and tuple(run.tags.get(key, "") for key in KEY) in wanted:
                tracking.set_tags(run.id, {"kind": "run"})
        known = {origin(run): run for run in runs}
        new = [(*each, known.get(id_)) for id_, each in found.items() if not _has(known.get(id_), *each)]
        stale = 0
        for content, artifacts, replaced in shown(new, "importing runs"):
            kind = "run" if tuple(content["tags"].get(key, "") for key in KEY) in wanted else "stale"
            stale += kind == "stale"
            _add({**content, "tags": {**content["tags"], "kind": kind}}, artifacts, parent, study.name)
            if replaced is not None:
                tracking.client().delete_run(replaced.id)
    _warn_of_starts(study, found.values())
    return Imported(len(new), len(found) - len(new), stale)


def _has(known: tracking.Run | None, content: Mapping[str, Any], artifacts: Path) -> bool:
    """Whether the store has a run as it is in the folder, or scored later; its own are never replaced."""
    if known is None or ORIGIN not in known.tags:
        return known is not None
    later: int = round(1000 * (known.end or 0)) - round(1000 * content["end"])
    if later:  # than that of the folder, if it was scored anew here; earlier, if it was where it was trained
        return later > 0
    scored = all(known.tags.get(key) == content["tags"].get(key) for key in ("config_hash", "score_versions"))
    return scored and ("trained" in known.tags or not (artifacts / CHECKPOINTS).is_dir())


def _warn_of_starts(study: Study, found: Iterable[tuple[Mapping[str, Any], Path]]) -> None:
    starts = {spec.start for spec in study.models.values() if spec.start}
    without = {run["tags"].get("model") for run, artifacts in found if not (artifacts / CHECKPOINTS).is_dir()}
    for row in sorted(starts & without):
        print(
            f"warning: other rows are initialised from {row}, which has come without checkpoints: to run them here, "
            "export it with --checkpoints and import it again",
            file=sys.stderr,
        )


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
    for path in files(folder):
        own = tracking.get_run(parent).artifact(f"{SHARED}/{path.name}")
        if own:
            refuse_other(own, path.read_bytes(), f"to add the runs nevertheless, delete {path}")
        else:
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
        for path in files(artifacts):
            tracking.log_file(run_id, path, "/".join(path.relative_to(artifacts).parts[:-1]))
    tracking.write_end(run_id, "FINISHED", round(content["end"] * 1000))
