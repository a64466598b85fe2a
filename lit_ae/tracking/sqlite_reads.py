"""Questions to an sqlite store, past MLflow: its import takes seconds, and it makes an object of every value."""

import math
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from sys import intern
from typing import Any, NamedTuple

from lit_ae.tracking.store import creation_lock, store_uri
from lit_ae.tracking.store_check import check_store, sqlite_file

OF_RUNS = """
    select {columns} from runs join experiments on experiments.experiment_id = runs.experiment_id
    left join {table} on {table}.run_uuid = runs.run_uuid
    where {where} order by runs.start_time desc, runs.run_uuid
"""
TAGGED = "and exists (select 1 from tags as own where own.run_uuid = runs.run_uuid and own.key = ? and own.value = ?)"
HEAD = "runs.run_uuid, runs.status, runs.start_time, runs.end_time, runs.artifact_uri"
HISTORY = "select step, value, is_nan from metrics where run_uuid = ? and key = ? order by step, timestamp"
TABLES = "select 1 from sqlite_master where type = 'table' and name = 'runs'"
TIMEOUT = 60.0  # seconds to wait while another process is writing


class Head(NamedTuple):
    """What MLflow's table of runs holds of one; times in milliseconds since 1970."""

    id: str
    status: str
    start: int
    end: int | None
    artifact_uri: str


class Where(NamedTuple):
    """Which runs are asked for: a condition of SQL and the values of its question marks."""

    condition: str
    values: tuple[str, ...]


def can_be_read() -> bool:
    """Whether the store is an sqlite file given by its path alone."""
    return _path() is not None


def of_id(run_id: str) -> Where:
    """One run that is not deleted."""
    return Where("runs.run_uuid = ? and runs.lifecycle_stage = 'active'", (run_id,))


def is_deleted(run_id: str) -> bool:
    """Whether there is a deleted run of this id."""
    return any(True for _ in _asked("select 1 from runs where run_uuid = ? and lifecycle_stage = 'deleted'", run_id))


def tagged(experiment: str, tags: Mapping[str, str]) -> Where:
    """The runs of an experiment with these tags that are not deleted."""
    condition = " ".join(["experiments.name = ? and runs.lifecycle_stage = 'active'", *[TAGGED] * len(tags)])
    return Where(condition, (experiment, *(text for pair in tags.items() for text in pair)))


def runs(where: Where) -> list[tuple[Head, dict[str, str]]]:
    """These runs, newest first, and their tags.

    Raises:
        SettingError: the store cannot be used.
    """
    found: dict[Head, dict[str, str]] = {}
    for *head, key, value in _of_runs("tags", f"{HEAD}, tags.key, tags.value", where):
        own = found.setdefault(Head(*head), {})
        if key is not None:  # of a run without tags
            own[intern(key)] = value
    return list(found.items())


def metrics(where: Where) -> dict[str, dict[str, float]]:
    """The last value of each metric of these runs, by the run's id."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    columns = ", ".join(f"latest_metrics.{name}" for name in ("run_uuid", "key", "value", "is_nan"))
    for run_id, key, value, nan in _of_runs("latest_metrics", columns, where):
        if key is not None:
            found[run_id][intern(key)] = as_logged(value, nan)
    return found


def params(where: Where) -> dict[str, dict[str, str]]:
    """The parameters of these runs, by the run's id."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in _of_runs("params", "params.run_uuid, params.key, params.value", where):
        if key is not None:
            found[run_id][intern(key)] = intern(value)  # most are the same in all runs of a study
    return found


def history(run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) pairs of a metric, in order; of several values of a step the last."""
    return list({step: as_logged(value, nan) for step, value, nan in _asked(HISTORY, run_id, key)}.items())


def as_logged(value: float, nan: bool = False) -> float:
    """A metric's value as it was logged: MLflow's database holds an infinite one as the largest number."""
    if nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def _of_runs(table: str, columns: str, where: Where) -> Iterator[Any]:
    return _asked(OF_RUNS.format(table=table, columns=columns, where=where.condition), *where.values)


def _asked(question: str, *values: str) -> Iterator[Any]:
    """The rows of the answer, one by one; none if the store is new and has no tables."""
    path = _path()
    assert path is not None
    _check(store_uri())
    with closing(sqlite3.connect(path, timeout=TIMEOUT)) as base:
        if base.execute(TABLES).fetchone():
            yield from base.execute(question, values)


@cache
def _check(uri: str) -> None:
    """Wait for a process that is making the store's tables, and refuse a store that cannot be used, as MLflow would."""
    check_store(uri)
    database = sqlite_file(uri)
    assert database is not None
    with creation_lock(database):
        pass


def _path() -> str | None:
    scheme, _, path = store_uri().partition(":///")
    return path if scheme == "sqlite" and not path.startswith("file:") and "?" not in path else None
