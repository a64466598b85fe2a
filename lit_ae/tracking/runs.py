"""Writing to a run."""

import json
import posixpath
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae.errors import SettingError
from lit_ae.settings.whole_files import whole_file, write_whole
from lit_ae.tracking import machine
from lit_ae.tracking.query import get_run
from lit_ae.tracking.store import STORE, client, experiment_id, store_uri
from lit_ae.tracking.unsent import answered, ask_again, sent_or_kept

BATCH = 1000  # MLflow's limit on metrics in one call
PARAM_LENGTH = 6000  # MLflow's limit on a parameter's value
KEY_LENGTH = 250  # the same on its name, and on that of a metric

Value = TypeVar("Value")
Logged: TypeAlias = tuple[Mapping[str, float], int, int]  # metrics, step, time in ms since 1970


def create_run(
    experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None, start: float | None = None
) -> str:
    """Create a run and return its id; its status is RUNNING until `end_run` changes it.

    Args:
        experiment: is created if need be.
        name: of the run.
        tags: of the run; `git_sha` is added if it is missing.
        parent: id of its parent run.
        start: in seconds since 1970; None: now.
    """
    all_tags = {**tags} if "git_sha" in tags else {"git_sha": machine.git_sha(), **tags}
    if parent is not None:
        all_tags["mlflow.parentRunId"] = parent
    with answered():
        at = None if start is None else round(start * 1000)
        run = client().create_run(experiment_id(experiment), run_name=name, tags=all_tags, start_time=at)
    return str(run.info.run_id)


@sent_or_kept
def reopen(run_id: str) -> None:
    """Set the status back to RUNNING."""
    client().update_run(run_id, status="RUNNING")


def end_run(run_id: str, status: str) -> None:
    """Set the final status: FINISHED, FAILED or KILLED."""
    ask_again()
    write_end(run_id, status, _now())


@sent_or_kept
def write_end(run_id: str, status: str, at: int) -> None:
    """Write the final status and the time of the end, in ms since 1970."""
    client().set_terminated(run_id, status, at)


@contextmanager
def run_status(run_id: str, kept: str = "") -> Iterator[None]:
    """Set the run's status at its end: FINISHED, FAILED after an exception, or KILLED after Ctrl-C or SIGTERM.

    Args:
        run_id: the run.
        kept: the status that it has at the end in any case, as that of its training while it is only tested.
    """
    reopen(run_id)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        try:
            end_run(run_id, kept or "KILLED")
        except Exception:  # an interrupted write leaves its connection unusable: the second attempt takes a new one
            end_run(run_id, kept or "KILLED")
        raise
    except BaseException as error:
        set_tags(run_id, {"error": f"{type(error).__name__}: {error}"[:PARAM_LENGTH]})
        end_run(run_id, kept or "FAILED")
        raise
    end_run(run_id, kept or "FINISHED")


def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log values under the same step in one call."""
    write_all_metrics(run_id, [timed(valid_keys(metrics), step)])


def timed(metrics: Mapping[str, float], step: int) -> Logged:
    """Values to write, with the time at which they are logged, so that to write them again changes nothing."""
    return {key: float(value) for key, value in metrics.items()}, step, _now()


@sent_or_kept
def write_all_metrics(run_id: str, logged: Sequence[Logged]) -> None:
    """Write what `timed` gave, several times, in one call."""
    from mlflow.entities import Metric

    entries = [Metric(key, value, at, step) for metrics, step, at in logged for key, value in metrics.items()]
    for start in range(0, len(entries), BATCH):
        client().log_batch(run_id, metrics=entries[start : start + BATCH])


@sent_or_kept
def write_metrics(run_id: str, metrics: Mapping[str, float], step: int, at: int) -> None:
    """As `write_all_metrics`, as earlier versions have kept it on disk while their server did not answer."""
    write_all_metrics(run_id, [(metrics, step, at)])


def valid_key(text: str) -> str:
    """The text without what MLflow refuses in a key: signs such as brackets, empty folders, too many characters."""
    plain = re.sub(r"[^\w/. :-]", "", text)
    return posixpath.normpath(f"/{plain}").lstrip("/")[:KEY_LENGTH] or "_"


def valid_keys(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values under keys that MLflow takes; a line on standard error names each one that is changed.

    Raises:
        SettingError: two keys become the same.
    """
    old: dict[str, str] = {}
    for key in values:
        new = valid_key(key)
        if new in old:
            raise SettingError(
                f"{old[new]!r} and {key!r} would both be called {new!r} in MLflow, which does not take all of their "
                "characters: rename one"
            )
        if new != key:
            _tell_of_new_name(key, new)
        old[new] = key
    return {new: values[key] for new, key in old.items()}


@cache
def _tell_of_new_name(key: str, new: str) -> None:
    print(f"warning: MLflow does not take the name {key!r}: it is logged as {new!r}", file=sys.stderr)


@sent_or_kept
def log_params(run_id: str, params: Mapping[str, object], epoch: int = 0) -> None:
    """Log parameters; a parameter that the run already has keeps its value, since MLflow does not let it change.

    If its training goes on after `epoch` epochs, a value that has changed is logged as NAME/from_epoch_EPOCH.
    """
    from mlflow.entities import Param

    known = get_run(run_id).params
    values = {key: str(value)[:PARAM_LENGTH] for key, value in valid_keys(params).items()}
    if epoch:
        later = {f"{key}/from_epoch_{epoch}": value for key, value in values.items() if known.get(key, value) != value}
        values |= later
    new = [Param(key, value) for key, value in values.items() if key not in known]
    for start in range(0, len(new), 100):  # MLflow's limit on parameters in one call
        client().log_batch(run_id, params=new[start : start + 100])


@sent_or_kept
def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run in one write."""
    from mlflow.entities import RunTag

    client().log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


@sent_or_kept
def log_text(run_id: str, text: str, path: str) -> None:
    """Store text as an artifact."""
    if folder := local_artifacts(run_id):
        write_whole(folder / path, text.encode())
    else:
        client().log_text(run_id, text, path)


def log_json(run_id: str, value: object, path: str) -> None:
    """Store a value as a JSON artifact."""
    log_text(run_id, json.dumps(value, indent=1, sort_keys=True, default=str), path)


@sent_or_kept
def log_file(run_id: str, path: Path, folder: str) -> None:
    """Store a file as an artifact."""
    if local := local_artifacts(run_id):
        with whole_file(local / folder / path.name) as part:
            shutil.copyfile(path, part)
    else:
        client().log_artifact(run_id, str(path), folder)


@sent_or_kept
def log_dataset(run_id: str, name: str, digest: str, context: str, profile: Mapping[str, object]) -> None:
    """Log the data set's name and digest as an MLflow input; the data are not stored."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    source = json.dumps({"name": name, "digest": digest})
    data = Dataset(name=name, digest=digest, source_type="local", source=source, profile=json.dumps(profile))
    inputs = [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
    try:
        client().log_inputs(run_id, inputs)
    except MlflowException:  # another run has created the data set's entry at the same moment, so now it exists
        client().log_inputs(run_id, inputs)


def has_local_artifacts(run_id: str) -> bool:
    """Whether a run's artifacts are files that this machine reaches by their path."""
    return local_artifacts(run_id) is not None


def local_artifacts(run_id: str) -> Path | None:
    """The folder of a run's artifacts; None if they are on another machine."""
    uri = _artifact_uri(store_uri(), run_id)
    return Path(url2pathname(urlparse(uri).path)) if uri.startswith("file://") else None


@cache
def _artifact_uri(store: str, run_id: str) -> str:
    """Where a run's artifacts are, which never changes: asked for once, as the server may be gone later."""
    return get_run(run_id).artifact_uri


def _now() -> int:
    return int(time.time() * 1000)


def checkpoint_folder(run_id: str) -> Path:
    """Folder that a run's checkpoints are written to: within its artifacts if these are local files."""
    if folder := local_artifacts(run_id):
        return folder / "checkpoints"
    return STORE.resolve() / "checkpoints" / run_id
