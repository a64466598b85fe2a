"""Runs the jobs of studies in parallel in reused worker processes; what is done already is not done again."""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from lit_ae import tracking
from lit_ae.console import output
from lit_ae.errors import SettingError
from lit_ae.studies.jobs import Job, jobs
from lit_ae.studies.plan import Plan, reconcile
from lit_ae.studies.precision import study_precision
from lit_ae.studies.spec import Profile, Study
from lit_ae.studies.workers import Pool, Worker

if TYPE_CHECKING:
    from filelock import BaseFileLock


@dataclass(eq=False)
class _Underway:
    """A study whose runs are being done."""

    study: Study
    profile: Profile
    parent: str
    plan: Plan
    lock: "BaseFileLock"
    precision: str  # of all its runs, unless a row sets its own
    workers: list[Worker] = field(default_factory=list)  # that are running one of its jobs
    failed: int = 0

    def end(self, status: str) -> None:
        tracking.end_run(self.parent, status)
        self.lock.release()


def run_studies(
    studies: Sequence[tuple[Study, Profile]], pool: Pool
) -> Generator[tuple[Study, Profile, int | SettingError]]:
    """Do the missing and changed runs of studies in their order; idle workers go on with the next study.

    Yields each study when its last run has ended, with the number of its runs that failed, or the reason why it could
    not be run. The caller closes the generator (`contextlib.closing`): runs that have not ended then, and their
    studies, become KILLED.
    """
    tracking.client()
    underway: list[_Underway] = []
    try:
        for study, profile in studies:
            try:
                underway.append(_begin(study, profile))
            except SettingError as error:
                yield study, profile, error
        yield from _drive(underway, pool)
    finally:
        pool.kill_busy()
        for one in underway:
            one.end("KILLED")


def _begin(study: Study, profile: Profile) -> _Underway:
    """Lock a study and print what there is to do.

    Raises:
        SettingError: another process is running the study.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(tracking.STORE / f".{study.name}-{profile.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SettingError(
            f"study {study.name}, profile {profile.name}, is being run by another process: wait for it or stop it"
        ) from error
    parent = _parent(study, profile)
    plan = reconcile(study, profile, parent)
    total, todo = len(jobs(study, profile)), len(plan.todo)
    line = f"{study.name}, profile {profile.name}: {total - todo} of {total} runs are done, {todo} to do"
    if plan.outdated:
        line += f" ({len(plan.outdated)} of them only need scores of a newer version, without training)"
    precision = study_precision(study, profile)
    if todo and study.reduced_precision:
        line += f"; trainer.precision: {precision}"
    print(line)
    return _Underway(study, profile, parent, plan, lock, precision)


def _parent(study: Study, profile: Profile) -> str:
    found = tracking.study_parent(study.name, profile.name)
    if found is None:
        tags = {"kind": "study", "study": study.name, "profile": profile.name, "data": profile.data}
        run_id = tracking.create_run(study.name, f"{study.name} {profile.name}", tags)
    else:
        run_id = found.id
        tracking.reopen(run_id)
    comparisons = json.dumps([{**asdict(c), "seeds": study.common_seeds(c, profile)} for c in study.comparisons])
    tracking.set_tags(run_id, {"comparisons": comparisons, "seeds": json.dumps(profile.seeds)})
    tracking.log_json(run_id, asdict(study), "study.json")
    return run_id


def _drive(underway: list[_Underway], pool: Pool) -> Generator[tuple[Study, Profile, int]]:
    """Run all jobs; a study that has ended is taken from the list and yielded."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    logs = tracking.STORE.resolve() / "logs"
    logs.mkdir(exist_ok=True)
    total = sum(len(one.plan.todo) for one in underway)
    threads = pool.start(total) if total else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output(), disable=not total) as progress:
        bar = progress.add_task(f"{len(pool.workers)} workers x {threads} threads", total=total)

        def tell(one: _Underway, job: Job, outcome: str) -> None:
            progress.console.print(f"{one.study.name}: {job.model}, seed {job.seed}: {outcome}")
            progress.advance(bar)

        while underway:
            for worker in pool.workers:
                due = next(((one, job) for one in underway if (job := one.plan.ready())), None)
                if worker.job is None and due:
                    _assign(worker, *due, logs, threads)
            for one in [one for one in underway if not one.workers and not one.plan.ready()]:
                for job in one.plan.todo:
                    start = job.start and job.start[0]
                    tell(one, job, f"FAILED: it is initialised from {start}, which has no trained run of that seed")
                one.failed += len(one.plan.todo)
                underway.remove(one)
                one.end("FAILED" if one.failed else "FINISHED")
                yield one.study, one.profile, one.failed
            busy = [(one, worker) for one in underway for worker in one.workers]
            if not busy:  # `wait` for an empty list would never return
                break
            ready = wait([w.connection for _, w in busy] + [w.process.sentinel for _, w in busy])
            for one, worker in busy:
                if worker.connection in ready or worker.process.sentinel in ready:
                    job = worker.job
                    assert job is not None
                    one.workers.remove(worker)
                    seconds = time.monotonic() - worker.start
                    error = _collect(worker, job, seconds)
                    if error:
                        one.failed += 1
                    else:
                        one.plan.trained[(job.model, job.seed, job.fit_hash)] = worker.run_id
                    tell(one, job, f"FAILED: {error} (log: {worker.log})" if error else f"done in {seconds:.0f} s")
                    if not worker.process.is_alive():
                        pool.replace(worker)


def _assign(worker: Worker, one: _Underway, job: Job, logs: Path, threads: int) -> None:
    """Have a study's job trained and scored, or only scored, in the same run, if it has been trained."""
    study, plan = one.study, one.plan
    plan.todo.remove(job)
    one.workers.append(worker)
    args = [f"--trainer.precision={one.precision}", *job.args]  # first, so that a row's own setting replaces it
    if job.start:
        args.append(f"--model.pretrained={tracking.last_checkpoint(plan.trained[job.start])}")
    hashes = {"config_hash": job.config_hash, "settings_hash": job.settings_hash}
    worker.run_id = plan.trained.get((job.model, job.seed, job.fit_hash), "")
    subcommand = "test" if worker.run_id else "fit"
    if worker.run_id:
        if names := plan.outdated.get(worker.run_id):
            args.append(f"--only_scores=[{','.join(names)}]")
        tracking.set_tags(worker.run_id, {"kind": "run", **hashes})
        tracking.reopen(worker.run_id)
    else:
        tags = {
            "kind": "run",
            "study": study.name,
            "profile": one.profile.name,
            "model": job.model,
            "data": job.data,
            "seed": str(job.seed),
            "fit_hash": job.fit_hash,
            **hashes,
        }
        worker.run_id = tracking.create_run(study.name, f"{job.model} seed {job.seed}", tags, one.parent)
    worker.job, worker.start, worker.log = job, time.monotonic(), logs / f"{worker.run_id}.log"
    with suppress(OSError):  # `_collect` handles a worker that has died
        worker.connection.send((subcommand, args, worker.run_id, worker.log, threads))


def _collect(worker: Worker, job: Job, seconds: float) -> str:
    """The ended job's error or "", after its run got its tags and, if it failed, its status; frees the worker."""
    try:
        error: str = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        error = f"the worker died with exit code {worker.process.exitcode}"
    if error:
        tracking.set_tags(worker.run_id, {"error": error})
        tracking.end_run(worker.run_id, "FAILED")
    elif job.versions:
        tracking.set_tags(worker.run_id, {"score_versions": json.dumps(job.versions, sort_keys=True)})
    before = float(tracking.get_run(worker.run_id).tags.get("seconds", 0))  # of training, for a run scored again
    tracking.set_tags(worker.run_id, {"seconds": f"{before + seconds:.1f}"})
    worker.job = None
    return error
