"""`make bench`: ratios of this project's own paths to plain PyTorch, each measured in one run, sides alternating.

Prints lines `ratio NAME VALUE wanted OP BOUND`, of CPU seconds, since ratios vary less between machines than times and
CPU seconds less with other processes than wall time; and lines `calls NAME N`: Python function calls in one optimiser
step, which do not vary at all.
"""

import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.settings.files import config_folder

IMAGES = 55_000
ROUNDS = 5
CALLED = 200  # steps of the bare loop whose calls are counted
THREADS = 1  # what is measured is overhead; a second thread adds the noise of its neighbours


class Made(BaseDataModule):
    """MNIST-sized random images."""

    name = "made"
    input_shape = (1, 28, 28)
    num_classes = 10

    def load(self) -> Splits:
        def part(n: int) -> ArrayDataset:
            generator = torch.Generator().manual_seed(n)
            x = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
            return ArrayDataset(x, torch.randint(0, 10, (n,), generator=generator))

        return Splits(part(IMAGES), part(64), part(64))


class Alternating(Callback):
    """CPU seconds of an epoch of ours and of as many steps of a bare loop, in turns of one call of `training_step`.

    Whole epochs one after the other would measure the machine as well, which may be twice as fast a few seconds later.
    """

    per_step = False  # one call of its hooks for all steps in a call is enough

    def __init__(self, steps: Callable[[int], None]) -> None:
        self.steps = steps
        self.ratios: list[float] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch:
            ours = time.process_time() - self.start - self.bare
            self.ratios.append(self.bare / ours)
        self.bare = 0.0
        self.start = time.process_time()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        start = time.process_time()
        self.steps(math.ceil(len(batch.x) / trainer.datamodule.batch_size))
        self.bare += time.process_time() - start


class Counting(Callback):
    """Python calls in an epoch of training, without its validation."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.start = trainer.global_step
        self.counter = CallCounter()
        self.counter.__enter__()

    def on_validation_start(self, trainer, pl_module) -> None:
        self.counter.__exit__(None, None, None)
        self.calls = self.counter.calls / (trainer.global_step - self.start)


class CallCounter:
    """A context that counts the Python function calls made inside it."""

    def __enter__(self) -> "CallCounter":
        self.calls = 0
        sys.setprofile(self.note)
        return self

    def note(self, frame, event, argument) -> None:
        self.calls += event == "call"

    def __exit__(self, *error) -> None:
        sys.setprofile(None)


def bare_steps(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, batch: int) -> Callable[[int], None]:
    """The plainest loop, n steps at a time: float images in memory, shuffled, batches by index."""

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(x)).split(batch)

    indices = batches()

    def steps(n: int) -> None:
        for index in islice(indices, n):
            target = x[index]
            loss = F.mse_loss(net(target).sigmoid(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def autoencoder() -> tuple[nn.Module, torch.optim.Optimizer]:
    """The net and optimiser of configs/model/ae.yaml without this project."""
    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 100), nn.Linear(100, 256), nn.ReLU(), nn.Linear(256, 784)]
    net = nn.Sequential(*layers)
    return net, torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)


def images() -> Tensor:
    """All training images as floats [N, 784]."""
    return Made().split("train").x.float().div(255).flatten(1)


def fit(callback: Callback, batch: int, epochs: int, *options: str) -> None:
    """Run `lit-ae fit` for the AE with a further callback."""
    from lit_ae.training.lightning_cli import AutoencoderCLI

    original = AutoencoderCLI.instantiate_trainer

    def with_callback(self, **kwargs):
        trainer = original(self, **kwargs)
        trainer.callbacks.insert(0, callback)
        return trainer

    AutoencoderCLI.instantiate_trainer = with_callback
    model = str(config_folder() / "model" / "ae.yaml")
    settings = (f"--data.batch_size={batch}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu")
    try:
        AutoencoderCLI(["fit", "--config", model, "--data=Made", *settings, *options])
    finally:
        AutoencoderCLI.instantiate_trainer = original


def training(batch: int) -> float:
    """Speed of `lit-ae fit`, MLflow logging included, relative to the bare loop: the median over epochs."""
    timer = Alternating(bare_steps(*autoencoder(), images(), batch))
    fit(timer, batch, ROUNDS + 2)
    return statistics.median(timer.ratios[1:])


def calls() -> dict[str, float]:
    """Python calls in a step of the bare loop, of Lightning's own loop, and with several steps in a call."""
    steps = bare_steps(*autoencoder(), images(), 64)
    with CallCounter() as bare:
        steps(CALLED)
    found = {"bare_loop": bare.calls / CALLED}
    for name, options in (("lightning_loop", ["--steps_per_call=1"]), ("several_steps_a_call", [])):
        counting = Counting()
        fit(counting, 64, 1, *options)
        found[name] = counting.calls
    return found


def loading(batch: int) -> float:
    """Samples/s of the data path alone over torchvision's MNIST + ToTensor through a default DataLoader."""
    ours = Made(batch_size=batch)
    ours.setup("fit")

    class Plain(datasets.MNIST):
        def __init__(self) -> None:
            self.data, self.targets = ours.split("train").x.squeeze(1), ours.split("train").y
            self.transform, self.target_transform = transforms.ToTensor(), None

    def seconds(loader: DataLoader, n: int, finish: Callable) -> float:
        start, seen = time.perf_counter(), 0
        for item in loader:
            seen += len(finish(item)[0])
            if seen >= n:
                break
        return (time.perf_counter() - start) / seen

    plain = DataLoader(Plain(), batch_size=batch, shuffle=True)
    ratios = []
    for _ in range(ROUNDS):
        theirs = seconds(plain, 5_000, lambda item: item)
        mine = seconds(ours.train_dataloader(), IMAGES, lambda item: ours.on_after_batch_transfer(item, 0))
        ratios.append(theirs / mine)
    return statistics.median(ratios)


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    os.chdir(tempfile.mkdtemp())
    for name, number in calls().items():
        print(f"calls {name} {number:.0f}", flush=True)
    for name, measure, bound in (
        ("train_batch_64", lambda: training(64), 0.87),
        ("train_batch_512", lambda: training(512), 0.97),
        ("data_path_batch_64", lambda: loading(64), 20),
        ("data_path_batch_512", lambda: loading(512), 20),
    ):
        print(f"ratio {name} {measure():.2f} wanted >= {bound}", flush=True)


if __name__ == "__main__":
    main()
