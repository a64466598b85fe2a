"""Reading runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae.errors import SettingError
from lit_ae.tracking import sqlite_reads
from lit_ae.tracking.store import artifact_uri, client, store_uri
from lit_ae.tracking.unsent import ServerGone, answered, has_no_answer


def last_checkpoint(run_id: str) -> Path:
    """The checkpoint that a run is scored with, as a local file: the last one, or the best if the run watched a value.

    Raises:
        SettingError: the run has none.
    """
    run = get_run(run_id)
    if run.checkpoint is None:
        raise SettingError(f"run {run_id} has no checkpoint {run.checkpoint_name}: train it first, or give --ckpt_path")
    return run.checkpoint


@dataclass(frozen=True)
class Run:
    """One training run; times in seconds since 1970."""

    id: str
    model: str
    seed: int
    data: str
    status: str  # FINISHED | FAILED | KILLED | RUNNING
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]
    start: float
    end: float | None
    artifact_uri: str = ""  # where its artifacts are; empty: asked for when one is read

    @property
    def seconds(self) -> float:
        """Duration of training and of all scoring; for a run outside a study, from start to end."""
        return float(self.tags.get("seconds", (self.end or self.start) - self.start))

    def history(self, key: str) -> list[tuple[int, float]]:
        """(epoch, value) pairs of a metric, in order; of one that the run has not logged, none without asking."""
        if key not in self.metrics:
            return []
        if sqlite_reads.can_be_read():
            return sqlite_reads.history(self.id, key)
        with answered():
            history = client().get_metric_history(self.id, key)
        return sorted({m.step: sqlite_reads.as_logged(m.value) for m in history}.items())

    @property
    def checkpoint_name(self) -> str:
        """Path, within the run's checkpoints, of the one that the run is scored with."""
        return self.tags.get("checkpoint", "last.ckpt")

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that the run is scored with; None if it has none."""
        return self.artifact(f"checkpoints/{self.checkpoint_name}")

    @property
    def has_checkpoint(self) -> bool:
        """Whether it has the checkpoint that it is scored with, which is not downloaded."""
        if not self.artifact_uri or self.artifact_uri.startswith("file://"):
            return self.checkpoint is not None
        path = f"checkpoints/{self.checkpoint_name}"
        return any(found.path == path for found in client().list_artifacts(self.id, path.rpartition("/")[0]))

    def artifact(self, path: str) -> Path | None:
        """Local path of an artifact; None if the run does not have it."""
        uri = urlparse(self.artifact_uri or str(client().get_run(self.id).info.artifact_uri))
        # `download_artifacts` would leave a copy of a local file at every call
        local = Path(url2pathname(uri.path)) / path if uri.scheme == "file" else self._downloaded(path)
        return local if local and local.exists() else None

    def _downloaded(self, path: str) -> Path | None:
        from mlflow.exceptions import MlflowException

        folder = Path(_downloads().name) / self.id
        folder.mkdir(exist_ok=True)
        try:
            return Path(client().download_artifacts(self.id, path, str(folder)))
        except (MlflowException, OSError) as error:
            if has_no_answer(error):
                raise ServerGone from error
            return None


@cache
def _downloads() -> TemporaryDirectory[str]:
    """The folder for copies of artifacts that are on another machine; it is removed when the process ends."""
    return TemporaryDirectory(prefix="lit_ae-")


def _as_run(run: Any) -> Run:
    info = run.info
    head = sqlite_reads.Head(info.run_id, info.status, info.start_time, info.end_time, str(info.artifact_uri))
    metrics = {key: sqlite_reads.as_logged(value) for key, value in run.data.metrics.items()}
    return _made(head, dict(run.data.tags), metrics, dict(run.data.params))


def _made(head: sqlite_reads.Head, tags: dict[str, str], metrics: dict[str, float], params: dict[str, str]) -> Run:
    return Run(
        id=head.id,
        model=tags.get("model", ""),
        seed=_whole(tags.get("seed", "")),
        data=tags.get("data", ""),
        status=head.status,
        metrics=metrics,
        tags=tags,
        params=params,
        start=head.start / 1000,
        end=head.end / 1000 if head.end else None,
        artifact_uri=artifact_uri(head.id, head.artifact_uri),
    )


def _whole(text: str) -> int:
    """The number that a tag holds; -1 if it holds none, as may be in a run of another tool."""
    try:
        return int(text)
    except ValueError:
        return -1


def _read(where: sqlite_reads.Where) -> list[Run]:
    """Runs of an sqlite file, newest first."""
    metrics, params = sqlite_reads.metrics(where), sqlite_reads.params(where)
    return [_made(head, tags, metrics[head.id], params[head.id]) for head, tags in sqlite_reads.runs(where)]


def get_run(run_id: str) -> Run:
    """One run.

    Raises:
        SettingError: no such run in this store, or a deleted one, or the server does not answer.
    """
    if sqlite_reads.can_be_read():
        found = _read(sqlite_reads.of_id(run_id))
        if not found:
            raise _deleted(run_id) if sqlite_reads.is_deleted(run_id) else _unknown(run_id)
        return found[0]
    from mlflow.exceptions import MlflowException

    try:
        with answered():
            run = client().get_run(run_id)
    except MlflowException as error:
        raise _unknown(run_id) from error
    if run.info.lifecycle_stage == "deleted":
        raise _deleted(run_id)
    return _as_run(run)


def _deleted(run_id: str) -> SettingError:
    return SettingError(
        f"run {run_id} has been deleted: restore it with `MLFLOW_TRACKING_URI={store_uri()} mlflow runs restore "
        f"--run-id {run_id}`, or take another run"
    )


def _unknown(run_id: str) -> SettingError:
    return SettingError(f"run_id {run_id!r} is not in {store_uri()}: `lit_ae.runs()` in Python lists its runs")


def dataset(run_id: str) -> tuple[str, str] | None:
    """Name and digest of the data that a run was trained on; None if it has logged none."""
    inputs = client().get_run(run_id).inputs
    found = inputs.dataset_inputs if inputs else []
    return (str(found[0].dataset.name), str(found[0].dataset.digest)) if found else None


def search(experiment: str, **tags: str) -> list[Run]:
    """Runs of an experiment with these tags, newest first."""
    if sqlite_reads.can_be_read():
        return _read(sqlite_reads.tagged(experiment, tags))
    with answered():
        return _search(experiment, tags)


def _search(experiment: str, tags: Mapping[str, str]) -> list[Run]:
    found = client().get_experiment_by_name(experiment)
    if found is None:
        return []
    quoted = {key: f'"{value}"' if "'" in value else f"'{value}'" for key, value in tags.items()}
    where = " and ".join(f"tags.`{key}` = {value}" for key, value in quoted.items())
    runs: list[Run] = []
    token = None
    while True:
        page = client().search_runs(
            [found.experiment_id], where, order_by=["attributes.start_time DESC"], page_token=token
        )
        runs += [_as_run(run) for run in page]
        token = page.token
        if not token:
            return runs


def study_parent(study: str, profile: str) -> Run | None:
    """The study's newest parent run for a profile."""
    parents = search(study, kind="study", profile=profile)
    return parents[0] if parents else None


def children(study: str, parent_id: str, **tags: str) -> list[Run]:
    """All child runs of a parent with these tags, newest first, also those of settings that the study no longer has."""
    return search(study, **{"mlflow.parentRunId": parent_id}, **tags)


def heads(study: str, parent_id: str) -> list[Run]:
    """As `children`, but for an sqlite file without metrics and parameters, which is all that planning needs."""
    if not sqlite_reads.can_be_read():
        return children(study, parent_id)
    where = sqlite_reads.tagged(study, {"mlflow.parentRunId": parent_id})
    return [_made(head, tags, {}, {}) for head, tags in sqlite_reads.runs(where)]


def newest(runs: Iterable[Run]) -> list[Run]:
    """The newest run for each model and seed, sorted by model and seed."""
    kept: dict[tuple[str, int], Run] = {}
    for run in runs:
        key = (run.model, run.seed)
        if key not in kept or run.start > kept[key].start:
            kept[key] = run
    return [kept[key] for key in sorted(kept)]


def study_runs(study: str, profile: str) -> list[Run]:
    """The newest FINISHED child run for each model and seed of the newest parent, sorted by model and seed."""
    parent = study_parent(study, profile)
    if parent is None:
        return []
    runs = children(study, parent.id, kind="run")
    return newest(run for run in runs if run.status == "FINISHED")
