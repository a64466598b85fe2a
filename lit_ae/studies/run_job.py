"""One run of a study as plain data, and the function that does it, in whatever process and on whatever machine."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.settings.imports import importing


@dataclass(frozen=True)
class JobSpec:
    """What a process has to know to do a run; all of it can be written as JSON.

    Attributes:
        subcommand: `fit`, which is followed by a test, or `test`.
        configs: name and text of the YAML files to stack, in their order.
        args: the options that follow.
        run_id: the MLflow run to write to, which exists.
        tracking_uri: the MLflow store.
        folder: the folder that relative paths in the settings start from; used where it exists.
        threads: number of threads.
        start: the run from whose checkpoint the model is initialised; empty: none.
        resume: go on from the run's last checkpoint, if it has one.
        score_versions: tag of the run when it has been scored, as JSON; empty: none.
        then_test: whether a test follows the training.
    """

    subcommand: str
    configs: tuple[tuple[str, str], ...]
    args: tuple[str, ...]
    run_id: str
    tracking_uri: str
    folder: str
    threads: int = 1
    start: str = ""
    resume: bool = False
    score_versions: str = ""
    then_test: bool = True


def run_job(spec: JobSpec) -> str:
    """Do a run, its output going to a log; returns the error that it ended with, or "".

    The run gets its status, the tag `seconds` of this attempt and earlier ones together, and the tag `error`. A process
    that is killed leaves the status at RUNNING: who started it has to change that.
    """
    enter(spec)
    with _output_in(log_file(spec.run_id)):
        error = do(spec)
    if error and not tracking.has_local_artifacts(spec.run_id):
        tracking.log_file(spec.run_id, log_file(spec.run_id), "logs")  # it may lie on a machine that nobody sees
    return error


def enter(spec: JobSpec) -> None:
    """Go to the folder of the run and use its store."""
    if Path(spec.folder).is_dir():
        os.chdir(spec.folder)
    if tracking.store_uri() != spec.tracking_uri:
        os.environ["MLFLOW_TRACKING_URI"] = spec.tracking_uri


def log_file(run_id: str) -> Path:
    """Where the output of a run goes, on the machine that does it."""
    return tracking.STORE.resolve() / "logs" / f"{run_id}.log"


def do(spec: JobSpec) -> str:
    """Do a run in this process, without a log; returns as `run_job` does."""
    import time

    start = time.monotonic()
    with tracking.owned(spec.run_id):
        before = float(tracking.get_run(spec.run_id).tags.get("seconds", 0))
        status, error = _trained_and_tested(spec)
        tags = {"seconds": f"{before + time.monotonic() - start:.1f}"}
        if error:
            tags["error"] = error
        elif spec.score_versions:
            tags["score_versions"] = spec.score_versions
        tracking.set_tags(spec.run_id, tags)
        if error:
            tracking.end_run(spec.run_id, status)
    return error


def _trained_and_tested(spec: JobSpec) -> tuple[str, str]:
    """The run's status and error; the status of a run without error is set by the command line."""
    import traceback

    try:
        with importing():
            import torch

            from lit_ae.training.faults import explained
            from lit_ae.training.lightning_cli import AutoencoderCLI

        torch.set_num_threads(spec.threads)  # at every job: UMAP's numba changes OpenMP's number
        with TemporaryDirectory(prefix="lit_ae-") as folder:
            args = _arguments(spec, Path(folder))
            with explained(args):
                AutoencoderCLI([spec.subcommand, *args], run_id=spec.run_id, then_test=spec.then_test)
    except BaseException as error:
        if not isinstance(error, (SettingError, FloatingPointError)):
            traceback.print_exc()
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        return "KILLED" if stopped else "FAILED", f"{type(error).__name__}: {error}".splitlines()[0]
    return "FINISHED", ""


def _arguments(spec: JobSpec, folder: Path) -> list[str]:
    """Options for the command line, the YAML files being written to a folder."""
    args: list[str] = []
    for i, (name, text) in enumerate(spec.configs):
        (folder / str(i)).mkdir()
        path = folder / str(i) / name
        path.write_text(text, encoding="utf-8")
        args += ["--config", str(path)]
    args += spec.args
    if spec.start:
        args.append(f"--model.pretrained={tracking.last_checkpoint(spec.start)}")
    if spec.resume and spec.subcommand == "fit" and (checkpoint := tracking.fetch_checkpoints(spec.run_id)):
        args.append(f"--ckpt_path={checkpoint}")
    return args


@contextmanager
def _output_in(log: Path) -> Iterator[None]:
    """Standard output and errors, also those of libraries in C, go to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    with log.open("a") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
