"""What the runner asks of an engine."""

from collections.abc import Collection
from concurrent.futures import Future
from typing import Protocol, Self

from lit_ae.studies.run_job import JobSpec


class Executor(Protocol):
    """Does runs side by side, each in a process of its own that it may use again for later ones.

    A run that has been submitted is a `concurrent.futures.Future`, for `concurrent.futures.wait`.
    """

    several_machines: bool  # whether the runs may be done on machines that differ

    @property
    def size(self) -> int:
        """How many runs are done at the same time, now: a cluster may grow."""

    @property
    def threads(self) -> int:
        """The number of threads that each run may use."""

    def start(self, jobs: int) -> None:
        """Get ready for that many jobs at the same time, or for as many as there is room for.

        Raises:
            SettingError: the engine cannot do them.
        """

    def submit(self, spec: JobSpec) -> "Future[str]":
        """Begin a run; the future's result is the error that it ended with, or ""."""

    def outcome(self, future: "Future[str]") -> str:
        """The error that an ended run has, or "", also for a process that was killed."""

    def cancel(self, futures: Collection["Future[str]"]) -> None:
        """Stop runs; when it returns, their processes have ended or will write nothing more."""

    def __enter__(self) -> Self:
        """Connect to it."""

    def __exit__(self, *error: object) -> None:
        """End its processes."""
