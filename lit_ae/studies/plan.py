"""What a study still has to do, from the runs that the store holds."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae import tracking
from lit_ae.studies.jobs import Job, jobs
from lit_ae.studies.order import Durations
from lit_ae.studies.spec import Profile, Study

Fit: TypeAlias = tuple[str, int, str]  # a job's model, seed and fit_hash


@dataclass
class Plan:
    """The jobs to do, and what earlier runs spare them."""

    todo: list[Job]
    trained: dict[Fit, str] = field(default_factory=dict)  # the run whose checkpoint holds that training
    outdated: dict[str, list[str]] = field(default_factory=dict)  # run -> its scores of another version
    stopped: dict[Fit, str] = field(default_factory=dict)  # the run from whose last checkpoint that training can go on
    elsewhere: dict[str, Job] = field(default_factory=dict)  # run that another process is doing -> its job
    durations: Durations = field(default_factory=Durations)
    lost: str = ""  # a sentence about finished runs whose artifacts are not there

    def ready(self) -> Iterator[Job]:
        """The jobs that can begin: the run that they are initialised from has been trained."""
        return (job for job in self.todo if job.start is None or job.start in self.trained)

    def expected(self, jobs: Iterable[Job]) -> float:
        """Seconds that jobs are expected to take together."""
        rows = Counter(job.model for job in jobs)
        return sum(n * self.durations.expected(row) for row, n in rows.items())


def reconcile(study: Study, profile: Profile, parent: str) -> Plan:
    """The study's plan; a job whose training is in the store needs a test only, if its scores have changed.

    A run that another process is doing is left to it. Runs that were left RUNNING when their process was killed become
    KILLED, those of other settings `stale`.
    """
    wanted = {(job.model, job.seed, job.config_hash): job for job in jobs(study, profile)}
    runs = []
    elsewhere: dict[str, Job] = {}
    for run in tracking.heads(study.name, parent):  # newest first
        alive = run.status == "RUNNING" and tracking.is_alive(run.tags)
        if run.status == "RUNNING" and not alive:
            tracking.end_run(run.id, "KILLED")
            run = replace(run, status="KILLED")
        kind = "run" if _key(run) in wanted else "stale"
        if run.tags["kind"] != kind:
            tracking.set_tags(run.id, {"kind": kind})
        if alive and kind == "run":
            elsewhere[run.id] = wanted[_key(run)]
        runs.append(run)
    done = {_key(run) for run in runs if run.status == "FINISHED"}
    elsewhere = {run_id: job for run_id, job in elsewhere.items() if _job_key(job) not in done}
    begun = {_job_key(job) for job in elsewhere.values()}
    plan = Plan([job for key, job in wanted.items() if key not in done | begun])
    plan.elsewhere, plan.durations = elsewhere, Durations.of(study, runs)
    plan.lost = lost_artifacts(run for run in runs if _key(run) in wanted)
    needed = {
        fit for job in (*plan.todo, *elsewhere.values()) for fit in ((job.model, job.seed, job.fit_hash), job.start)
    }
    for run in runs:
        fit = (run.model, run.seed, run.tags["fit_hash"])
        if fit not in needed:
            continue
        if _has_checkpoint(run):
            plan.trained.setdefault(fit, run.id)
        elif run.status == "KILLED" and tracking.has_last_checkpoint(run.id):
            plan.stopped.setdefault(fit, run.id)
    for job in plan.todo:
        found = with_outdated_scores(job, runs)
        if found:
            run, names = found
            plan.trained[job.model, job.seed, job.fit_hash] = run.id
            plan.outdated[run.id] = names
    return plan


def with_outdated_scores(job: Job, runs: Sequence[tracking.Run]) -> tuple[tracking.Run, list[str]] | None:
    """The newest finished run with a job's settings but older scores, and the names of these scores."""
    for run in runs:
        if (run.model, run.seed, run.status) != (job.model, job.seed, "FINISHED"):
            continue
        if run.tags.get("settings_hash", run.tags.get("config_hash")) != job.settings_hash:
            continue  # a run without that tag is older than versions: its hash is that of its settings
        names = outdated_scores(run, job)
        if names and _has_checkpoint(run):
            return run, names
    return None


def outdated_scores(run: tracking.Run, job: Job) -> list[str]:
    """The scores of a run that were computed by another version of their code than today's."""
    made_by = json.loads(run.tags.get("score_versions", "{}"))
    return [name for name, version in job.versions.items() if made_by.get(name, 1) != version]


def _key(run: tracking.Run) -> tuple[str, int, str]:
    return run.model, run.seed, run.tags.get("config_hash", "")


def _job_key(job: Job) -> tuple[str, int, str]:
    return job.model, job.seed, job.config_hash


def _has_checkpoint(run: tracking.Run) -> bool:
    if "trained" not in run.tags:
        return False
    path = run.checkpoint if _is_local(run) else None  # one on another machine is checked when it is loaded
    return run.has_checkpoint if path is None else tracking.is_whole(path)


def _is_local(run: tracking.Run) -> bool:
    return run.artifact_uri.startswith("file://")


def lost_artifacts(runs: Iterable[tracking.Run]) -> str:
    """A sentence about those finished runs on this machine whose checkpoint is not there; empty if all are."""
    lost = [
        run
        for run in runs
        if run.status == "FINISHED" and "trained" in run.tags and _is_local(run) and run.checkpoint is None
    ]
    if not lost:
        return ""
    names = ", ".join(run.id for run in lost[:3]) + (", ..." if len(lost) > 3 else "")
    folder = Path(url2pathname(urlparse(lost[0].artifact_uri).path)).parents[1]
    those, these = (f"{len(lost)} finished runs", "these runs") if len(lost) > 1 else ("a finished run", "this run")
    return (
        f"the artifacts of {those} are not in {folder} (checkpoints, figures, scores of samples), only the values "
        f"are left: put them back there, or, to have them made again, delete {these} in MLflow ({names}) and run the "
        "study again"
    )
