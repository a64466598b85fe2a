"""Two questions to an sqlite store, past MLflow, which makes an object of every value: seconds for 2,000 runs."""

import math
import sqlite3
from contextlib import closing
from typing import Any, NamedTuple

from lit_ae.tracking.store import client, store_uri

CHILDREN = """
    select runs.run_uuid, runs.status, runs.start_time, runs.end_time, runs.artifact_uri, tags.key, tags.value
    from runs join tags as parent on parent.run_uuid = runs.run_uuid join tags on tags.run_uuid = runs.run_uuid
    where parent.key = 'mlflow.parentRunId' and parent.value = ? and runs.lifecycle_stage = 'active'
    order by runs.start_time desc, runs.run_uuid
"""
HISTORY = "select step, value, is_nan from metrics where run_uuid = ? and key = ? order by step, timestamp"
TIMEOUT = 60.0  # seconds to wait while another process is writing


class Head(NamedTuple):
    """What MLflow's table of runs holds of one; times in milliseconds since 1970."""

    id: str
    status: str
    start: int
    end: int | None
    artifact_uri: str


def can_be_read() -> bool:
    """Whether the store is an sqlite file given by its path alone."""
    return _path() is not None


def child_runs(parent_id: str) -> list[tuple[Head, dict[str, str]]]:
    """The child runs of a parent, newest first, and their tags."""
    tags: dict[Head, dict[str, str]] = {}
    for *head, key, value in _asked(CHILDREN, parent_id):
        tags.setdefault(Head(*head), {})[key] = value
    return list(tags.items())


def history(run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) pairs of a metric, in order; of several values of a step the last."""
    return list({step: math.nan if nan else value for step, value, nan in _asked(HISTORY, run_id, key)}.items())


def _asked(question: str, *values: str) -> list[Any]:
    client()  # makes the tables of a new store
    path = _path()
    assert path is not None
    with closing(sqlite3.connect(path, timeout=TIMEOUT)) as base:
        return base.execute(question, values).fetchall()


def _path() -> str | None:
    scheme, _, path = store_uri().partition(":///")
    return path if scheme == "sqlite" and not path.startswith("file:") and "?" not in path else None
