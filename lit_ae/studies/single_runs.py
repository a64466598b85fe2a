"""A study's runs one by one, for the queue of a cluster or for any machine that reaches the MLflow server."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match
from lit_ae.studies.attempt import begin
from lit_ae.studies.jobs import Job
from lit_ae.studies.parent import open_parent
from lit_ae.studies.plan import reconcile
from lit_ae.studies.precision import study_precision
from lit_ae.studies.run_job import do, enter
from lit_ae.studies.spec import Profile, Study
from lit_ae.studies.status import run_states


def commands(study: Study, profile: Profile, file: Path, form: str) -> Iterator[str]:
    """A command for each run that is to be done, the first seed first and the longest first within a seed.

    The study's parent run is created if need be, so that runs that begin at the same moment share one. With the form
    `slurm` each command stands in an `sbatch`; a run that is initialised from another waits for that one. With the form
    `shell` the run that another starts from stands above it.
    """
    plan = reconcile(study, profile, open_parent(study, profile))
    duration = plan.durations.expected
    seeds = list(profile.seeds)
    depth = {label: _depth(study, label) for label in study.models}
    order = sorted(plan.todo, key=lambda job: (seeds.index(job.seed), depth[job.model], -duration(job.model)))
    names: dict[tuple[str, int, str], str] = {}
    for i, job in enumerate(sorted(order, key=lambda job: depth[job.model]) if form == "shell" else order):
        words = ["lit-ae", "study", "job", str(file), "--profile", profile.name, "--model", job.model]
        command = shlex.join([*words, "--seed", str(job.seed)])
        if form == "shell":
            yield command
            continue
        names[job.model, job.seed, job.fit_hash] = f"run{i}"
        after = f" --dependency=afterok:${names[job.start]}" if job.start in names else ""
        name = shlex.quote(f"{study.name}-{job.model}-{job.seed}")
        yield f"run{i}=$(sbatch --parsable{after} --job-name={name} --wrap={shlex.quote(command)})"


def run_one(study: Study, profile: Profile, model: str, seed: int, threads: int) -> int:
    """Do one run in this process; returns the exit status, which is 0 if it is done already or going on elsewhere.

    Raises:
        SettingError: the study has no such row or seed, or the run that it is initialised from has not been trained.
    """
    if model not in study.models:
        raise SettingError(f"--model: study {study.name} has no row {model!r}{near_match(model, list(study.models))}")
    if seed not in study.seeds(model, profile):
        known = ", ".join(map(str, study.seeds(model, profile)))
        raise SettingError(f"--seed is {seed}: row {model} of profile {profile.name} has the seeds {known}")
    parent = open_parent(study, profile)
    plan = reconcile(study, profile, parent)
    job = next((job for job in plan.todo if (job.model, job.seed) == (model, seed)), None)
    if job is None:
        elsewhere = any((other.model, other.seed) == (model, seed) for other in plan.elsewhere.values())
        print(f"{model}, seed {seed}: {'is being done by another process' if elsewhere else 'is done already'}")
        return 0
    _check_start(job, plan.trained)
    spec = begin(study, profile, plan, job, parent, study_precision(study, profile, several_machines=True), threads)
    enter(spec)
    error = do(spec)
    states = run_states(study, profile)
    if all(state["status"] == "FINISHED" for state in states):
        tracking.end_run(parent, "FINISHED")
    print(f"{model}, seed {seed}: {f'FAILED: {error}' if error else 'done'}")
    return 1 if error else 0


def _check_start(job: Job, trained: dict[tuple[str, int, str], str]) -> None:
    if job.start and job.start not in trained:
        raise SettingError(
            f"row {job.model} is initialised from {job.start[0]}, which has no trained run of seed {job.seed}: do that "
            "one first"
        )


def _depth(study: Study, label: str) -> int:
    start = study.models[label].start
    return 1 + _depth(study, start) if start else 0
