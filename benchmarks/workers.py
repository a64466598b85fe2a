"""`python benchmarks/workers.py`: many workers of one thread, or few of several? Adds the answer to docs/cost.md.

The cores of this machine are divided in every way into workers x threads. The workers of one way train the AE of the
first report at the same time, each by `lit-ae fit` with its own MLflow store; the ways take turns, and the median over
rounds is taken. Runs per second need a machine without other work: its load when the measurement begins is printed with
the table. Imports and the first run of each worker do not count.
"""

import argparse
import json
import multiprocessing as mp
import os
import statistics
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lit_ae.settings.files import config_folder
from lit_ae.tracking import machine

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- workers: begin -->", "<!-- workers: end -->"
RULE = """## Workers and threads

A study uses as many workers as there are cores, or runs if there are fewer, and gives each cores / workers threads.
This table, written by `python benchmarks/workers.py`, compares the other ways to divide the cores."""
BATCHES = (64, 512)
LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMBA")


def worker(pipe: Connection, data: str, threads: int) -> None:
    """Do a run for each batch size that comes through the pipe, and send back its CPU seconds."""
    import torch

    from lit_ae.training.lightning_cli import AutoencoderCLI

    torch.set_num_threads(threads)
    os.chdir(tempfile.mkdtemp())
    files = [arg for kind, name in (("model", "ae"), ("data", data)) for arg in ("--config", f"{kind}/{name}.yaml")]
    files = [str(config_folder() / part) if part.endswith(".yaml") else part for part in files]
    while (task := pipe.recv()) is not None:
        batch, epochs = task
        settings = [f"--data.batch_size={batch}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu"]
        start = time.process_time()
        with Path("log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
            AutoencoderCLI(["fit", *files, *settings, "--trainer.enable_progress_bar=false"])
        pipe.send(time.process_time() - start)


def started(data: str, workers: int, threads: int) -> list[Connection]:
    """The pipes to as many new workers with that many threads each."""
    os.environ.update({f"{library}_NUM_THREADS": str(threads) for library in LIBRARIES})  # read as they start
    pipes = []
    for _ in range(workers):
        ours, theirs = mp.get_context("spawn").Pipe()
        mp.get_context("spawn").Process(target=worker, args=(theirs, data, threads), daemon=True).start()
        pipes.append(ours)
    return pipes


def measured(pipes: list[Connection], batch: int, epochs: int) -> tuple[float, float]:
    """Runs per second and runs per CPU second when all workers do one run at the same time."""
    start = time.perf_counter()
    for pipe in pipes:
        pipe.send((batch, epochs))
    cpu = sum(pipe.recv() for pipe in pipes)
    return len(pipes) / (time.perf_counter() - start), len(pipes) / cpu


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        RULE,
        "",
        f"AE of report 1 on `{found['data']}`, {found['epochs']} epochs; {found['cpu']}, {found['cores']} cores; "
        f"load of other work {found['load']:.1f}; torch {found['torch']}; median of {found['rounds']} rounds:",
        "",
        "| batch | workers × threads | runs per second | runs per CPU second |",
        "|--:|:--|--:|--:|",
    ]
    for row in found["rows"]:
        way, figures = f"{row['workers']} × {row['threads']}", (row["per_second"], row["per_cpu_second"])
        lines.append(f"| {row['batch']} | {way} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, store the figures, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="data set (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cores, load = machine.cores(), os.getloadavg()[0]
    ways = [(n, cores // n) for n in range(cores, 0, -1) if cores % n == 0]
    hardware: Any = machine.environment()
    pipes = {way: started(options.data, *way) for way in ways}
    for own in pipes.values():
        for batch in BATCHES:
            measured(own, batch, 1)
    rounds: dict[tuple[int, tuple[int, int]], list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for batch in BATCHES:
            for way in ways:
                rounds.setdefault((batch, way), []).append(measured(pipes[way], batch, options.epochs))
    for pipe in (pipe for own in pipes.values() for pipe in own):
        pipe.send(None)
    rows = []
    for (batch, (workers, threads)), values in rounds.items():
        per_second, per_cpu_second = map(statistics.median, zip(*values, strict=True))
        rows.append({"batch": batch, "workers": workers, "threads": threads, "per_second": per_second,
                     "per_cpu_second": per_cpu_second})  # fmt: skip
    rows.sort(key=lambda row: (row["batch"], -row["workers"]))
    found = {
        "data": options.data, "epochs": options.epochs, "rounds": options.rounds, "cores": cores, "load": load,
        "cpu": hardware["hardware"]["cpu"], "torch": hardware["versions"]["torch"], "rows": rows,
    }  # fmt: skip
    (ROOT / "benchmarks" / "results" / "workers.json").write_text(json.dumps(found, indent=1) + "\n")
    page = ROOT / "docs" / "cost.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before.rstrip()}\n\n{BEGIN}\n{table(found)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
