"""Everything MLflow: one store, runs with the right status, and what reports read back.

Layout: an experiment is a study; its newest parent run holds a child for each model × seed. Tags: kind, study,
profile, model, data, seed, git_sha, config_hash. Metrics of an epoch carry the epoch (from 1) as their step.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae import machine
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

STORE = Path("mlruns")  # relative to the folder that the command is run in
BATCH = 1000  # MLflow's limit on metrics in one call
KIND = {"mlflow.experimentKind": "custom_model_development"}  # or MLflow's pages open on those for language models
PARAM_LENGTH = 6000  # MLflow's limit on a parameter's value


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the sqlite store under ./mlruns, absolute."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(STORE / 'mlflow.db').resolve()}"


@cache
def _client(uri: str) -> "MlflowClient":
    from filelock import FileLock

    from lit_ae.store_check import check_store

    check_store(uri)
    from mlflow import MlflowClient

    if uri != f"sqlite:///{(STORE / 'mlflow.db').resolve()}":
        return MlflowClient(uri)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)  # it tells of each table that it makes
    # Several processes that meet a fresh store at once corrupt its schema: one makes it, the others wait.
    with FileLock(STORE / ".lock"):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def client() -> "MlflowClient":
    """Client of the store, made on first use.

    Raises:
        SettingError: the store cannot be used.
    """
    return _client(store_uri())


def experiment_id(name: str) -> str:
    """Id of the experiment `name`, made with artifacts beside the store where it is new."""
    from mlflow.exceptions import MlflowException

    found = client().get_experiment_by_name(name)
    if found is None:
        local = store_uri().startswith("sqlite:")
        location = (STORE / "artifacts").resolve().as_uri() if local else None
        try:
            return str(client().create_experiment(name, artifact_location=location, tags=KIND))
        except MlflowException:  # somebody else has just made it
            found = client().get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def create_run(experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None) -> str:
    """Make a run and give its id; it is RUNNING until `ended` says otherwise."""
    all_tags = {"git_sha": machine.git_sha(), **tags}
    if parent is not None:
        all_tags["mlflow.parentRunId"] = parent
    run = client().create_run(experiment_id(experiment), run_name=name, tags=all_tags)
    return str(run.info.run_id)


def reopen(run_id: str) -> None:
    """Set the status back to RUNNING."""
    client().update_run(run_id, status="RUNNING")


def end_run(run_id: str, status: str) -> None:
    """Set the final status: FINISHED, FAILED or KILLED."""
    client().set_terminated(run_id, status)


@contextmanager
def run_status(run_id: str) -> Iterator[None]:
    """Give the run its status at once: FAILED after an exception, KILLED after Ctrl-C or SIGTERM."""
    reopen(run_id)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        try:
            end_run(run_id, "KILLED")
        except Exception:  # the interrupt came amid a write, which left its connection unusable: another one is taken
            end_run(run_id, "KILLED")
        raise
    except BaseException as error:
        client().set_tag(run_id, "error", f"{type(error).__name__}: {error}"[:PARAM_LENGTH])
        end_run(run_id, "FAILED")
        raise
    end_run(run_id, "FINISHED")


# -- writing -----------------------------------------------------------------------------------------------------


def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log values under the given step in one call."""
    import time

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    entries = [Metric(key, float(value), now, step) for key, value in metrics.items()]
    for start in range(0, len(entries), BATCH):
        client().log_batch(run_id, metrics=entries[start : start + BATCH])


def valid_key(text: str) -> str:
    """The text without what MLflow refuses in the key of a metric, such as the brackets of a row's label."""
    return re.sub(r"[^\w/. :-]", "", text)


def log_params(run_id: str, params: Mapping[str, object]) -> None:
    """Log parameters; one that the run already holds keeps its value (a resumed run may not change it)."""
    from mlflow.entities import Param

    known = client().get_run(run_id).data.params
    new = [Param(k, str(v)[:PARAM_LENGTH]) for k, v in params.items() if k not in known]
    for start in range(0, len(new), 100):  # MLflow's limit on parameters in one call
        client().log_batch(run_id, params=new[start : start + 100])


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    for key, value in tags.items():
        client().set_tag(run_id, key, value)


def log_text(run_id: str, text: str, path: str) -> None:
    """Store text as an artifact."""
    client().log_text(run_id, text, path)


def log_json(run_id: str, value: object, path: str) -> None:
    """Store a value as a JSON artifact."""
    log_text(run_id, json.dumps(value, indent=1, sort_keys=True, default=str), path)


def log_file(run_id: str, path: Path, folder: str) -> None:
    """Store a file as an artifact."""
    client().log_artifact(run_id, str(path), folder)


def log_dataset(run_id: str, name: str, digest: str, context: str, profile: Mapping[str, object]) -> None:
    """Name the data set in MLflow's own terms, by digest; the data are not stored."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    source = json.dumps({"name": name, "digest": digest})
    data = Dataset(name=name, digest=digest, source_type="local", source=source, profile=json.dumps(profile))
    inputs = [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
    try:
        client().log_inputs(run_id, inputs)
    except MlflowException:  # a run that started at the same moment named the data set first: now it is there
        client().log_inputs(run_id, inputs)


# -- checkpoints -------------------------------------------------------------------------------------------------


def checkpoint_folder(run_id: str) -> Path:
    """Folder that a run's checkpoints are written to: its artifacts where they are local."""
    uri = str(client().get_run(run_id).info.artifact_uri)
    if uri.startswith("file://"):
        return Path(url2pathname(urlparse(uri).path)) / "checkpoints"
    return STORE.resolve() / "checkpoints" / run_id


def upload_checkpoints(run_id: str) -> None:
    """Copy checkpoints to the run's artifacts where these lie elsewhere."""
    folder = checkpoint_folder(run_id)
    if folder.parent.name == "checkpoints" and folder.is_dir():
        client().log_artifacts(run_id, str(folder), "checkpoints")


def last_checkpoint(run_id: str) -> Path:
    """The run's last checkpoint as a local file.

    Raises:
        SettingError: the run left none.
    """
    path = get_run(run_id).artifact("checkpoints/last.ckpt")
    if path is None:
        raise SettingError(f"run {run_id} has no checkpoint last.ckpt: train it first, or give --ckpt_path")
    return path


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A child run as reports and tests across seeds see it; times in seconds since the epoch."""

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

    @property
    def seconds(self) -> float:
        """At work on it, in training and in every scoring; of a run outside a study from start to end."""
        return float(self.tags.get("seconds", (self.end or self.start) - self.start))

    def history(self, key: str) -> list[tuple[int, float]]:
        """(epoch, value) pairs of a metric, in order."""
        history = client().get_metric_history(self.id, key)
        return sorted({m.step: m.value for m in history}.items())

    def artifact(self, path: str) -> Path | None:
        """Local path of an artifact, None where the run has none."""
        from mlflow.exceptions import MlflowException

        uri = str(client().get_run(self.id).info.artifact_uri)
        try:
            if uri.startswith("file://"):  # `download_artifacts` would leave a copy behind at every call
                local = Path(url2pathname(urlparse(uri).path)) / path
            else:
                local = Path(client().download_artifacts(self.id, path))
        except (MlflowException, OSError):
            return None
        return local if local.exists() else None


def _as_run(run: Any) -> Run:
    tags = dict(run.data.tags)
    return Run(
        id=run.info.run_id,
        model=tags.get("model", ""),
        seed=int(tags.get("seed", -1)),
        data=tags.get("data", ""),
        status=run.info.status,
        metrics=dict(run.data.metrics),
        tags=tags,
        params=dict(run.data.params),
        start=run.info.start_time / 1000,
        end=run.info.end_time / 1000 if run.info.end_time else None,
    )


def get_run(run_id: str) -> Run:
    """One run.

    Raises:
        SettingError: no such run in this store.
    """
    from mlflow.exceptions import MlflowException

    try:
        return _as_run(client().get_run(run_id))
    except MlflowException as error:
        raise SettingError(f"run_id {run_id!r} is not in {store_uri()}: see `make ui` for the runs") from error


def search(experiment: str, **tags: str) -> list[Run]:
    """Runs of an experiment with these tags, newest first."""
    found = client().get_experiment_by_name(experiment)
    if found is None:
        return []
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
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


def children(study: str, parent_id: str) -> list[Run]:
    """All children of a parent, newest first, those of settings that are no longer wanted included."""
    return search(study, **{"mlflow.parentRunId": parent_id})


def newest(runs: Iterable[Run]) -> list[Run]:
    """The newest run for each model × seed, sorted by model and seed."""
    kept: dict[tuple[str, int], Run] = {}
    for run in runs:
        key = (run.model, run.seed)
        if key not in kept or run.start > kept[key].start:
            kept[key] = run
    return [kept[key] for key in sorted(kept)]


def study_runs(study: str, profile: str) -> list[Run]:
    """The newest FINISHED child for each model × seed of the newest parent, by model and seed."""
    parent = study_parent(study, profile)
    if parent is None:
        return []
    runs = children(study, parent.id)
    return newest(run for run in runs if run.status == "FINISHED" and run.tags["kind"] == "run")
