"""`make bench`: ratios of this project's own paths to plain PyTorch and to its peers, sides measured in turns.

Prints lines `ratio NAME VALUE wanted OP BOUND` (without a bound for what only explains another line), of CPU seconds,
since ratios vary less between machines than times and CPU seconds less with other processes than wall time; and lines
`calls NAME N`: Python function calls in one optimiser step, which do not vary at all. `python benchmarks/bench.py
TEXT ...` measures only what has one of these texts in its name.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial

import torch
from ratios.calls import calls
from ratios.convolutions import over_contiguous
from ratios.loading import over_torchvision
from ratios.scoring import over_plain
from ratios.training import bare_loop_over_pythae, over_bare_loop, over_lightning, over_pythae
from ratios.turns import THREADS

LINES: dict[str, tuple[Callable[[], float], float | None]] = {  # None: no bound was set
    "train_batch_64": (partial(over_bare_loop, 64), 0.87),
    "train_batch_512": (partial(over_bare_loop, 512), 0.97),
    "data_path_batch_64": (partial(over_torchvision, 64), 20),
    "data_path_batch_512": (partial(over_torchvision, 512), 20),
    "pythae_ae_batch_64": (partial(over_pythae, False, 64), 1.3),
    "pythae_vae_batch_64": (partial(over_pythae, True, 64), 1.3),
    "pythae_bare_loop_batch_64": (partial(bare_loop_over_pythae, 64), None),
    "pythae_ae_batch_64_fused": (partial(over_pythae, False, 64, True), None),
    "pythae_ae_batch_512": (partial(over_pythae, False, 512), 1.1),
    "pythae_vae_batch_512": (partial(over_pythae, True, 512), 1.1),
    "lightning_batch_64": (partial(over_lightning, 64), 1.3),
    "lightning_batch_64_fused": (partial(over_lightning, 64, True), None),
    "test_pass": (over_plain, 0.8),
    "channels_last_batch_128": (partial(over_contiguous, 128), None),  # the batch of the report that uses these nets
}


def main(wanted: list[str]) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    os.chdir(tempfile.mkdtemp())
    chosen = {name: line for name, line in LINES.items() if not wanted or any(text in name for text in wanted)}
    if not wanted:
        for name, number in calls().items():
            print(f"calls {name} {number:.0f}", flush=True)
    for name, (measure, bound) in chosen.items():
        try:
            with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # pythae's progress bar
                ratio = measure()
            print(f"ratio {name} {ratio:.2f}" + (f" wanted >= {bound}" if bound else ""), flush=True)
        except ImportError as error:
            if error.name != "pythae":
                raise
            print(f"left out {name}: pythae is not installed: run `make bench`, which installs it", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
