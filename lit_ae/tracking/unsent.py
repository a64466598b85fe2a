"""Writes to a run whose MLflow server has gone away: kept on disk in their order, and sent when it is back.

MLflow tries a request again for minutes (`MLFLOW_HTTP_REQUEST_MAX_RETRIES`, `..._BACKOFF_FACTOR`, `..._TIMEOUT`). When
a write has failed in spite of that, it and those that follow go to `mlruns/unsent/RUN`, and the server is asked again
every `PAUSE` seconds. To send a write twice changes nothing: a metric keeps the time at which it was logged, and the
store has a value of the same key, time and step once.
"""

import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from lit_ae.errors import NotComputable, SettingError
from lit_ae.tracking.store import STORE, store_uri
from lit_ae.tracking.store_check import no_server

FOLDER = "unsent"
WRITES, STORE_FILE = "writes.jsonl", "store"
PAUSE = 60.0  # seconds between two looks whether the server is back
PATIENCE = 10.0  # seconds to wait for another process that writes to the same run

P = ParamSpec("P")
_thread = threading.local()
_known: dict[str, Callable[..., None]] = {}
_asked: dict[str, float] = {}  # address of a server that does not answer -> when it was asked last


class ServerGone(NotComputable):
    """The MLflow server does not answer a question, after all attempts."""

    def __init__(self) -> None:
        super().__init__(
            f"the MLflow server {store_uri()} does not answer: start it again, then run `lit-ae sync` and the same "
            "command"
        )


@contextmanager
def answered() -> Iterator[None]:
    """Turn MLflow's errors about a server that does not answer into `ServerGone`."""
    try:
        yield
    except Exception as error:
        if has_no_answer(error):
            raise ServerGone from error
        raise


def sent_or_kept(write: Callable[Concatenate[str, P], None]) -> Callable[Concatenate[str, P], None]:
    """Make a function that writes to a run keep its call on disk if the server does not answer.

    Its arguments after the run's id are plain data or paths of files, which are copied.
    """
    _known[write.__name__] = write

    @wraps(write)
    def send(run_id: str, /, *args: P.args, **kwargs: P.kwargs) -> None:
        uri = store_uri()
        if not uri.startswith("http") or getattr(_thread, "writes", False):  # a part of a write that is kept whole
            write(run_id, *args, **kwargs)
            return
        with _held(run_id, timeout=-1) as folder:
            try:
                if uri in _asked or folder.exists():
                    _look(uri)
                    _send(run_id, folder)
                write(run_id, *args, **kwargs)
            except Exception as error:
                if not has_no_answer(error):
                    raise
                _keep(folder, uri, write.__name__, args, kwargs)

    return send


def send_unsent(everywhere: bool = False) -> list[str]:
    """Send what is kept for the runs of this store, or of all stores; gives the ids of the runs that now have it.

    Raises:
        SettingError: a server does not answer or refuses a write; what is kept stays.
    """
    done, kept_uri = [], os.environ.get("MLFLOW_TRACKING_URI")
    for folder in unsent_runs(everywhere):
        os.environ["MLFLOW_TRACKING_URI"] = (folder / STORE_FILE).read_text(encoding="utf-8")
        _asked.pop(store_uri(), None)
        try:
            with _held(folder.name, PATIENCE):
                _look(store_uri())
                _send(folder.name, folder)
        except TimeoutError as error:
            raise SettingError(f"run {folder.name} is being written by its own process: try again later") from error
        except Exception as error:
            if has_no_answer(error):
                raise ServerGone from error
            reason = " ".join(str(error).split())
            raise SettingError(
                f"what is kept in {folder} was refused by the MLflow server {store_uri()} ({reason}) and stays there. "
                "Put that right (for a server with a password: MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD), then run `lit-ae sync`. Deleting the folder loses these values"
            ) from error
        finally:
            os.environ.pop("MLFLOW_TRACKING_URI")
            if kept_uri is not None:
                os.environ["MLFLOW_TRACKING_URI"] = kept_uri
        done.append(folder.name)
    return done


def ask_again() -> None:
    """Let the next write ask a server that did not answer, however short a while ago that was."""
    if store_uri() in _asked:
        _asked[store_uri()] = -math.inf


def waits(run_id: str) -> bool:
    """Whether something of a run is kept on disk until its server answers."""
    return run_id in {folder.name for folder in unsent_runs()}


def unsent_runs(everywhere: bool = False) -> list[Path]:
    """The folders of the runs for which something is kept, of this store or of all."""
    found = sorted(path.parent for path in (STORE / FOLDER).glob(f"*/{STORE_FILE}"))
    return [folder for folder in found if everywhere or (folder / STORE_FILE).read_text("utf-8") == store_uri()]


# -- one run -------------------------------------------------------------------------------------------------------


@contextmanager
def _held(run_id: str, timeout: float) -> Iterator[Path]:
    """The folder of a run, into which nobody else writes meanwhile."""
    from filelock import FileLock

    folder = (STORE / FOLDER).resolve() / run_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock"), timeout):
        _thread.writes = True
        try:
            yield folder
        finally:
            _thread.writes = False


def _look(uri: str) -> None:
    """Return if the server may be back; one that was asked a short while ago is not asked again."""
    if uri in _asked and time.monotonic() - _asked[uri] < PAUSE:
        raise ServerGone
    if no_server(uri) is not None:
        _asked[uri] = time.monotonic()
        raise ServerGone
    _asked.pop(uri, None)


def _keep(folder: Path, uri: str, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    if uri not in _asked:
        print(
            f"warning: the MLflow server {uri} does not answer: training goes on, and what is to be logged is kept in "
            f"{folder.parent} until the server is back, or `lit-ae sync` sends it",
            file=sys.stderr,
        )
        _asked[uri] = time.monotonic()
    folder.mkdir(exist_ok=True)
    (folder / STORE_FILE).write_text(uri, encoding="utf-8")

    def plain(value: object) -> object:
        if not isinstance(value, Path):
            return value
        copy = folder / f"{len(list(folder.iterdir()))}" / value.name
        copy.parent.mkdir()
        shutil.copyfile(value, copy)
        return {"file": copy.relative_to(folder).as_posix()}

    call = {"write": name, "args": [plain(v) for v in args], "kwargs": {k: plain(v) for k, v in kwargs.items()}}
    with (folder / WRITES).open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(call)}\n")  # on a line of its own, also after one that was cut off
        file.flush()
        os.fsync(file.fileno())


def _send(run_id: str, folder: Path) -> None:
    """Make the calls that are kept, and then delete them."""
    for call in _calls(folder):
        _known[call["write"]](run_id, *call["args"], **call["kwargs"])
    shutil.rmtree(folder, ignore_errors=True)


def _calls(folder: Path) -> Iterator[dict[str, Any]]:
    def restored(value: object) -> object:
        return folder / str(value["file"]) if isinstance(value, dict) and value.keys() == {"file"} else value

    path = folder / WRITES
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            call = json.loads(line or "null")
        except ValueError:  # the process was killed while it wrote this line
            continue
        if call is not None:
            yield {
                "write": call["write"],
                "args": [restored(value) for value in call["args"]],
                "kwargs": {key: restored(value) for key, value in call["kwargs"].items()},
            }


def has_no_answer(error: BaseException) -> bool:
    """Whether MLflow has given up asking a server, for want of an answer; a refusal is an answer."""
    if isinstance(error, ServerGone):
        return True
    library, kind = type(error).__module__.partition(".")[0], type(error).__name__
    gave_up = (library, kind) == ("mlflow", "MlflowException") and str(error).startswith("API request to http")
    return gave_up or (library == "requests" and kind != "HTTPError")
