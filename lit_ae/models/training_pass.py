"""Passes over the training data before the trainer's own, for what is solved or trained beforehand."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from lit_ae.data.base import BaseDataModule
from lit_ae.data.checks import refuse_other_classes
from lit_ae.data.containers import Batch, SplitName, as_batch
from lit_ae.errors import SettingError
from lit_ae.models.resumable import random_states, set_random_states
from lit_ae.models.tracked import TrackedModule


def training_batches(module: LightningModule) -> Iterator[Batch]:
    """One pass over the whole training split on the module's device, in an order shuffled by the run's seed.

    The split is whole in every process of several. With one of this project's data modules the order is the same at
    every call and in every process, so that all processes compute the same from it. Another loader may draw its
    order from the global generator: that is seeded for the pass, so that its order is the same at every call, too,
    and its state is then as it was, so that a training that goes on from a checkpoint draws the same numbers.
    """
    before = random_states()
    torch.manual_seed(0)
    batches = iter(next(_passes(module)))
    first = next(batches, None)  # by now a loader has drawn
    set_random_states(before)
    return batches if first is None else chain([first], batches)


def training_labels(module: LightningModule) -> Tensor:
    """The labels [N] of the training split on the module's device, -1 for unlabelled samples."""
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, BaseDataModule):
        return data.split("train").y.to(module.device)
    return torch.cat([labels for _, labels in training_batches(module)])


def labels_of_stage(module: LightningModule, stage: str) -> dict[str, Tensor]:
    """The labels [N] of each split that a stage reads, by its name; none for a plain loader."""
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, BaseDataModule):
        return {}
    stages: dict[str, tuple[SplitName, ...]] = {"fit": ("train", "val"), "validate": ("val",)}
    return {str(name): data.split(name).y for name in stages.get(stage, ("test",))}


def refuse_unlabelled(module: LightningModule, y: Tensor, split: str, all_needed: bool) -> None:
    """Refuse labels [N] of a split of which too few are known, or that are no classes of the model.

    Raises:
        SettingError: one is unlabelled if all are needed, else all of them are; or one is beyond the model's classes.
    """
    refuse_other_classes(y, getattr(module, "classes", 0), f"the {split} split of the data (--data) has")
    missing = int((y < 0).sum())
    if missing and (all_needed or missing == len(y)):
        needs = "all of them" if all_needed else "some"
        raise SettingError(
            f"{missing} of {len(y)} samples of the {split} split have no label, but model {type(module).__name__} "
            f"needs {needs}: leave unlabelled samples out (--data), or choose a model that needs no labels"
        )


def refuse_batches_of_one(module: LightningModule) -> None:
    """Refuse batches of a single sample, in which a penalty on the distribution of a batch's codes has no meaning.

    Raises:
        SettingError: the batch size is 1.
    """
    data, loader = module.trainer.datamodule, module.trainer.train_dataloader  # type: ignore[attr-defined]
    if (getattr(data, "batch_size", None) or getattr(loader, "batch_size", None) or 2) < 2:
        raise SettingError(
            f"data.batch_size is 1, but the penalty of {type(module).__name__} compares the samples of a batch: set it "
            "to at least 2"
        )


def _passes(module: LightningModule) -> Iterator[Iterator[Batch]]:
    """Endless passes over the training split, each in another order if the loader shuffles."""
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    loader = data.whole_train_dataloader() if isinstance(data, BaseDataModule) else _whole(module.trainer)
    dtype = cast(torch.dtype, module.dtype)
    while True:
        yield (as_batch(module.transfer_batch_to_device(batch, module.device, 0), dtype) for batch in loader)


def _whole(trainer: Trainer) -> Iterable[Any]:
    """The training loader that was given; with several processes Lightning has left each its part of the samples."""
    loader: Iterable[Any] | None = trainer.train_dataloader
    assert loader is not None
    if not isinstance(loader, DataLoader) or not isinstance(loader.sampler, DistributedSampler):
        return loader
    same = torch.Generator().manual_seed(0)  # in all processes
    return DataLoader(
        loader.dataset, loader.batch_size, shuffle=loader.sampler.shuffle, collate_fn=loader.collate_fn, generator=same
    )


def descend(
    module: TrackedModule, optimizer: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor], epochs: int
) -> list[float]:
    """Minimise the mean of loss(x), x [B, ...] → [B], over the training split, before the trainer's own epochs.

    Returns:
        The mean loss of each epoch.
    """
    means = []
    module.train()
    for _, batches in zip(range(epochs), _passes(module), strict=False):
        total, count = torch.zeros((), device=module.device), 0
        for x, _ in batches:
            terms = loss(x)
            module.check_finite(terms, pretraining_loss=terms)
            optimizer.zero_grad()
            terms.mean().backward()
            optimizer.step()
            total, count = total + terms.detach().sum(), count + len(terms)
        means.append(total.item() / count)
    optimizer.zero_grad()
    return means
