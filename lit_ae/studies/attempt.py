"""One attempt at a job: the MLflow run that it writes to, and what another process has to know to do it."""

import json
import sys
from functools import cache
from pathlib import Path

from lit_ae import tracking
from lit_ae.studies.jobs import Job
from lit_ae.studies.plan import Plan
from lit_ae.studies.run_job import JobSpec
from lit_ae.studies.spec import Profile, Study
from lit_ae.tracking import machine


def begin(study: Study, profile: Profile, plan: Plan, job: Job, parent: str, precision: str, threads: int) -> JobSpec:
    """Create the run of a job, or open the one whose training is done or can go on; the job leaves `plan.todo`."""
    plan.todo.remove(job)
    fit = (job.model, job.seed, job.fit_hash)
    hashes = {"config_hash": job.config_hash, "settings_hash": job.settings_hash}
    trained, stopped = plan.trained.get(fit), plan.stopped.pop(fit, None)
    args = list(job.args)
    run_id = trained or stopped
    if run_id:
        if trained and (names := plan.outdated.get(trained)):
            args.append(f"--only_scores=[{','.join(names)}]")
        tracking.reopen(run_id)  # first: with the new settings' hash, its old scores would count if this stopped here
        tracking.set_tags(run_id, {"kind": "run", **hashes, **tracking.owner_tags()})
    else:
        tags = {
            "kind": "run",
            "study": study.name,
            "profile": profile.name,
            "model": job.model,
            "data": job.data,
            "seed": str(job.seed),
            "fit_hash": job.fit_hash,
            "git_sha": revision(),
            **hashes,
            **tracking.owner_tags(),  # until the process that does it takes over
        }
        run_id = tracking.create_run(study.name, f"{job.model} seed {job.seed}", tags, parent)
    return JobSpec(
        subcommand="test" if trained else "fit",
        # The precision is first, so that a row's own setting replaces it.
        configs=(("precision.yaml", f"trainer: {{precision: {precision}}}\n"), *job.configs),
        args=tuple(args),
        run_id=run_id,
        tracking_uri=tracking.store_uri(),
        folder=str(Path.cwd()),
        threads=threads,
        start=plan.trained[job.start] if job.start else "",
        resume=not trained,
        score_versions=json.dumps(job.versions, sort_keys=True) if job.versions else "",
    )


def warn_of_changes(profile: Profile) -> None:
    """Say on standard error if runs of the full profile, whose reports are kept, would carry a `-dirty` revision."""
    if profile.name != "quick" and revision().endswith("-dirty"):
        print(
            "warning: lit_ae or configs have changes that are not committed: these runs carry the revision "
            f"{revision()}, from which nobody can make them again; commit them first if the report is to be kept",
            file=sys.stderr,
        )


@cache
def revision() -> str:
    """The revision of this process's code: asking Git takes longer than all else here."""
    return machine.git_sha()


def fail(run_id: str, error: str) -> None:
    """Mark a run whose process has died."""
    tracking.set_tags(run_id, {"error": error})
    tracking.end_run(run_id, "FAILED")
