"""The order in which a training takes its samples: a function of the seed and the number of the epoch alone."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from lit_ae.data.containers import Batch
from lit_ae.data.redrawn_pixels import RedrawnPixels


def shared_seed(trainer: Trainer | None) -> int:
    """The run's seed: that of the first process, whatever noise the others draw. All processes have to ask together."""
    seed = torch.initial_seed()
    return trainer.strategy.broadcast(seed) if trainer is not None and trainer.world_size > 1 else seed


def permutation(n: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order [n] of the samples in one epoch.

    NumPy's `SeedSequence` mixes all bits of both numbers, so that no two pairs share an order. (The sum of both, which
    PyTorch's distributed sampler takes as its seed, gives epoch 1 of seed 0 the order of epoch 0 of seed 1.)

    Args:
        n: number of samples.
        seed: the seed of the run, 0 or more.
        epoch: number of the epoch, from 0 on.
    """
    mixed = np.random.SeedSequence(seed, spawn_key=(epoch,))
    return np.random.default_rng(mixed).permutation(n)


class EpochOrder(DistributedSampler[int]):
    """Sample numbers in the order of one epoch; a trainer says which, by `set_epoch`.

    Nobody else's random numbers have a part in it: neither the number of worker processes, nor how often the loader is
    asked, nor how many batches make a call, nor a break of the training changes the order. Process r of R takes the
    places r, r + R, … of the same order, so that batch b of all processes together holds the samples of one process
    with batches of R times the size; the first samples are repeated at the end if R does not divide their number.

    Without `set_epoch`, as in a plain loop over a loader, each iteration is the next epoch.

    Args:
        dataset: what the numbers count.
        seed: the seed of the run, 0 or more.
        num_replicas: number of processes.
        rank: which of them this one is, from 0 on.
    """

    def __init__(self, dataset: Dataset[Any], seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas, rank, seed=seed)
        self.told = False  # which epoch it is
        self.first = 0  # place from which the next iteration starts

    def set_epoch(self, epoch: int) -> None:
        """Give the samples in the order of this epoch from now on."""
        super().set_epoch(epoch)
        self.told = True

    def __iter__(self) -> Iterator[int]:
        order = permutation(len(self.dataset), self.seed, self.epoch)  # type: ignore[arg-type]
        if not self.told:
            self.epoch += 1
        first, self.first = self.first, 0
        own = np.resize(order, self.total_size)[self.rank :: self.num_replicas][first:]
        # in parts: a list of all would take 40 bytes a sample
        return chain.from_iterable(own[start : start + 10_000].tolist() for start in range(0, len(own), 10_000))


class TrainingLoader(DataLoader[Batch]):
    """A loader that a training can continue within an epoch: its state is the number of samples that it has given.

    It takes its first sample when its first batch is asked for, and not as soon as it is iterated: Lightning iterates
    the loader of a training that goes on before it says which epoch it is.
    """

    taken = 0  # samples of the epoch that this process has had
    resumed = (-1, 0)  # the epoch within which training goes on, and how many of its samples were taken before

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        (epoch, before), self.resumed, self.taken = self.resumed, (-1, 0), 0
        if isinstance(self.sampler, EpochOrder) and self.sampler.epoch == epoch:  # Lightning may have replaced it
            self.taken = self.sampler.first = before
        if isinstance(self.dataset, RedrawnPixels):
            self.dataset.draw(getattr(self.sampler, "epoch", 0))
        for batch in super().__iter__():
            self.taken += len(batch.x)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The number of the epoch and of the samples that this process has had of it."""
        return {"epoch": getattr(self.sampler, "epoch", -1), "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Leave out the samples that were taken before when this epoch is iterated next."""
        self.resumed = (state["epoch"], state["taken"])
