"""A small classifier of the data set's own classes: a feature extractor that needs no download."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, as_float
from lit_ae.data.download import cache_root
from lit_ae.errors import NotComputable, SettingError
from lit_ae.metrics.images.extractors import UNREADABLE, FeatureExtractor, Features
from lit_ae.nets.processor import fast_training
from lit_ae.settings.whole_files import whole_file

RECIPE = 1  # raise it when a change below changes what is learnt: it is part of the name of cached weights
NUM_FEATURES = 84
BATCH = 128
PEAK_RATE = 5e-3
SAMPLES_SEEN = 150_000  # 3 epochs of MNIST
FEWEST_EPOCHS, MOST_EPOCHS = 3, 40


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, for images [B, C, H, W] of any size."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(6, 16, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.AdaptiveAvgPool2d(7),  # changes nothing at 28 x 28
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, 120),
            nn.ReLU(),
            nn.Linear(120, NUM_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(NUM_FEATURES, num_classes)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes]."""
        logits: Tensor = self.head(self.body(x))
        return logits


class LeNetExtractor(FeatureExtractor):
    """The 84 activations before the last layer of a LeNet-5 trained on the data set's own labels.

    Args:
        net: the trained classifier.
        data: name of the data set on which it was trained.
        accuracy: its accuracy on the labelled samples of the test split; NaN if there are none.
    """

    name = "lenet"

    def __init__(self, net: LeNet, data: str, accuracy: float) -> None:
        super().__init__(net, NUM_FEATURES)
        self.data, self.accuracy = data, accuracy

    @classmethod
    def for_data(cls, datamodule: BaseDataModule, device: torch.device | str = "cpu") -> Self:
        """The extractor of this data set, from this machine's cache; it is trained on first use.

        Raises:
            NotComputable: as `cached`.
            SettingError: as `cached`.
        """
        return cls.from_file(cls.cached(datamodule, device), datamodule).to(device)

    @staticmethod
    def file_name(datamodule: BaseDataModule) -> str:
        """The name of its file of weights, which depends on the recipe and on the content of the data set."""
        return f"lenet-{RECIPE}-{datamodule.name}-{datamodule.digest()}.pt"

    @classmethod
    def from_file(cls, path: Path, datamodule: BaseDataModule) -> Self:
        """The extractor with these weights, on the CPU.

        Raises:
            SettingError: the file is missing or damaged.
        """
        net = _untrained(datamodule)
        stored = _stored(path, net)
        if stored is None:
            raise SettingError(f"the classifier for extractor lenet cannot be read from {path}: delete that file")
        return cls(net, datamodule.name, stored["accuracy"])

    @staticmethod
    @torch.inference_mode(False)  # Lightning tests in inference mode, where nothing can be trained
    def cached(datamodule: BaseDataModule, device: torch.device | str = "cpu") -> Path:
        """The file of weights in `cache_root`, trained on first use (MNIST: 15 s on one core).

        On a CPU a single thread trains, with random numbers of its own, so that the weights depend neither on the
        number of threads nor on the caller's random state, which is left unchanged. Other processors may give other
        weights: the runs of a study share one file (`tracking.shared_with_study`).

        Raises:
            NotComputable: the data are not images, or the labelled training samples are not of two classes or more.
            SettingError: the cache cannot be written.
        """
        from filelock import FileLock

        shape = datamodule.input_shape
        if len(shape) != 3:
            raise NotComputable(f"extractor lenet takes images, but {datamodule.name} has samples of shape {shape}")
        if not datamodule.num_classes:
            raise NotComputable(
                f"extractor lenet is trained on labels and {datamodule.name} has none: set extractor to inception"
            )
        y = datamodule.split("train").y
        classes = len(y[y >= 0].unique())
        if classes < 2:
            raise NotComputable(
                f"extractor lenet learns to tell classes apart and the training samples of {datamodule.name} have "
                f"{classes}: set extractor to inception"
            )
        net = _untrained(datamodule)
        path = cache_root() / "extractors" / LeNetExtractor.file_name(datamodule)
        if _stored(path, net) is not None:
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if _stored(path, net) is None:  # another process may have trained it in the meantime
                    if path.is_file():
                        print(f"{path} is damaged: the classifier is trained again", file=sys.stderr)
                    trained = _trained(net, datamodule, torch.device(device))
                    with whole_file(path, "set LIT_AE_CACHE to another folder") as part:
                        torch.save(trained, part)
        except OSError as error:
            raise SettingError(
                f"the classifier for extractor lenet cannot be stored in {path.parent} ({error}): set the environment "
                "variable LIT_AE_CACHE to a folder that can be written to"
            ) from error
        return path

    def description(self) -> dict[str, str | float]:
        """The classifier and its accuracy."""
        return {
            "extractor": f"lenet: {NUM_FEATURES} features, LeNet-5 trained on {self.data} (recipe {RECIPE})",
            "extractor_weights": f"sha256 {self.weights_hash}",
            "extractor_accuracy": "unknown: no test sample has a label" if math.isnan(self.accuracy) else self.accuracy,
            "channels": "as stored",
            "resize": "none",
        }

    def features_of(self, images: Tensor) -> Features:
        """Features and class probabilities of images [B, C, H, W] in [0, 1]."""
        assert isinstance(self.net, LeNet)
        features = self.net.body(images)
        return Features(features, self.net.head(features).softmax(1))


def _untrained(datamodule: BaseDataModule) -> LeNet:
    assert datamodule.num_classes
    with torch.random.fork_rng([]):  # drawing the initial weights must not change the caller's random state
        return LeNet(datamodule.input_shape[0], datamodule.num_classes)


def _stored(path: Path, net: LeNet) -> dict[str, Any] | None:
    """Content of a cached file; None if it is missing or damaged."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(stored["weights"])
        return {"weights": stored["weights"], "accuracy": float(stored["accuracy"])}
    except UNREADABLE:
        return None


def _trained(net: LeNet, datamodule: BaseDataModule, device: torch.device, seed: int = 0) -> dict[str, Any]:
    """Weights and test accuracy of the recipe: Adam with a one-cycle learning rate (Smith and Topin 2018)."""
    train, test = _labelled(datamodule.split("train")), _labelled(datamodule.split("test"))
    epochs = min(max(-(-SAMPLES_SEEN // len(train)), FEWEST_EPOCHS), MOST_EPOCHS)
    order = torch.Generator().manual_seed(seed)
    epoch_orders = [torch.randperm(len(train), generator=order) for _ in range(epochs)]
    batches = [rows for epoch in epoch_orders for rows in torch.split(epoch, BATCH)]
    with _own_random_numbers_and_thread(device):
        torch.manual_seed(seed)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
        net.to(device).train()
        optimizer = torch.optim.Adam(net.parameters(), lr=PEAK_RATE)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=len(batches))
        for rows in _tracked(batches, f"training a classifier of {datamodule.name}"):
            loss = cross_entropy(net(as_float(train.x[rows].to(device))), train.y[rows].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
        net.eval()
        with torch.no_grad():
            parts = torch.split(torch.arange(len(test)), BATCH)
            right = sum(int((net(as_float(test.x[p].to(device))).argmax(1).cpu() == test.y[p]).sum()) for p in parts)
    weights = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
    net.cpu()
    return {"weights": weights, "accuracy": right / len(test) if len(test) else math.nan}


@contextmanager
def _own_random_numbers_and_thread(device: torch.device) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generators = torch.random.fork_rng([device] if device.type == "cuda" else [])
        with generators, torch.enable_grad(), fast_training():
            yield
    finally:
        torch.set_num_threads(threads)


def _labelled(split: ArrayDataset) -> ArrayDataset:
    return split.subset((split.y >= 0).nonzero().squeeze(1))


def _tracked(batches: list[Tensor], title: str) -> Iterator[Tensor]:
    from rich.console import Console
    from rich.progress import track

    yield from track(batches, title, console=Console(stderr=True), transient=True)
