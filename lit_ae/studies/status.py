"""How far a study is."""

import json

from lit_ae import tracking
from lit_ae.console import as_it_is, output
from lit_ae.studies.jobs import jobs
from lit_ae.studies.plan import lost_artifacts, with_outdated_scores
from lit_ae.studies.spec import Profile, Study

# Heading -> the states that it counts.
COUNTED = {
    "done": ("FINISHED",),
    "outdated scores": ("OUTDATED",),
    "running": ("RUNNING",),
    "failed or killed": ("FAILED", "KILLED"),
    "missing": ("MISSING",),
}


def run_states(study: Study, profile: Profile) -> list[dict[str, object]]:
    """Model, seed, status and run of each job: MLflow's status, or OUTDATED (scores only) or MISSING."""
    parent = tracking.study_parent(study.name, profile.name)
    runs = tracking.heads(study.name, parent.id) if parent else []
    by_key = {(run.model, run.seed, run.tags.get("config_hash")): run for run in reversed(runs)}
    states: list[dict[str, object]] = []
    for job in jobs(study, profile):
        run = by_key.get((job.model, job.seed, job.config_hash))
        status = run.status if run else "MISSING"
        if run and status == "RUNNING" and not tracking.is_alive(run.tags):
            status = "KILLED"  # by what left it no time to say so
        if status not in ("FINISHED", "RUNNING"):
            outdated = with_outdated_scores(job, runs)
            run, status = (outdated[0], "OUTDATED") if outdated else (run, status)
        states.append({"model": job.model, "seed": job.seed, "status": status, "run_id": run.id if run else None})
    return states


def print_status(study: Study, profile: Profile, as_json: bool) -> int:
    """Print how far a study is: one line for each model, or JSON with every run."""
    states = run_states(study, profile)
    if as_json:
        print(json.dumps({"study": study.name, "profile": profile.name, "runs": states}, indent=1))
        return 0
    from rich.table import Table

    table = Table("model", *COUNTED, title=as_it_is(f"{study.name}, profile {profile.name}", "table.title"))
    for model in study.models:
        found = [state["status"] for state in states if state["model"] == model]
        table.add_row(as_it_is(model), *(str(sum(map(found.count, counted))) for counted in COUNTED.values()))
    output().print(table)
    parent = tracking.study_parent(study.name, profile.name)
    kept = {state["run_id"] for state in states}
    runs = tracking.heads(study.name, parent.id) if parent else []
    if lost := lost_artifacts(run for run in runs if run.id in kept):
        print(lost)
    return 0
