"""The parent run of a study, and the right to do its runs, which one process has at a time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.spec import Profile, Study

TAG_LENGTH = 5000  # MLflow's limit on a tag's value, of older versions too
SETTLING = 1.0  # seconds after which two processes that claimed a study at the same moment see which was the last


def open_parent(study: Study, profile: Profile) -> str:
    """The run of the study's profile, created if need be, with today's seeds and comparisons; its status stays."""
    found = tracking.study_parent(study.name, profile.name)
    if found is None:
        tags = {"kind": "study", "study": study.name, "profile": profile.name, "data": ", ".join(profile.data_sets)}
        run_id = tracking.create_run(study.name, f"{study.name} {profile.name}", tags)
    else:
        run_id = found.id
    needed = ("metric", "a", "b", "b_metric", "test")
    declared = [
        {**{key: getattr(c, key) for key in needed}, "seeds": study.common_seeds(c, profile)} for c in study.comparisons
    ]
    comparisons = json.dumps(declared)
    if len(comparisons) > TAG_LENGTH:  # MLflow would cut it off: then only the report makes the tests
        comparisons = "[]"
    columns = json.dumps([column.metric for column in study.columns])
    tracking.set_tags(run_id, {"comparisons": comparisons, "seeds": json.dumps(profile.seeds), "columns": columns})
    tracking.log_json(run_id, asdict(study), "study.json")
    return run_id


@contextmanager
def lease(study: Study, profile: Profile) -> Iterator[str]:
    """Be the only process that runs the study's profile, on this or any machine; gives the id of the parent run.

    For the store of this machine a file is locked. For any store the parent run names its owner; MLflow has no atomic
    change of a tag, so a claim counts if it is still there a second later.

    Raises:
        SettingError: another process is running the study.
    """
    from filelock import FileLock, Timeout

    local = tracking.store_uri().startswith("sqlite")
    tracking.STORE.mkdir(parents=True, exist_ok=True)
    lock = FileLock(tracking.STORE / f".{study.name}-{profile.name}.lock")
    try:
        locked = lock.acquire(timeout=0)
    except Timeout as error:
        raise _held(study, profile, "another process") from error
    with locked:
        _refuse_if_held(study, profile)
        run_id = open_parent(study, profile)
        tracking.reopen(run_id)
        with tracking.owned(run_id):
            if not local:
                time.sleep(SETTLING)
                _refuse_if_held(study, profile)
            yield run_id


def _refuse_if_held(study: Study, profile: Profile) -> None:
    found = tracking.study_parent(study.name, profile.name)
    if found and found.status == "RUNNING" and not tracking.is_own(found.tags) and tracking.is_alive(found.tags):
        raise _held(study, profile, tracking.owner_name(found.tags))


def _held(study: Study, profile: Profile, owner: str) -> SettingError:
    return SettingError(
        f"study {study.name}, profile {profile.name}, is being run by {owner}: wait for it or stop it (a process of "
        f"another machine counts as dead {tracking.STALE:.0f} s after its last sign of life)"
    )
