"""Finished runs of a study as plain files, by which machines that share no MLflow server put their runs together.

Each run is a folder with `run.json` (settings, tags and logged values) and `artifacts` (figures, protocols, scores of
single samples). Checkpoints, which are large, come along only if they are asked for. The folder `shared` has what all
runs of the study were scored with, such as a classifier.
"""

import json
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae import tracking
from lit_ae.console import terminal
from lit_ae.errors import SettingError
from lit_ae.settings.names import file_name
from lit_ae.settings.whole_files import whole_file, write_whole
from lit_ae.studies.spec import Profile, Study
from lit_ae.tracking.shared import FOLDER as SHARED

FILE, ARTIFACTS, CHECKPOINTS = "run.json", "artifacts", "checkpoints"
ORIGIN = "imported_from"  # tag of an imported run: the id that it had where it was done
NOT_CARRIED = {"owner", "heartbeat", ORIGIN}  # tags that belong to a process or store, as MLflow's own do
NOTE = "mlflow.note.content"  # but for the description that a person wrote

Item = TypeVar("Item")


def export_runs(study: Study, profile: Profile, folder: Path, checkpoints: bool = False) -> int:
    """Write the newest finished run of each row and seed, and what the runs share, to a folder; gives their number.

    Args:
        study: the study.
        profile: one of its profiles.
        folder: is created if need be; a run that it holds already is written again.
        checkpoints: whether the runs' checkpoints are written as well.

    Raises:
        SettingError: there are no such runs, an artifact cannot be fetched, the folder cannot be written, or it holds
            another classifier than that of these runs.
    """
    parent = tracking.study_parent(study.name, profile.name)
    runs = tracking.study_runs(study.name, profile.name)
    if parent is None or not runs:
        raise SettingError(
            f"study {study.name}, profile {profile.name}, has no finished runs in {tracking.store_uri()}: run it "
            "first, or set MLFLOW_TRACKING_URI to the store that has them"
        )
    for run in shown(runs, "exporting runs"):
        target = folder / f"{file_name(run.model)}-seed-{run.seed}-{origin(run)[:8]}"
        paths = list(_artifacts(run))
        for path in paths:
            if checkpoints or path.parts[0] != CHECKPOINTS:
                with whole_file(target / ARTIFACTS / path, "give another folder") as part:
                    shutil.copyfile(_fetched(run, path), part)
        if not paths or (
            checkpoints and "trained" in run.tags and CHECKPOINTS not in {path.parts[0] for path in paths}
        ):
            what = "checkpoint" if paths else "artifacts: only its values are written"
            print(f"warning: run {run.id} ({run.model}, seed {run.seed}) has no {what}", file=sys.stderr)
        write_whole(target / FILE, _in_lines(_as_plain(run)).encode(), "give another folder")
    for path in _artifacts(parent):
        if path.parts[0] == SHARED:
            content = _fetched(parent, path).read_bytes()
            refuse_other(folder / path, content, "export to another folder")
            write_whole(folder / path, content, "give another folder")
    return len(runs)


def _as_plain(run: tracking.Run) -> dict[str, Any]:
    client = tracking.client()
    inputs = client.get_run(run.id).inputs
    return {
        "id": origin(run),
        "start": run.start,
        "end": run.start + run.seconds if run.end is None else run.end,
        "tags": {
            key: value
            for key, value in run.tags.items()
            if key == NOTE or not (key in NOT_CARRIED or key.startswith("mlflow."))
        },
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


def _artifacts(run: tracking.Run, folder: str | None = None) -> Iterator[PurePosixPath]:
    """The paths of a run's artifacts, also of a store that has been moved, for which MLflow would find none."""
    if run.artifact_uri.startswith("file://"):
        local = Path(url2pathname(urlparse(run.artifact_uri).path))
        yield from (PurePosixPath(path.relative_to(local).as_posix()) for path in files(local))
        return
    for entry in tracking.client().list_artifacts(run.id, folder):
        if entry.is_dir:
            yield from _artifacts(run, entry.path)
        else:
            yield PurePosixPath(entry.path)


def _fetched(run: tracking.Run, path: PurePosixPath) -> Path:
    found = run.artifact(str(path))
    if found is None:
        raise SettingError(f"artifact {path} of run {run.id} could not be fetched: try again when its store gives it")
    return found


# -- for both directions ---------------------------------------------------------------------------------------------


def origin(run: tracking.Run) -> str:
    """The id that a run had where it was done."""
    return run.tags.get(ORIGIN, run.id)


def files(folder: Path) -> list[Path]:
    """The files below a folder, without hidden ones: a copy that was broken off, or what an operating system adds."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def refuse_other(path: Path, content: bytes, remedy: str) -> None:
    """Refuse to put what runs were scored with beside another one of that name.

    Raises:
        SettingError: the file has other content.
    """
    if path.exists() and path.read_bytes() != content:
        raise SettingError(
            f"{path} is another {path.name} than the one that these runs were scored with, so that their scores cannot "
            f"be compared: {remedy}"
        )


def shown(items: Sequence[Item], title: str) -> Iterator[Item]:
    """The items, with a progress bar on a terminal."""
    from rich.progress import track

    yield from track(items, title, console=terminal(), transient=True)
