"""The training data once more, outside the trainer's loop: for what has to be solved or trained beforehand."""

from collections.abc import Callable, Iterator

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lit_ae.data.base import BaseDataModule, Batch
from lit_ae.models.base import TrackedModule


def training_batches(module: LightningModule) -> Iterator[Batch]:
    """One pass over the whole training split on the module's device, shuffled by the run's seed.

    The order is the same at every call and in every process, so that what is computed from it is the same on each.
    """
    return next(_passes(module))


def _passes(module: LightningModule) -> Iterator[Iterator[Batch]]:
    """Passes without end, each in an order of its own."""
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, BaseDataModule)
    loader = data.train_dataloader()
    while True:
        yield (data.on_after_batch_transfer(Batch(*(p.to(module.device) for p in batch)), 0) for batch in loader)


def descend(
    module: TrackedModule, optimizer: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor], epochs: int
) -> list[float]:
    """Minimise mean(loss(x)) over the training split for some epochs before the trainer's own; loss: x [B, ...] → [B].

    Returns the mean loss of each epoch.
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
