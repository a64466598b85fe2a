"""The data path alone."""

import statistics
import time
from collections.abc import Callable

from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from ratios.made import IMAGES, Made
from ratios.turns import ROUNDS


def over_torchvision(batch: int) -> float:
    """Samples/s over torchvision's MNIST + ToTensor through a default DataLoader."""
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
