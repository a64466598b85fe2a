"""What all data sets share: three splits, and batches that are taken by one indexing call."""

import hashlib
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from lit_ae.data.containers import SPLITS, ArrayDataset, Batch, Shape, SplitName, Splits, as_batch
from lit_ae.data.epoch_order import EpochOrder, TrainingLoader, shared_seed
from lit_ae.data.redrawn_pixels import RedrawnPixels
from lit_ae.data.rows import PART, add_content
from lit_ae.data.subsets import binarised_splits, class_number, joined, labelled_subset, without_class
from lit_ae.errors import SettingError, require_at_least

ROOM = 0.1  # of a GPU's free memory, which a split may take there

Loader = TypeVar("Loader", bound=DataLoader[Batch])


class BaseDataModule(LightningDataModule, ABC):
    """Loaders over data in memory or mapped from a file; a subclass states the shape of a sample and defines `load`.

    Args:
        batch_size: samples in a training step, on each device.
        eval_batch_size: samples in a step of validation, test and prediction, on each device.
        split_seed: decides which samples go to which split. It is separate from the training seed, so that runs with
            different seeds are scored on the same images.
        num_workers: processes that prepare batches; 0 is fastest for data in memory.
        limit: keep only the first `limit` samples of every split, for quick runs.
        labels_per_class: keep only this many training samples of each class, drawn by the run's seed
            (`seed_everything`).
        leave_out: a class that is removed from the train and val splits and kept in the test split, as an anomaly; a
            label of the data if these are numbers, else the class's number from 0 up.
        binarise: draw each pixel of an image once as 0 or 1, with its grey value as the probability of 1, in every
            split (Salakhutdinov & Murray 2008; this is how likelihoods are compared in the literature). `every_epoch`:
            training draws them anew in each epoch, as Burda et al. 2016 do; all scores are still of pixels drawn once.
        all_samples: let every split hold all samples, as models for clustering are trained and scored in publications.

    Raises:
        SettingError: a size is too small, pixels are to be drawn in every epoch by worker processes, or `leave_out` is
            not a class of the data (found on loading).
    """

    name: str
    input_shape: Shape
    num_classes: int  # 0 if there are no labels
    class_names: tuple[str, ...] = ()  # of the labels, for figures; empty if the numbers are the names
    factor_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()  # of the values of a vector; empty if they are not known

    def __init__(
        self,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        split_seed: int = 0,
        num_workers: int = 0,
        limit: int | None = None,
        labels_per_class: int | None = None,
        leave_out: int | None = None,
        binarise: bool | Literal["every_epoch"] = False,
        all_samples: bool = False,
    ) -> None:
        super().__init__()
        require_at_least(1, "--data.{}", batch_size=batch_size, eval_batch_size=eval_batch_size, limit=limit)
        require_at_least(1, "--data.{}", labels_per_class=labels_per_class)
        require_at_least(0, "--data.{}", num_workers=num_workers)
        if binarise == "every_epoch" and num_workers:
            raise SettingError(
                f"--data.num_workers is {num_workers}, but pixels that are drawn in every epoch (--data.binarise) are "
                "drawn by the process that trains: set num_workers to 0"
            )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.split_seed, self.num_workers, self.limit = split_seed, num_workers, limit
        self.labels_per_class, self.leave_out = labels_per_class, leave_out
        self.binarise, self.all_samples = binarise, all_samples
        self.predicted: SplitName | Literal["all"] = "test"
        self.steps_a_call = 1  # batches that the training loader joins into one
        self.left_out = -1  # number of the class that `leave_out` names, once the data are there
        self._splits: Splits | None = None
        self._redrawn: RedrawnPixels | None = None  # what training takes in place of the train split
        self._on_device: dict[ArrayDataset, ArrayDataset] = {}  # copies of splits in a GPU's memory

    @abstractmethod
    def load(self) -> Splits:
        """Read or map the whole data set and split it, the same at every call."""

    def setup(self, stage: str = "") -> None:
        """Load the data at the first call; later calls, for other stages, do nothing."""
        if self._splits is None and not (stage == "predict" and self.predicted == "all"):
            given = self.load().checked(tuple(self.input_shape), getattr(self, "num_classes", 0))
            splits = Splits(*[joined(given)] * 3) if self.all_samples else given
            if self.leave_out is not None:
                self.left_out = class_number(self.leave_out, self.class_names)
                splits = without_class(splits, self.left_out, self.class_names)
            if self.limit is not None:
                splits = Splits(*(part.subset(torch.arange(len(part))[: self.limit]) for part in splits))
            if self.labels_per_class is not None:
                few = labelled_subset(splits.train, self.labels_per_class, shared_seed(self.trainer))
                splits = splits._replace(train=few)
            if self.binarise == "every_epoch":
                self._redrawn = RedrawnPixels(splits.train, shared_seed(self.trainer))
            if self.binarise:
                splits = binarised_splits(splits, self.split_seed)
            self._splits = splits

    def split(self, name: SplitName) -> ArrayDataset:
        """One split of the data, which are downloaded (if necessary) and loaded on first use."""
        if self._splits is None:
            self.prepare_data()
            self.setup()
        part: ArrayDataset = getattr(self._splits, name)
        return part

    def train_dataloader(self) -> TrainingLoader:
        """Batches in an order that follows from the run's seed and the number of the epoch alone (`EpochOrder`).

        With the same seed every model sees the same batches, however many random numbers it draws itself, so that runs
        can be paired by seed. Each of several processes takes its share. `steps_a_call` batches are joined into one,
        which `training.loop` splits again.
        """
        replicas = (self.trainer.distributed_sampler_kwargs if self.trainer else None) or {}
        return self._training_loader(self.batch_size * self.steps_a_call, **replicas)

    def whole_train_dataloader(self) -> TrainingLoader:
        """The same order in single batches, all of them in every process."""
        return self._training_loader(self.batch_size)

    def _training_loader(self, batch_size: int, **replicas: int) -> TrainingLoader:
        train = self.split("train")  # loads the data
        part = self._redrawn or train
        order = EpochOrder(part, shared_seed(self.trainer), **replicas)
        return self._loader(self._near(part), batch_size, order, TrainingLoader)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split in its own order."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split in its own order."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The samples that `predicted` names, in their own order."""
        if self.predicted != "all":
            return self._eval_loader(self.predicted)
        return self._loader(self.predicted_samples(), self.eval_batch_size)

    def predicted_samples(self) -> ArrayDataset:
        """The samples that `predicted` names."""
        return self.everything() if self.predicted == "all" else self.split(self.predicted)

    def everything(self) -> ArrayDataset:
        """All samples: those of train, val and test, in this order."""
        return joined([self.split(name) for name in SPLITS[-1 if self.all_samples else 0 :]])

    def _eval_loader(self, name: SplitName) -> DataLoader[Batch]:
        # Lightning's own sampler repeats samples until every process has equally many, which biases the mean; it
        # keeps a distributed sampler that is already there.
        replicas = self.trainer.distributed_sampler_kwargs if self.trainer else None
        part = self._near(self.split(name))
        if not replicas or replicas["num_replicas"] == 1:
            return self._loader(part, self.eval_batch_size)
        sampler = UnrepeatedDistributedSampler(part, shuffle=False, **replicas)
        return self._loader(part, self.eval_batch_size, sampler)

    def _near(self, part: ArrayDataset) -> ArrayDataset:
        """A split's copy on the GPU that this process trains on if it has ample room, else the split itself.

        Gathering batches there saves one copy from the processor's memory for each. Worker processes cannot do so.
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if device.type != "cuda" or self.num_workers or not isinstance(part.x, torch.Tensor):
            return part
        if part not in self._on_device:
            if part.x.nbytes > ROOM * torch.cuda.mem_get_info(device)[0]:
                return part
            self._on_device[part] = part.to(device)
        return self._on_device[part]

    def _loader(
        self,
        part: ArrayDataset,
        batch_size: int,
        sampler: DistributedSampler[Any] | None = None,
        kind: type[Loader] = DataLoader,  # type: ignore[assignment]
    ) -> Loader:
        return kind(
            part,
            batch_size=batch_size,  # by keyword: Lightning builds the loader again in `predict`
            sampler=sampler,
            generator=torch.Generator(),  # its own: each iteration draws from it, and the model's draws stay the same
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=_as_is,
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert bytes to floats in [0, 1] on the device, so that only a quarter of the bytes are transferred."""
        module = self.trainer.lightning_module if self.trainer else None
        return as_batch(batch) if module is None else as_batch(batch, module.dtype)  # type: ignore[arg-type]

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
        if x.dtype == torch.uint8:  # from the histogram: exact, and without a copy of the data as floats
            values = torch.arange(256, dtype=torch.float64) / 255
            counts = torch.stack([torch.bincount(part.flatten(), minlength=256) for part in x.split(PART)]).sum(0)
            share = counts / math.prod(x.shape)
            mean = (share * values).sum()
            return mean.item(), (share * (values - mean).square()).sum().sqrt().item()
        size = math.prod(x.shape)  # and no float64 copy of all the data, which may be mapped from a file
        mean = torch.stack([part.double().sum() for part in x.split(PART)]).sum() / size
        squares = torch.stack([(part.double() - mean).square().sum() for part in x.split(PART)])
        return mean.item(), (squares.sum() / size).sqrt().item()

    def digest(self) -> str:
        """16 hexadecimal digits that change with any sample of any split; they name caches and tracked data sets."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        content = hashlib.sha256()
        for name in ("train", "val", "test"):
            part = self.split(name)
            for samples in (part.x, part.y, part.factors):
                if samples is not None:
                    add_content(content.update, samples, f"{name} ")
        return content.hexdigest()[:16]


def _as_is(batch: Any) -> Any:  # the type of DataLoader asks for a list of samples
    return batch  # `__getitems__` has already collated it
