"""`python benchmarks/growth.py docs/images`: what a run and a study cost as the work grows, as a figure and a CSV.

Each point is a process of its own: `lit-ae` trains an autoencoder for one epoch and tests it, once on N images of a
memory-mapped .npy file, once for each size of the code; or it runs a study with several seeds or workers. Measured are
the CPU seconds (user and system) of the process and its children, and the largest sum of their memory, looked at twice
a second: all of it, and what is private, which leaves out the pages of mapped files that the operating system may take
back. Memory that processes share is divided among them (`Pss`), so that it is counted once.

`--axes` measures only some axes again, and `--state TEXT` marks their rows, such as those of another version of the
code (`PYTHONPATH`), which are drawn beside the others. It needs Linux and 800 MB of disk.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml

SAMPLES = (1_000, 10_000, 100_000, 1_000_000)
CODES = (2, 16, 128, 1024)
SEEDS = (1, 2, 4)
WORKERS = tuple(n for n in (1, 2, 4) if n <= len(os.sched_getaffinity(0)))  # a study refuses more than cores
COLUMNS = ("axis", "state", "value", "cpu_seconds", "memory_mb", "private_mb")
LABELS = {"samples": "images in the file", "code": "size of the code", "seeds": "seeds, one worker",
          "workers": "workers, four seeds"}  # fmt: skip
RUN = """import sys
from lit_ae.training.lightning_cli import AutoencoderCLI
AutoencoderCLI(sys.argv[1:], then_test=True)"""


def write_images(path: Path, n: int) -> None:
    """Random bytes [n, 28, 28], of which only a part is in memory."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 28, 28))
    for start in range(0, n, 10_000):
        part = images[start : start + 10_000]
        part[:] = np.random.default_rng(start).integers(0, 256, part.shape, dtype=np.uint8)


def one_run(n: int, code: int) -> list[str]:
    """One epoch on n images at batch 512, and the test pass."""
    write_images(Path("images.npy"), n)
    scores = [{"class_path": name} for name in ("Evaluation", "ReconstructionScores", "CodeScores")]
    Path("scores.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": scores}}))
    from lit_ae.settings.files import config_folder

    settings = ["--data=Array", "--data.path=images.npy", "--data.batch_size=512", f"--model.latent_dim={code}"]
    settings += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    files = ["--config", str(config_folder() / "model" / "ae.yaml"), "--config", "scores.yaml"]
    return [sys.executable, "-W", "ignore", "-c", RUN, "fit", *files, *settings]


def study(seeds: int, workers: int) -> list[str]:
    """A study of one small model on 200 digits, one epoch for each seed."""
    content = {
        "name": "growth",
        "title": "Growth",
        "question": "What does a seed cost?",
        "scores": ["callbacks/reconstruction.yaml"],
        "profiles": {
            "quick": {
                "data": "digits",
                "seeds": list(range(seeds)),
                "args": ["--data.limit=200", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"],
            }
        },
        "models": {"AE": {"config": "ae"}},
        "columns": [{"metric": "test/mse", "label": "MSE", "format": ".4f", "better": "lower"}],
    }
    Path("growth.yaml").write_text(yaml.safe_dump(content))
    return [sys.executable, "-W", "ignore", "-m", "lit_ae.cli", "study", "run", "growth.yaml", f"--workers={workers}"]


POINTS = {
    "samples": (SAMPLES, lambda n: one_run(n, 16)),
    "code": (CODES, lambda size: one_run(10_000, size)),
    "seeds": (SEEDS, lambda n: study(n, 1)),
    "workers": (WORKERS, lambda n: study(4, n)),
}


def memory_of(pids: list[int]) -> tuple[int, int]:
    """All memory and private memory of these processes in kB; one that has ended counts nothing."""
    found: dict[str, int] = defaultdict(int)
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                key, number = line.split()[:2]
                found[key] += int(number)
        except OSError:
            continue
    return found["Pss:"], found["Pss_Anon:"]


def with_children(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(found for child in children for found in with_children(child))]


def measured(command: list[str]) -> tuple[float, float, float]:
    """CPU seconds, memory and private memory (MB) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = (0, 0)
    while process.poll() is None:
        most = tuple(map(max, most, memory_of(with_children(process.pid))))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, most[0] / 1000, most[1] / 1000


def measure(axis: str, state: str) -> list[dict[str, object]]:
    """The rows of one axis."""
    values, command = POINTS[axis]
    rows = []
    for value in values:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            found = [f"{number:.1f}" for number in measured(command(value))]
            os.chdir("/")
        rows.append(dict(zip(COLUMNS, (axis, state, value, *found), strict=True)))
        print(*rows[-1].values(), flush=True)
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """CPU seconds above memory, one column for each axis."""
    import matplotlib.pyplot as plt

    from lit_ae.plots.style import PALETTE

    axes = [axis for axis in POINTS if any(row["axis"] == axis for row in rows)]
    figure, panels = plt.subplots(2, len(axes), figsize=(3 * len(axes), 5), layout="constrained", squeeze=False)
    for column, axis in enumerate(axes):
        top, bottom = panels[:, column]
        states = dict.fromkeys(row["state"] for row in rows if row["axis"] == axis)
        for state, colour in zip(states, PALETTE, strict=False):
            own = [row for row in rows if (row["axis"], row["state"]) == (axis, state)]
            x, seconds, whole, private = ([float(str(row[key])) for row in own] for key in COLUMNS[2:])
            top.plot(x, seconds, "o-", color=colour, label=state)
            bottom.plot(x, whole, "o-", color=colour, label=f"{state}: all")
            bottom.plot(x, private, "o--", color=colour, label=f"{state}: private")
        for panel, label in ((top, "CPU seconds"), (bottom, "peak memory (MB)")):
            panel.set_xscale("log", base=10 if axis == "samples" else 2)
            if axis != "samples":
                panel.set_xticks(POINTS[axis][0], POINTS[axis][0])
            panel.set_ylim(0, 1.1 * panel.get_ylim()[1])
            panel.set_ylabel(label)
            panel.spines[["top", "right"]].set_visible(False)
        bottom.set_xlabel(LABELS[axis])
    for panel in panels[:, 0]:
        panel.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where growth.csv and growth.png are kept")
    parser.add_argument("--axes", nargs="*", choices=list(POINTS), default=list(POINTS), help="what is measured anew")
    parser.add_argument("--state", default="now", help="name of the code that is measured")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "growth.csv"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kept: list[dict[str, object]] = []
    anew = {(axis, options.state) for axis in options.axes}
    if table.exists():
        with table.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if (row["axis"], row["state"]) not in anew]
    for axis in options.axes:
        kept += measure(axis, options.state)
    kept.sort(key=lambda row: (list(POINTS).index(str(row["axis"])), str(row["state"]), int(str(row["value"]))))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(kept)
    draw(kept, folder / "growth.png")


if __name__ == "__main__":
    main()
