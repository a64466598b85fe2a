"""What the tests of faults share: commands in processes that have already imported everything, and what runs hold."""

import itertools
import multiprocessing as mp
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from lightning.pytorch import Callback
from pebble import CONSTS, ProcessPool
from torch.optim.optimizer import register_optimizer_step_post_hook

from lit_ae.settings.files import config_folder
from lit_ae.studies.executors import local

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PRELOADED = ["lit_ae.training.lightning_cli", "lit_ae.studies.runner", "mlflow.store.tracking.sqlalchemy_store"]
# A copy of a process that has imported everything: a start takes milliseconds, and not the seconds of the imports
_context = mp.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Command:
    """`lit-ae ARGS` in a process of its own, in a folder; its output goes to log.txt there."""

    def __init__(self, folder: Path, *args: object, **environment: str) -> None:
        self.folder = folder
        words = [str(arg) for arg in args]
        self.process = _context.Process(target=_run, args=(str(folder), words, environment, sys.path))
        self.start = time.monotonic()
        self.process.start()

    def kill(self, number: signal.Signals) -> None:
        """Send the process a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self, seconds: float = 150) -> int:
        """Its exit status."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"the command did not end in {seconds} s:\n{self.log}")
        assert self.process.exitcode is not None
        return self.process.exitcode

    @property
    def log(self) -> str:
        """What all commands in this folder have printed."""
        return (self.folder / "log.txt").read_text()


def _run(folder: str, words: list[str], environment: dict[str, str], path: list[str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    os.setpgid(0, 0)
    sys.path[:] = path
    sys.argv = ["lit-ae", *words]
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    torch.set_num_threads(1)
    torch.cuda._is_in_bad_fork = lambda: False  # nothing uses CUDA here, and the ranks of `ddp_fork` are copies again
    from lit_ae.cli import main

    local._new_pool = _forked_pool
    sys.exit(main(words))


def _forked_pool(size: int) -> ProcessPool:
    """As a study's own, but the workers are copies of its driver, which has imported everything."""
    CONSTS.term_timeout = local.SECONDS_TO_STOP
    return ProcessPool(size, initializer=_in_worker, context=mp.get_context("fork"))


def _in_worker() -> None:
    """Connections to a database may not be used in a copy of the process that opened them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose(close=False)
    local._in_worker()


class Found(NamedTuple):
    """What a store holds of an experiment."""

    statuses: list[str]  # of all runs but the parent runs of studies
    values: Counter  # (row, key, step, value) of the finished runs -> how often it stands there


def found(folder: Path, experiment: str = "lit_ae", newest: bool = True) -> Found:
    """Read an sqlite store past lit_ae and MLflow; of the finished runs of a row the newest one alone, if asked for."""
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as base:
        runs = base.execute(
            "select run_uuid, status, start_time from runs join experiments using (experiment_id) "
            "where experiments.name = ? and runs.lifecycle_stage = 'active' order by start_time",
            [experiment],
        ).fetchall()
        values: Counter = Counter()
        statuses, rows = [], {}
        for run_id, status, _ in runs:
            tags = dict(base.execute("select key, value from tags where run_uuid = ?", [run_id]))
            if tags.get("kind") == "study":
                continue
            statuses.append(status)
            if status == "FINISHED":
                rows[tags.get("model", ""), tags.get("seed"), None if newest else run_id] = run_id
        for (model, seed, _), run_id in rows.items():
            metrics = base.execute("select key, step, value from metrics where run_uuid = ?", [run_id])
            values.update((f"{model} {seed}", *row) for row in metrics)
    return Found(statuses, values)


def outcome(folder: Path, whole: Found, experiment: str = "lit_ae") -> tuple[int, int, bool]:
    """Against an undisturbed run: values that are lost, and doubled, and whether all are the same, and none RUNNING."""
    own = found(folder, experiment)
    lost = sum((whole.values - own.values).values())
    doubled = sum(own.values.values()) - len({(row, key, step) for row, key, step, _ in own.values})
    same = own.values.keys() == whole.values.keys()
    return lost, doubled, same and "RUNNING" not in own.statuses


def new_store(empty_store: Path, folder: Path) -> Path:
    """A folder with an empty store."""
    folder.mkdir(parents=True)
    shutil.copytree(empty_store, folder / "mlruns")
    return folder


def moments(seed: int, n: int) -> list[float]:
    """Random shares of a command's duration."""
    drawn = random.Random(seed)
    return [drawn.random() for _ in range(n)]


def settings(model: str = "vae", epochs: int = 4, limit: int = 60) -> list[str]:
    """Options of a small run on digits."""
    files = ("model", model), ("data", "digits")
    words = [word for kind, name in files for word in ("--config", str(config_folder() / kind / f"{name}.yaml"))]
    plain = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--seed_everything=0"]
    return [*words, f"--data.limit={limit}", f"--trainer.max_epochs={epochs}", "--data.batch_size=16", *plain]


class Slow(Callback):
    """Every epoch takes at least as many seconds as the environment variable says."""

    def on_train_epoch_end(self, trainer, pl_module):
        time.sleep(float(os.environ["EPOCH_TAKES"]))


class KilledAt(Callback):
    """`kill -9` after so many optimiser steps of this process as the environment variable says."""

    def on_fit_start(self, trainer, pl_module):
        taken = itertools.count(1)

        def count(*args):
            if next(taken) == int(os.environ["KILLED_AT"]):
                os.kill(os.getpid(), signal.SIGKILL)

        register_optimizer_step_post_hook(count)


class Proxy:
    """What stands between a command and a server, and can be away: no connection is accepted, and open ones end."""

    def __init__(self, port: int) -> None:
        self.server, self.pairs = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.come_back(self.listener)

    def leave(self) -> None:
        """Be away from now on."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def come_back(self, listener: socket.socket | None = None) -> None:
        """Pass connections on."""
        self.pairs = []
        self.listener = listener or socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                ends = listener.accept()[0], socket.create_connection(("127.0.0.1", self.server))
                self.pairs += ends
                for source, target in (ends, ends[::-1]):
                    threading.Thread(target=_pump, args=[source, target], daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[int]:
    """The port of an MLflow server whose store is mlruns/mlflow.db in the folder, and which keeps the artifacts."""
    (folder / "mlruns").mkdir(parents=True, exist_ok=True)
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlruns/mlflow.db", "--artifacts-destination", f"{folder}/kept"]
    with server_started(
        folder, ["server", "--host", "127.0.0.1", "--workers", "1", "--port", "$(PORT)", *store]
    ) as port:
        yield port


@contextmanager
def server_started(folder: Path, options: list[str]) -> Iterator[int]:
    """The port at which `mlflow OPTIONS` answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", *(option.replace("$(PORT)", str(port)) for option in options)]
    with (folder / "server.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
