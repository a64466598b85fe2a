"""Runs the jobs of studies side by side on an engine; what is done already is not done again."""

import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.attempt import begin, fail, warn_of_changes
from lit_ae.studies.executors.base import Executor
from lit_ae.studies.jobs import Job, jobs
from lit_ae.studies.order import next_job
from lit_ae.studies.parent import lease
from lit_ae.studies.plan import Plan, reconcile
from lit_ae.studies.precision import study_precision
from lit_ae.studies.progress import Bar
from lit_ae.studies.run_job import JobSpec, log_file
from lit_ae.studies.spec import Profile, Study

POLL = 10.0  # seconds between two looks at the runs of other processes


@dataclass(eq=False)
class _Underway:
    """A study whose runs are being done."""

    study: Study
    profile: Profile
    parent: str
    plan: Plan
    held: ExitStack  # the right to run the study
    precision: str  # of all its runs, unless a row sets its own
    running: dict["Future[str]", tuple[Job, JobSpec, float]] = field(default_factory=dict)  # and when it began
    failed: int = 0

    def left(self) -> float:
        """Seconds that its jobs that have not ended are expected to take together from now on."""
        now, expected = time.monotonic(), self.plan.expected(self.plan.todo)
        for job, _, start in self.running.values():
            expected += max(0.0, self.plan.expected([job]) - (now - start))
        return expected

    def worked(self) -> float:
        """Seconds for which the jobs that are running have run, together."""
        return sum(time.monotonic() - start for _, _, start in self.running.values())

    def end(self, status: str) -> None:
        tracking.end_run(self.parent, status)
        self.held.close()


def run_studies(
    studies: Sequence[tuple[Study, Profile]], executor: Executor
) -> Generator[tuple[Study, Profile, int | SettingError]]:
    """Do the missing and changed runs of studies in their order; idle workers go on with the next study.

    Yields each study when its last run has ended, with the number of its runs that failed, or the reason why it could
    not be run. The caller closes the generator (`contextlib.closing`): runs that have not ended then, and their
    studies, become KILLED.
    """
    tracking.client()
    tracking.send_unsent()
    underway: list[_Underway] = []
    of_cost_1: list[float] = []  # what runs of one study take says something about those of the next
    try:
        for study, profile in studies:
            try:
                underway.append(_begin(study, profile, executor.several_machines))
            except SettingError as error:
                yield study, profile, error
                continue
            of_cost_1 += underway[-1].plan.durations.of_cost_1
            underway[-1].plan.durations.of_cost_1 = of_cost_1
        yield from _drive(underway, executor)
    finally:
        going_on = [future for one in underway for future in one.running if not future.done()]
        executor.cancel(going_on)
        for one in underway:
            for future, (_, spec, _) in one.running.items():
                if future in going_on:
                    tracking.end_run(spec.run_id, "KILLED")
            one.end("KILLED")


def _begin(study: Study, profile: Profile, several_machines: bool) -> _Underway:
    """Take the right to run a study and print what there is to do.

    Raises:
        SettingError: another process is running the study.
    """
    with ExitStack() as stack:
        parent = stack.enter_context(lease(study, profile))
        plan = reconcile(study, profile, parent)
        total, todo, elsewhere = len(jobs(study, profile)), len(plan.todo), len(plan.elsewhere)
        done = total - todo - elsewhere
        line = f"{study.name}, profile {profile.name}: {done} of {total} runs are done, {todo} to do"
        if elsewhere:
            line += f", {elsewhere} going on in other processes"
        if plan.outdated:
            line += f" ({len(plan.outdated)} of them only need scores of a newer version, without training)"
        precision = study_precision(study, profile, several_machines)
        if todo and study.reduced_precision:
            line += f"; trainer.precision: {precision}"
        print(f"{line}; {plan.lost}" if plan.lost else line)
        if todo:
            warn_of_changes(profile)
        return _Underway(study, profile, parent, plan, stack.pop_all(), precision)


def _drive(underway: list[_Underway], executor: Executor) -> Generator[tuple[Study, Profile, int]]:
    """Run all jobs; a study that has ended is taken from the list and yielded."""
    todo = sum(len(one.plan.todo) + len(one.plan.elsewhere) for one in underway)
    if todo:
        executor.start(todo)
    studies = list(underway)

    def worked() -> float:
        return sum(one.worked() for one in studies)

    def left() -> float:
        return sum(one.left() for one in studies)

    with Bar(executor, todo, worked, left) as bar:
        gone: tracking.ServerGone | None = None
        while underway:
            try:
                if gone is None:
                    _submit(underway, executor)
            except tracking.ServerGone as error:  # no further run can begin; those that have begun go on
                gone = error
            if gone and not any(one.running for one in underway):
                raise gone
            for one in [one for one in underway if _has_ended(one)]:
                for job in one.plan.todo:
                    start = job.start and job.start[0]
                    why = f"FAILED: it is initialised from {start}, which has no trained run of that seed"
                    bar.tell(one.study, job, why)
                one.failed += len(one.plan.todo)
                underway.remove(one)
                one.end("FAILED" if one.failed else "FINISHED")
                yield one.study, one.profile, one.failed
            if any(one.plan.elsewhere for one in underway):
                with suppress(tracking.ServerGone):  # the next look may get an answer
                    _look_elsewhere(underway, bar)
            _collect(underway, executor, bar)


def _has_ended(one: _Underway) -> bool:
    return not (one.running or one.plan.elsewhere or any(True for _ in one.plan.ready()))


def _submit(underway: Sequence[_Underway], executor: Executor) -> None:
    """Begin jobs as long as there is room."""
    if not any(one.plan.todo for one in underway):
        return
    workers = executor.size
    while sum(len(one.running) for one in underway) < workers:
        ready = {
            place: [(job, one.plan.durations.expected(job.model)) for job in one.plan.ready()]
            for place, one in enumerate(underway)
        }
        found = next_job(ready, sum(one.plan.expected(one.plan.todo) for one in underway), workers)
        if found is None:
            return
        one, job = underway[found[0]], found[1]
        try:
            spec = begin(one.study, one.profile, one.plan, job, one.parent, one.precision, executor.threads)
        except tracking.ServerGone:
            one.plan.todo.append(job)
            raise
        try:
            one.running[executor.submit(spec)] = job, spec, time.monotonic()
        except BaseException:  # stopped while the first workers are started, which takes a moment
            tracking.end_run(spec.run_id, "KILLED")
            raise


def _collect(underway: Sequence[_Underway], executor: Executor, bar: Bar) -> None:
    """Wait until a run ends, and take note of how."""
    futures = {future: one for one in underway for future in one.running}
    if not futures:
        if underway:  # with runs of other processes alone
            time.sleep(POLL)
        return
    ended, _ = wait(futures, timeout=POLL, return_when=FIRST_COMPLETED)
    for future in ended:
        one = futures[future]
        error = executor.outcome(future)
        job, spec, start = one.running.pop(future)
        seconds = time.monotonic() - start
        if error:
            one.failed += 1
            with suppress(tracking.ServerGone):
                if tracking.get_run(spec.run_id).status == "RUNNING":  # its process could not change that
                    fail(spec.run_id, error)
            bar.tell(one.study, job, f"FAILED: {error} (log: {log_file(spec.run_id)})", seconds)
        else:
            one.plan.trained[(job.model, job.seed, job.fit_hash)] = spec.run_id
            if spec.subcommand == "fit":
                one.plan.durations.add(job.model, seconds)
            bar.tell(one.study, job, f"done in {seconds:.0f} s", seconds)


def _look_elsewhere(underway: Iterable[_Underway], bar: Bar) -> None:
    """Take note of the runs that other processes have ended, or left behind: these are to be done again."""
    for one in underway:
        for run_id, job in list(one.plan.elsewhere.items()):
            run = tracking.get_run(run_id)
            if run.status == "RUNNING" and tracking.is_alive(run.tags):
                continue
            del one.plan.elsewhere[run_id]
            if run.status == "FINISHED":
                one.plan.trained[(job.model, job.seed, job.fit_hash)] = run_id
                bar.tell(one.study, job, "done by another process")
                continue
            if run.status == "RUNNING":
                tracking.end_run(run_id, "KILLED")
                if tracking.has_last_checkpoint(run_id):
                    one.plan.stopped[(job.model, job.seed, job.fit_hash)] = run_id
            one.plan.todo.append(job)
