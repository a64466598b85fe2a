"""Which run begins next: seed by seed, the longest first, and before that a run that would hold up the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean

from lit_ae import tracking
from lit_ae.studies.jobs import Job
from lit_ae.studies.spec import Study


@dataclass
class Durations:
    """What the runs of each row are expected to take, in seconds.

    A row's mean over its finished runs; for a row without one, its `cost` times what a cost of 1 took in the study's
    other rows, or else in the runs of other studies in the same command; if no run has ended at all, `cost` minutes.
    """

    costs: Mapping[str, float] = field(default_factory=dict)  # row -> relative duration, from the study's file
    measured: dict[str, tuple[int, float]] = field(default_factory=dict)  # row -> number of runs, seconds together
    of_cost_1: list[float] = field(default_factory=list)  # seconds of runs by their cost, shared by a command's studies

    @classmethod
    def of(cls, study: Study, runs: Iterable[tracking.Run]) -> "Durations":
        """Those of a study, from its runs."""
        durations = cls({label: spec.cost for label, spec in study.models.items()})
        for run in runs:
            if run.status == "FINISHED" and run.model in durations.costs and "seconds" in run.tags:
                durations.add(run.model, run.seconds)
        return durations

    def add(self, row: str, seconds: float) -> None:
        """Take note of a run that has ended."""
        n, total = self.measured.get(row, (0, 0.0))
        self.measured[row] = n + 1, total + seconds
        self.of_cost_1.append(seconds / self.costs[row])

    def expected(self, row: str) -> float:
        """Expected seconds of a run."""
        if row in self.measured:
            n, total = self.measured[row]
            return total / n
        own = [(n, total / self.costs[name]) for name, (n, total) in self.measured.items()]
        if own:
            return self.costs[row] * sum(seconds for _, seconds in own) / sum(n for n, _ in own)
        return self.costs[row] * (mean(self.of_cost_1) if self.of_cost_1 else 60.0)


def next_job(ready: Mapping[int, list[tuple[Job, float]]], left: float, workers: int) -> tuple[int, Job] | None:
    """The study, by its place, and the job that begins next; None if none is ready.

    That is the longest job of the first study's lowest seed in its order: a study that is stopped has complete seeds.
    But a job that takes as long as each worker's share of all that is left begins at once, so that it does not run
    alone at the end.

    Args:
        ready: the jobs of each study that can begin, in its order, and the seconds that each is expected to take.
        left: expected seconds of all jobs that have not begun, together.
        workers: number of runs at the same time.
    """
    found = [(place, job, seconds) for place, jobs in ready.items() for job, seconds in jobs]
    if not found:
        return None
    longest = max(found, key=lambda each: each[2])  # the first of several
    if workers > 1 and longest[2] * workers >= left:
        return longest[:2]
    first, job, _ = found[0]
    of_its_seed = [each for each in found if each[0] == first and each[1].seed == job.seed]
    return max(of_its_seed, key=lambda each: each[2])[:2]
