"""What a study still has to do, from the runs that the store holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from lit_ae import tracking
from lit_ae.studies.jobs import Job, jobs
from lit_ae.studies.spec import Profile, Study

Fit: TypeAlias = tuple[str, int, str]  # a job's model, seed and fit_hash


@dataclass
class Plan:
    """The jobs to do, and what finished runs spare them."""

    todo: list[Job]
    trained: dict[Fit, str] = field(default_factory=dict)  # the run whose checkpoint holds that training
    outdated: dict[str, list[str]] = field(default_factory=dict)  # run -> its scores of another version

    def ready(self) -> Job | None:
        """The next job that can begin: the run that it is initialised from has been trained."""
        return next((job for job in self.todo if job.start is None or job.start in self.trained), None)


def reconcile(study: Study, profile: Profile, parent: str) -> Plan:
    """The study's plan; a job whose training is in the store needs a test only, if its scores have changed.

    Runs that were left RUNNING when their study was killed become KILLED, those of other settings `stale`.
    """
    wanted = {(job.model, job.seed, job.config_hash): job for job in jobs(study, profile)}
    runs = []
    for run in tracking.children(study.name, parent):  # newest first
        if run.status == "RUNNING":
            tracking.end_run(run.id, "KILLED")
            run = replace(run, status="KILLED")
        kind = "run" if _key(run) in wanted else "stale"
        if run.tags["kind"] != kind:
            tracking.set_tags(run.id, {"kind": kind})
        runs.append(run)
    done = {_key(run) for run in runs if run.status == "FINISHED"}
    plan = Plan([job for key, job in wanted.items() if key not in done])
    for run in runs:
        if _has_checkpoint(run):
            plan.trained.setdefault((run.model, run.seed, run.tags["fit_hash"]), run.id)
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


def _has_checkpoint(run: tracking.Run) -> bool:
    return "trained" in run.tags and run.checkpoint is not None
