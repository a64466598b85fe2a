"""Worker processes of this machine, from the pool of Pebble."""

import multiprocessing as mp
import os
import sys
import threading
from collections.abc import Collection
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Self

from lit_ae.errors import SettingError
from lit_ae.studies.run_job import JobSpec, run_job
from lit_ae.tracking import machine

if TYPE_CHECKING:
    from pebble import ProcessPool

SECONDS_TO_STOP = 0.2  # between SIGTERM and SIGKILL: Lightning catches the first, and a run's status is set here


class LocalExecutor:
    """Worker processes reused for all studies: each costs seconds of imports, and minutes of compiling for UMAP.

    Args:
        size: the largest number of them; one for each core if null.

    Raises:
        SettingError: `size` below 1 or above the number of cores.
    """

    several_machines = False

    def __init__(self, size: int | None = None) -> None:
        self.cores = machine.cores()
        if size is not None and not 1 <= size <= self.cores:
            raise SettingError(f"--workers is {size}: it must be between 1 and the {self.cores} cores of this machine")
        self.size = self._most = size or self.cores
        self.threads = 1
        self._pool: ProcessPool | None = None

    def start(self, jobs: int) -> None:
        """Start as many workers as there are jobs, up to the size, when the first is submitted."""
        self._stop()
        self.size = max(1, min(self._most, jobs))
        self.threads = max(1, self.cores // self.size)
        for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):  # read as workers start: workers x threads <= cores
            os.environ[f"{library}_NUM_THREADS"] = str(self.threads)

    def submit(self, spec: JobSpec) -> "Future[str]":
        """Begin a run."""
        if self._pool is None or not self._pool.active:  # a pool gives up when a worker dies while all are idle
            self._stop()
            self._pool = _new_pool(self.size)
        future: Future[str] = self._pool.schedule(run_job, (spec,))
        return future

    def outcome(self, future: "Future[str]") -> str:
        """The error of an ended run, or ""."""
        from pebble import ProcessExpired

        try:
            return future.result()
        except ProcessExpired as died:
            return f"the worker died with exit code {died.exitcode}"
        except Exception as error:  # such as a store that cannot be reached
            return f"{type(error).__name__}: {error}".splitlines()[0]

    def cancel(self, futures: Collection["Future[str]"]) -> None:
        """Stop all workers, busy or not: runs are only stopped together."""
        if futures:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the workers."""
        self._stop()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


def _new_pool(size: int) -> "ProcessPool":
    from pebble import CONSTS, ProcessPool

    CONSTS.term_timeout = SECONDS_TO_STOP
    return ProcessPool(size, initializer=_in_worker, context=mp.get_context("spawn"))


def _in_worker() -> None:
    """Hide the driver's options from Lightning, and end with the driver, however it ends; Pebble ignores Ctrl-C."""
    sys.argv[1:] = []
    parent = mp.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
