"""`make bench`: ratios of this project's own paths to plain PyTorch, each measured in one run, sides alternating.

Prints one line each: `ratio NAME VALUE wanted OP BOUND`. Ratios, because machines are noisy.
"""

import os
import statistics
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

from lit_ae.config_files import config_folder
from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits

IMAGES = 55_000
ROUNDS = 5
TURN = 20  # steps of one side before the other's turn
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
    """Seconds of an epoch of ours and of as many steps of a bare loop, taken in turns of a few steps.

    An epoch of each after the other would measure the machine, too: it may be twice as fast in the next few seconds.
    """

    def __init__(self, steps: Callable[[int], None]) -> None:
        self.steps = steps
        self.ratios: list[float] = []
        self.waiting = 0

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch:
            ours = time.perf_counter() - self.start - self.bare
            self.ratios.append(self.bare / ours)
        self.bare = 0.0
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.waiting += 1
        if self.waiting == TURN or batch_idx + 1 == trainer.num_training_batches:
            start = time.perf_counter()
            self.steps(self.waiting)
            self.bare += time.perf_counter() - start
            self.waiting = 0


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


def training(batch: int) -> float:
    """Samples/s of `lit-ae fit`, MLflow logging on, over the bare loop's: the median epoch's."""
    from lit_ae.lightning_cli import AutoencoderCLI

    x = Made().split("train").x.float().div(255).flatten(1)
    net = nn.Sequential(
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 100),
        nn.Linear(100, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)  # as configs/model/ae.yaml has it
    timer = Alternating(bare_steps(net, optimizer, x, batch))
    original = AutoencoderCLI.instantiate_trainer

    def with_timer(self, **kwargs):
        trainer = original(self, **kwargs)
        trainer.callbacks.insert(0, timer)
        return trainer

    AutoencoderCLI.instantiate_trainer = with_timer
    try:
        model = str(config_folder() / "model" / "ae.yaml")
        AutoencoderCLI(
            [
                "fit",
                "--config",
                model,
                "--data",
                "Made",
                f"--data.batch_size={batch}",
                f"--trainer.max_epochs={ROUNDS + 2}",
            ]
        )
    finally:
        AutoencoderCLI.instantiate_trainer = original
    return statistics.median(timer.ratios[1:])


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
    for name, measure, bound in (
        ("train_batch_64", lambda: training(64), 0.85),
        ("train_batch_512", lambda: training(512), 0.95),
        ("data_path_batch_64", lambda: loading(64), 20),
        ("data_path_batch_512", lambda: loading(512), 20),
    ):
        print(f"ratio {name} {measure():.2f} wanted >= {bound}", flush=True)


if __name__ == "__main__":
    main()
