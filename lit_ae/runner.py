"""Runs studies' jobs side by side in reused worker processes; what is done already is not done again."""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lit_ae import tracking
from lit_ae.console import output
from lit_ae.errors import SettingError
from lit_ae.pool import Pool, Worker
from lit_ae.study import Job, Profile, Study, jobs

if TYPE_CHECKING:
    from filelock import BaseFileLock

Fit: TypeAlias = tuple[str, int, str]  # a job's model, seed and fit_hash


@dataclass(eq=False)
class _Underway:
    """A study whose runs are being done."""

    study: Study
    profile: Profile
    parent: str
    todo: list[Job]
    trained: dict[Fit, str]
    lock: "BaseFileLock"
    workers: list[Worker] = field(default_factory=list)  # that are at one of its jobs
    failed: int = 0

    def ready(self) -> Job | None:
        """The next job that may begin: what it sets out from has been trained."""
        return next((job for job in self.todo if job.start is None or job.start in self.trained), None)

    def end(self, status: str) -> None:
        tracking.end_run(self.parent, status)
        self.lock.release()


def run_studies(
    studies: Sequence[tuple[Study, Profile]], pool: Pool
) -> Generator[tuple[Study, Profile, int | SettingError]]:
    """Do the missing and changed runs of studies, in their order; a worker free of one study goes on with the next.

    Yields each study as its last run has ended, with the number of its runs that failed, or why it could not be run.
    To be closed by the caller (`contextlib.closing`): what is at work then, and its study, become KILLED.
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
    """Take a study, tell what there is to do.

    Raises:
        SettingError: the study is being run by somebody else.
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
    todo, trained = _reconcile(study, profile, parent)
    total = len(jobs(study, profile))
    print(f"{study.name}, profile {profile.name}: {total - len(todo)} of {total} runs are done, {len(todo)} to do")
    return _Underway(study, profile, parent, todo, trained, lock)


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


def _reconcile(study: Study, profile: Profile, parent: str) -> tuple[list[Job], dict[Fit, str]]:
    """The jobs to do, and the runs by what was trained in them: where the scores alone have changed, one is enough.

    Runs left over by a killed driver become KILLED, those of other settings `stale`.
    """
    wanted = {(job.model, job.seed, job.config_hash): job for job in jobs(study, profile)}
    done = set()
    trained: dict[Fit, str] = {}
    for run in tracking.children(study.name, parent):  # newest first
        if run.status == "RUNNING":
            tracking.end_run(run.id, "KILLED")
            run = replace(run, status="KILLED")
        key = (run.model, run.seed, run.tags.get("config_hash", ""))
        kind = "run" if key in wanted else "stale"
        if run.tags["kind"] != kind:
            tracking.set_tags(run.id, {"kind": kind})
        if run.status == "FINISHED":
            done.add(key)
        if "trained" in run.tags and run.artifact("checkpoints/last.ckpt"):
            trained.setdefault((run.model, run.seed, run.tags["fit_hash"]), run.id)
    return [job for key, job in wanted.items() if key not in done], trained


def _drive(underway: list[_Underway], pool: Pool) -> Generator[tuple[Study, Profile, int]]:
    """Run all jobs; what has ended is taken from the list and yielded."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    logs = tracking.STORE.resolve() / "logs"
    logs.mkdir(exist_ok=True)
    total = sum(len(one.todo) for one in underway)
    threads = pool.start(total) if total else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output(), disable=not total) as progress:
        bar = progress.add_task(f"{len(pool.workers)} workers x {threads} threads", total=total)

        def tell(one: _Underway, job: Job, outcome: str) -> None:
            progress.console.print(f"{one.study.name}: {job.model}, seed {job.seed}: {outcome}")
            progress.advance(bar)

        while underway:
            for worker in pool.workers:
                due = next(((one, job) for one in underway if (job := one.ready())), None)
                if worker.job is None and due:
                    _assign(worker, *due, logs, threads)
            for one in [one for one in underway if not one.workers and not one.ready()]:
                for job in one.todo:
                    tell(one, job, f"FAILED: {job.start and job.start[0]}, which it sets out from, has no trained run")
                one.failed += len(one.todo)
                underway.remove(one)
                one.end("FAILED" if one.failed else "FINISHED")
                yield one.study, one.profile, one.failed
            busy = [(one, worker) for one in underway for worker in one.workers]
            if not busy:  # `wait` for nothing would never return
                break
            ready = wait([w.connection for _, w in busy] + [w.process.sentinel for _, w in busy])
            for one, worker in busy:
                if worker.connection in ready or worker.process.sentinel in ready:
                    job = worker.job
                    assert job is not None
                    one.workers.remove(worker)
                    seconds = time.monotonic() - worker.start
                    error = _collect(worker, seconds)
                    if error:
                        one.failed += 1
                    else:
                        one.trained[(job.model, job.seed, job.fit_hash)] = worker.run_id
                    tell(one, job, f"FAILED: {error} (log: {worker.log})" if error else f"done in {seconds:.0f} s")
                    if not worker.process.is_alive():
                        pool.replace(worker)


def _assign(worker: Worker, one: _Underway, job: Job, logs: Path, threads: int) -> None:
    """Have a study's job trained and scored; scored alone, in the same run, where it has been trained."""
    study, trained = one.study, one.trained
    one.todo.remove(job)
    one.workers.append(worker)
    args = [*job.args]
    if job.start:
        args.append(f"--model.pretrained={tracking.last_checkpoint(trained[job.start])}")
    worker.run_id = trained.get((job.model, job.seed, job.fit_hash), "")
    subcommand = "test" if worker.run_id else "fit"
    if worker.run_id:
        tracking.set_tags(worker.run_id, {"kind": "run", "config_hash": job.config_hash})
        tracking.reopen(worker.run_id)
    else:
        tags = {
            "kind": "run",
            "study": study.name,
            "profile": one.profile.name,
            "model": job.model,
            "data": job.data,
            "seed": str(job.seed),
            "config_hash": job.config_hash,
            "fit_hash": job.fit_hash,
        }
        worker.run_id = tracking.create_run(study.name, f"{job.model} seed {job.seed}", tags, one.parent)
    worker.job, worker.start, worker.log = job, time.monotonic(), logs / f"{worker.run_id}.log"
    with suppress(OSError):  # `_collect` deals with a worker that has died
        worker.connection.send((subcommand, args, worker.run_id, worker.log, threads))


def _collect(worker: Worker, seconds: float) -> str:
    """The finished job's error or "", its run's status and time at work set; the worker is free afterwards."""
    try:
        error: str = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        error = f"the worker died with exit code {worker.process.exitcode}"
    if error:
        tracking.set_tags(worker.run_id, {"error": error})
        tracking.end_run(worker.run_id, "FAILED")
    before = float(tracking.get_run(worker.run_id).tags.get("seconds", 0))  # of training, where it was scored anew
    tracking.set_tags(worker.run_id, {"seconds": f"{before + seconds:.1f}"})
    worker.job = None
    return error


# -- status ------------------------------------------------------------------------------------------------------


def print_status(study: Study, profile: Profile, as_json: bool) -> int:
    """Print how far a study is: one line a model, or JSON with every run."""
    parent = tracking.study_parent(study.name, profile.name)
    runs = tracking.children(study.name, parent.id) if parent else []
    by_key = {(run.model, run.seed, run.tags.get("config_hash")): run for run in reversed(runs)}
    rows = []
    for job in jobs(study, profile):
        run = by_key.get((job.model, job.seed, job.config_hash))
        rows.append(
            {
                "model": job.model,
                "seed": job.seed,
                "status": run.status if run else "MISSING",
                "run_id": run.id if run else None,
            }
        )
    if as_json:
        print(json.dumps({"study": study.name, "profile": profile.name, "runs": rows}, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "model",
        "done",
        "running",
        "failed or killed",
        "missing",
        title=f"{study.name}, profile {profile.name}",
    )
    for model in study.models:
        states = [row["status"] for row in rows if row["model"] == model]
        bad = states.count("FAILED") + states.count("KILLED")
        counts = states.count("FINISHED"), states.count("RUNNING"), bad, states.count("MISSING")
        table.add_row(model, *(str(count) for count in counts))
    Console().print(table)
    return 0
