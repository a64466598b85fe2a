"""Which process works on a run: this distinguishes a run that goes on elsewhere from one whose process is gone."""

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lit_ae.tracking.runs import end_run, set_tags
from lit_ae.tracking.store import client, store_uri
from lit_ae.tracking.store_check import no_server
from lit_ae.tracking.uploads import CheckpointUploads

HEARTBEAT = 30.0  # seconds between two signs of life
STALE = 300.0  # seconds without one after which an owner on another machine counts as dead; clocks differ by less


@contextmanager
def owned(run_id: str) -> Iterator[None]:
    """Say that this process works on a run, with a sign of life every `HEARTBEAT` seconds from a thread of its own.

    The same thread uploads new checkpoints if the run's artifacts are on another machine, so that the run can go on
    there from the last one.
    """
    set_tags(run_id, owner_tags())
    ended = threading.Event()
    uploads = CheckpointUploads(run_id)

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            with suppress(Exception):  # the next sign of life may get through again
                if _is_reached():
                    set_tags(run_id, {"heartbeat": owner_tags()["heartbeat"]})
                    uploads.upload()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_reached() -> bool:
    """Whether the store answers: MLflow would try for minutes, for which the end of a run would wait."""
    return not store_uri().startswith("http") or no_server(store_uri()) is None


def end_abandoned(experiment: str) -> None:
    """Set the runs of an experiment to KILLED that are RUNNING and whose process is gone.

    Runs without the tag of an owner as this module writes it stay as they are.
    """
    found = client().get_experiment_by_name(experiment)
    if found is None:
        return
    for run in client().search_runs([found.experiment_id], "attributes.status = 'RUNNING'"):
        if _owner(run.data.tags) and not is_alive(run.data.tags):
            end_run(run.info.run_id, "KILLED")


def owner_tags() -> dict[str, str]:
    """The tags by which a run names this process, and the time in seconds since 1970."""
    pid = os.getpid()
    owner = {"host": _host(), "pid": pid, "started": _started(pid)}
    return {"owner": json.dumps(owner, sort_keys=True), "heartbeat": f"{time.time():.0f}"}


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that a run's tags name is alive.

    On this machine: whether it is there, with the same start time. On another one: whether its last sign of life is at
    most `STALE` seconds old.
    """
    owner = _owner(tags)
    if owner is None:
        return False
    if owner["host"] == _host():
        return bool(owner["started"]) and _started(owner["pid"]) == owner["started"]
    return time.time() - float(tags.get("heartbeat", 0)) <= STALE


def is_own(tags: Mapping[str, str]) -> bool:
    """Whether a run's tags name this process."""
    return tags.get("owner") == owner_tags()["owner"]


def owner_name(tags: Mapping[str, str]) -> str:
    """The process that a run's tags name, in words."""
    owner = _owner(tags)
    if owner is None:
        return "another process"
    return f"process {owner['pid']} on {owner['host'].split()[0]}"


def _owner(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Host, number and start of the process that a run's tags name; None if they name none, or what is none of ours."""
    try:
        owner = json.loads(tags.get("owner", ""))
    except ValueError:
        return None
    return owner if isinstance(owner, dict) and owner.keys() >= {"host", "pid", "started"} else None


def _host() -> str:
    """The name of this machine, and on Linux of the space in which its process numbers hold, as of a container.

    Machines that were copied have one name and one such space: the number of its last start tells them apart.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')} {start}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str:
    """When a process of this machine was started; empty if it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # After the name, which is in brackets and may hold anything: the state, and 19 fields later the start time
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
