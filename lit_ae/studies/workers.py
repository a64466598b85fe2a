"""The worker processes in which jobs are run."""

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.jobs import Job
from lit_ae.tracking import machine

# -- in the worker -----------------------------------------------------------------------------------------------


def work(connection: Connection) -> None:
    """Body of a worker process: gets (subcommand, args, run id, log, threads), sends an error or ""; None ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver reacts to it
    parent = mp.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    sys.argv[1:] = []
    import torch

    while task := connection.recv():
        subcommand, args, run_id, log, threads = task
        torch.set_num_threads(threads)  # at every job: UMAP's numba changes OpenMP's number
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            connection.send(_run(subcommand, args, run_id))
            sys.stdout.flush()
            sys.stderr.flush()


def _run(subcommand: str, args: Sequence[str], run_id: str) -> str:
    import traceback

    try:
        from lit_ae.training.faults import explained
        from lit_ae.training.lightning_cli import AutoencoderCLI

        with explained(args):
            AutoencoderCLI([subcommand, *args], run_id=run_id, then_test=True)
    except BaseException as error:
        if not isinstance(error, (SettingError, FloatingPointError)):
            traceback.print_exc()
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


# -- in the driver -----------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A worker process and the job that it is running."""

    process: mp.process.BaseProcess
    connection: Connection
    job: Job | None = None
    run_id: str = ""
    log: Path = Path()
    start: float = 0.0


def _start_worker() -> Worker:
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


class Pool:
    """Worker processes reused for all studies: each costs seconds of imports, and minutes of compiling for UMAP.

    Args:
        size: the largest number of them; one for each core if null.

    Raises:
        SettingError: `size` below 1 or above the number of cores.
    """

    def __init__(self, size: int | None = None) -> None:
        self.cores = machine.cores()
        if size is not None and not 1 <= size <= self.cores:
            raise SettingError(f"--workers is {size}: it must be between 1 and the {self.cores} cores of this machine")
        self.size = size or self.cores
        self.workers: list[Worker] = []

    def start(self, jobs: int) -> int:
        """Start as many workers as there are jobs, up to the size; returns the number of threads that each may use."""
        n = min(self.size, jobs)
        threads = max(1, self.cores // n)
        for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):  # read as workers start: workers x threads <= cores
            os.environ[f"{library}_NUM_THREADS"] = str(threads)
        self.workers = [worker for worker in self.workers if worker.process.is_alive()]
        while len(self.workers) < n:
            self.workers.append(_start_worker())
        return threads

    def replace(self, worker: Worker) -> None:
        """Start another worker in place of one that has died."""
        self.workers[self.workers.index(worker)] = _start_worker()

    def kill_busy(self) -> None:
        """Stop the workers that are running a job; their runs become KILLED."""
        for worker in self.workers:
            if worker.job:
                worker.process.kill()
                worker.process.join()
                worker.job = None
                tracking.end_run(worker.run_id, "KILLED")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End them all."""
        for worker in self.workers:
            with suppress(OSError):  # the worker has died
                worker.connection.send(None)
        for worker in self.workers:
            worker.process.join(10)
            worker.process.kill()  # in case it did not end by itself
            worker.process.join()
