"""What every data set shares: tensors in memory, seeded splits, batches taken by one index call."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lit_ae.errors import SettingError

Shape: TypeAlias = tuple[int, ...]  # (C, H, W) for images, (D,) for vectors
SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class Batch(NamedTuple):
    """What a model's step receives; x is as stored (uint8) until it has been moved to the device."""

    x: Tensor  # [B, *input_shape], float32 in [0, 1] after the transfer
    y: Tensor  # [B] int64 labels, -1 where there are none


@dataclass(eq=False)
class ArrayDataset(Dataset[Batch]):
    """A whole split in memory: x [N, *shape] uint8 (float32 where the data are no images), y [N] int64.

    `factors` [N, F] float32 are the known generative factors, where the data set has any.
    """

    x: Tensor
    y: Tensor
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], self.y[index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these samples; DataLoader calls it once a batch."""
        # NumPy's `take` is 4 x faster than torch's indexing here, and starts no threads for so small a copy
        x, y = (torch.from_numpy(tensor.numpy().take(indices, axis=0)) for tensor in (self.x, self.y))
        return Batch(x, y)

    def subset(self, indices: Tensor) -> "ArrayDataset":
        """A copy that holds these samples only, in this order."""
        factors = None if self.factors is None else self.factors[indices]
        return ArrayDataset(self.x[indices], self.y[indices], factors)


class Splits(NamedTuple):
    """The three disjoint parts of a data set; val is never taken from test."""

    train: ArrayDataset
    val: ArrayDataset
    test: ArrayDataset


class BaseDataModule(LightningDataModule, ABC):
    """Loaders over a data set that fits in memory; a subclass states its shape and writes `load`.

    Args:
        batch_size: samples a training step, on each device.
        eval_batch_size: samples a step in validation, test and prediction, on each device.
        split_seed: chooses which samples go to which split; apart from the training seed, so that runs with
            different seeds are scored on the same images.
        num_workers: processes that make batches; 0 is fastest for data in memory.
        limit: keep the first `limit` samples of every split, for quick runs.
        labels_per_class: keep that many training samples of each class, drawn by the run's seed (`seed_everything`).
        binarise: draw each pixel of an image once as 0 or 1 with its grey value as probability, in every split
            (Salakhutdinov & Murray 2008, as likelihoods are compared in the literature).
        leave_out: a class that the train and val splits are to lack and test to keep, as an anomaly.

    Raises:
        SettingError: a size is below its least value; on loading, `leave_out` is no class of the data.
    """

    name: str
    input_shape: Shape
    num_classes: int  # 0 where there are no labels
    class_names: tuple[str, ...] = ()  # of the labels, for figures; digits stand for themselves
    factor_names: tuple[str, ...] = ()

    def __init__(
        self,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        split_seed: int = 0,
        num_workers: int = 0,
        limit: int | None = None,
        labels_per_class: int | None = None,
        leave_out: int | None = None,
        binarise: bool = False,
    ) -> None:
        super().__init__()
        least = {"batch_size": (batch_size, 1), "eval_batch_size": (eval_batch_size, 1)}
        least |= {"num_workers": (num_workers, 0), "limit": (1 if limit is None else limit, 1)}
        least |= {"labels_per_class": (1 if labels_per_class is None else labels_per_class, 1)}
        for setting, (value, bound) in least.items():
            if value < bound:
                raise SettingError(f"--data.{setting} is {value}: it must be at least {bound}")
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.split_seed, self.num_workers, self.limit = split_seed, num_workers, limit
        self.labels_per_class, self.leave_out, self.binarise = labels_per_class, leave_out, binarise
        self._splits: Splits | None = None

    @abstractmethod
    def load(self) -> Splits:
        """Reads the whole data set into memory and splits it; called once."""

    def setup(self, stage: str = "") -> None:
        """Loads the data the first time; later calls, for other stages, do nothing."""
        if self._splits is None:
            splits = self.load()
            if self.leave_out is not None:
                splits = without_class(splits, self.leave_out)
            if self.limit is not None:
                splits = Splits(*(part.subset(torch.arange(len(part))[: self.limit]) for part in splits))
            if self.labels_per_class is not None:
                few = labelled_subset(splits.train, self.labels_per_class, torch.initial_seed())
                splits = splits._replace(train=few)
            if self.binarise:
                generator = torch.Generator().manual_seed(self.split_seed)
                splits = Splits(*(binarised(part, generator) for part in splits))
            self._splits = splits

    def split(self, name: SplitName) -> ArrayDataset:
        """One part of the data, loaded (and downloaded, where that is needed) on first use."""
        if self._splits is None:
            self.prepare_data()
            self.setup()
        part: ArrayDataset = getattr(self._splits, name)
        return part

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches; where there are several processes Lightning puts its own sampler in."""
        # A generator of its own: every model sees the same batches under the same seed, so that runs can be
        # paired by seed however many random numbers a model draws.
        generator = torch.Generator().manual_seed(torch.initial_seed())
        return self._loader("train", self.batch_size, shuffle=True, generator=generator)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split in its own order."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split in its own order."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test split in its own order."""
        return self._eval_loader("test")

    def _eval_loader(self, name: SplitName) -> DataLoader[Batch]:
        # Lightning's own sampler repeats samples until every process has as many, which moves the mean; it
        # keeps a distributed sampler that it finds in place.
        replicas = self.trainer.distributed_sampler_kwargs if self.trainer else None
        if not replicas or replicas["num_replicas"] == 1:
            return self._loader(name, self.eval_batch_size)
        sampler = UnrepeatedDistributedSampler(self.split(name), shuffle=False, **replicas)
        return self._loader(name, self.eval_batch_size, sampler=sampler)

    def _loader(
        self,
        name: SplitName,
        batch_size: int,
        shuffle: bool = False,
        sampler: UnrepeatedDistributedSampler | None = None,
        generator: torch.Generator | None = None,
    ) -> DataLoader[Batch]:
        return DataLoader(
            self.split(name),
            batch_size=batch_size,  # by keyword: Lightning makes the loader anew in `predict`
            shuffle=shuffle,
            sampler=sampler,
            generator=generator,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=_as_is,
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turns uint8 pixels into float32 in [0, 1] on the device: a quarter of the bytes are transferred."""
        if batch.x.dtype != torch.uint8:
            return batch
        if batch.x.device.type != "cpu":
            return Batch(batch.x / 255, batch.y)
        # As quick in NumPy, which starts no threads: waiting for those costs milliseconds on busy cores
        return Batch(torch.from_numpy(np.divide(batch.x.numpy(), 255, dtype=np.float32)), batch.y)

    @property
    def pixel_mean(self) -> float:
        """Mean over all pixels of the train split, in [0, 1]."""
        return self._moments[0]

    @property
    def pixel_std(self) -> float:
        """Standard deviation (divisor N) over all pixels of the train split, in [0, 1]."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[float, float]:
        x = self.split("train").x
        if x.dtype == torch.uint8:  # from the histogram: exact, and without a float copy of the data
            values = torch.arange(256, dtype=torch.float64) / 255
            share = torch.bincount(x.flatten(), minlength=256) / x.numel()
            mean = (share * values).sum()
            return mean.item(), (share * (values - mean).square()).sum().sqrt().item()
        parts = x.split(1000)  # no float64 copy of the whole, which may be mapped from a file
        mean = torch.stack([part.double().sum() for part in parts]).sum() / x.numel()
        squares = torch.stack([(part.double() - mean).square().sum() for part in parts])
        return mean.item(), (squares.sum() / x.numel()).sqrt().item()

    def digest(self) -> str:
        """16 hex digits that change when any sample of any split does: a name for caches and tracking."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        content = hashlib.sha256()
        for name in ("train", "val", "test"):
            part = self.split(name)
            for tensor in (part.x, part.y, part.factors):
                if tensor is not None:
                    content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                    content.update(tensor.contiguous().flatten().numpy().data)  # no copy: it may be a file
        return content.hexdigest()[:16]


def seeded_split(data: ArrayDataset, sizes: Sequence[int], seed: int) -> list[ArrayDataset]:
    """Disjoint random parts of `data` with these sizes, and whatever is left as the last part.

    Raises:
        ValueError: the sizes add up to more than there is.
    """
    left = len(data) - sum(sizes)
    if left < 0:
        raise ValueError(f"parts of {tuple(sizes)} samples from {len(data)}")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return [data.subset(part) for part in torch.split(order, [*sizes, left])]


def without_class(splits: Splits, label: int) -> Splits:
    """The splits with train and val rid of a class; test keeps it.

    Raises:
        SettingError: no training sample is of this class, or all of train or val are.
    """
    parts = {name: (part, part.y != label) for name, part in (("train", splits.train), ("val", splits.val))}
    if parts["train"][1].all():
        classes = splits.train.y[splits.train.y >= 0].unique().tolist()
        known = ", ".join(map(str, classes)) if classes else "none: the data have no labels"
        raise SettingError(f"--data.leave_out is {label}, which is no class of the training data ({known})")
    for name, (_, kept) in parts.items():
        if not kept.any():
            raise SettingError(
                f"--data.leave_out is {label}, and the {name} split holds no other class: choose another"
            )
    return splits._replace(**{name: part.subset(kept.nonzero().flatten()) for name, (part, kept) in parts.items()})


def binarised(data: ArrayDataset, generator: torch.Generator) -> ArrayDataset:
    """A copy whose pixels are 0 or 255, drawn with probability x / 255.

    Raises:
        SettingError: the data are no images of bytes.
    """
    if data.x.dtype != torch.uint8:
        raise SettingError(f"--data.binarise is for images of bytes and these data are {data.x.dtype}: leave it out")
    parts = [torch.randint(255, part.shape, generator=generator) < part for part in data.x.split(1000)]
    return ArrayDataset(torch.cat(parts).to(torch.uint8) * 255, data.y, data.factors)


def labelled_subset(data: ArrayDataset, per_class: int, seed: int) -> ArrayDataset:
    """That many random samples of each class, in random order.

    Raises:
        SettingError: the data have no labels, or a class has fewer samples.
    """
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    kept = []
    for label in data.y[data.y >= 0].unique():
        own = order[data.y[order] == label][:per_class]
        if len(own) < per_class:
            raise SettingError(f"--data.labels_per_class is {per_class} but class {label} has {len(own)} samples")
        kept.append(own)
    if not kept:
        raise SettingError("--data.labels_per_class needs labels and the data set has none: leave it out")
    some = torch.cat(kept)
    return data.subset(some[torch.randperm(len(some), generator=torch.Generator().manual_seed(seed))])


def _as_is(batch: Any) -> Any:  # DataLoader's type wants a list of samples
    return batch  # `__getitems__` has collated it already
