"""The progress bar of studies, with an estimate of the time that is left."""

from collections.abc import Callable
from typing import Self

from lit_ae.console import as_it_is, output
from lit_ae.studies.executors.base import Executor
from lit_ae.studies.jobs import Job
from lit_ae.studies.spec import Study


class Bar:
    """A bar over the jobs of all studies, each counted by its seconds, and a line for each that has ended.

    Args:
        executor: what does the runs.
        jobs: number of jobs.
        worked: gives the seconds for which the jobs that are running have run, together.
        left: gives the seconds that the jobs which have not ended are expected to take from now on, together.
    """

    def __init__(self, executor: Executor, jobs: int, worked: Callable[[], float], left: Callable[[], float]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.jobs, self.worked, self.left, self.ended, self.seconds = jobs, worked, left, 0, 0.0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[ended]}/{task.fields[jobs]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=output(),
            disable=not jobs,
            speed_estimate_period=float("inf"),  # over all jobs: a single one may take longer than the default
        )
        description = f"{executor.size} workers x {executor.threads} threads" if jobs else ""
        self.task = self.progress.add_task(description, total=1, ended=0, jobs=jobs)
        self.progress.advance(self.task, 0)  # the time from which the speed is measured

    def tell(self, study: Study, job: Job, outcome: str, seconds: float = 0) -> None:
        """Print how a job ended; the bar shows which share of the seconds of all jobs is done."""
        self.ended += 1
        self.seconds += seconds
        spent, left = self.seconds + self.worked(), self.left()
        done = spent / (spent + left) if left else 1.0
        self.progress.advance(self.task, done - self.progress.tasks[0].completed)
        self.progress.update(self.task, ended=self.ended)
        remaining = self.progress.tasks[0].time_remaining
        estimate = f"; about {_in_words(remaining)} left" if remaining and self.ended < self.jobs else ""
        self.progress.console.print(as_it_is(f"{study.name}: {job.model}, seed {job.seed}: {outcome}{estimate}"))

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
