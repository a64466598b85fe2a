"""A file that all runs of a study use, so that their scores compare: made by one of them, an artifact of the parent."""

import time
from collections.abc import Callable
from pathlib import Path

from lit_ae.tracking.owner import is_alive
from lit_ae.tracking.query import get_run
from lit_ae.tracking.runs import log_file, set_tags
from lit_ae.tracking.store import store_uri
from lit_ae.tracking.unsent import ServerGone

FOLDER = "shared"
MADE = "made"  # value of the parent's tag shared.NAME when the file is there; before, the run that makes it
POLL = 1.0  # seconds between two looks; also how long a claim is left before it counts, as MLflow's tags have no lock


def shared_with_study(run_id: str, name: str, make: Callable[[], Path]) -> Path:
    """The file of that name, as a local path.

    The first run of the study that asks for it makes it, under a name that says what it depends on, and the others wait
    for it: made on another machine, it might differ. If that run dies, another one makes it. A run outside a study
    makes its own, and so does one whose MLflow server does not answer.

    Args:
        run_id: the run that asks.
        name: of the file.
        make: makes the file and returns its path.
    """
    try:
        return _of_study(run_id, name, make)
    except ServerGone:
        return make()  # its protocol says by which file it was scored


def _of_study(run_id: str, name: str, make: Callable[[], Path]) -> Path:
    parent = get_run(run_id).tags.get("mlflow.parentRunId")
    if parent is None:
        return make()
    key = f"{FOLDER}.{name}"
    while True:
        holder = get_run(parent).tags.get(key)
        if holder == MADE and (found := get_run(parent).artifact(f"{FOLDER}/{name}")):
            return found
        if _claimed(parent, key, holder, run_id):
            try:
                made = make()
            except BaseException:
                set_tags(parent, {key: ""})  # nobody needs to wait for it
                raise
            log_file(parent, made, FOLDER)
            set_tags(parent, {key: MADE})
            return made
        time.sleep(POLL)


def _claimed(parent: str, key: str, holder: str | None, run_id: str) -> bool:
    """Whether this run is the one that makes the file, as none does that is alive."""
    if holder and holder not in (MADE, run_id):
        other = get_run(holder)
        if other.status == "RUNNING" and is_alive(other.tags):
            return False
    set_tags(parent, {key: run_id})
    if store_uri().startswith("sqlite"):  # on one machine the file's own cache sees to it that it is made once
        return True
    time.sleep(POLL)
    return get_run(parent).tags.get(key) == run_id
