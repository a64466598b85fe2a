"""What a training needs, beside weights and optimisers, to go on to the bit from a checkpoint."""

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError

KEY = "random_states"
_VALIDATION = 1  # tells the seed of validation from that of training


def random_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and PyTorch's global generators, on the CPU and all devices, as plain data."""
    _, words, *rest = np.random.get_state()  # the global generator is the one that others draw from
    version, own, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": [version, torch.tensor(own), gauss],  # 625 numbers: as single objects they would slow each checkpoint
        "numpy": [torch.from_numpy(np.asarray(words, dtype=np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Let all generators go on from these states; those of devices that this machine does not have are left out."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(map(int, words)), gauss))
    numbers, *rest = states["numpy"]
    np.random.set_state(("MT19937", numbers.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states.get("cuda", [])) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


class Resumable(LightningModule):
    """Puts the random states of all processes into checkpoints, and lets Lightning go on within an epoch without loss.

    Validation draws random numbers of its own, so that how often and in which batches it is done does not change what
    training draws. They are the same in each epoch: its losses differ by the weights alone.

    Lightning restores weights, optimisers, schedules and its counts. It leaves out random numbers, and the end of an
    epoch within which it goes on: validation after its last step, the hooks of its end, and schedules that watch a
    value; gradients that are being accumulated; and a request to stop that waits for `min_epochs` or `min_steps`. And
    where a number of steps ends the training, the epoch after a checkpoint would have one step alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._gradients: dict[str, Tensor] = {}  # that were being accumulated at the time of the checkpoint
        self._before: dict[str, float] | None = None  # values logged before, in the first epoch after a checkpoint
        self._draws_own = False  # whether this process draws other random numbers than the others of the training
        self._of_training: dict[str, Any] | None = None  # random states to go on with after validation

    def store_progress(self, checkpoint: dict[str, Any]) -> None:
        """Put what is listed above into a checkpoint; called in every process."""
        own = self._of_training or random_states()
        states = [own]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            states = [None] * torch.distributed.get_world_size()  # type: ignore[list-item]
            torch.distributed.all_gather_object(states, own)
        checkpoint[KEY] = states
        if not self.is_trained:
            return
        fit = self.trainer.fit_loop
        if fit.epoch_loop._should_accumulate() and self.trainer.world_size == 1:
            found = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
            checkpoint["gradients"] = {name: gradient.detach().clone() for name, gradient in found.items()}
        # a request to stop that waits for `min_epochs` or `min_steps`
        checkpoint["stops"] = self.trainer.should_stop and not fit._can_stop_early
        checkpoint["logged"] = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        if epoch["processed"] > epoch["completed"] and "lr_schedulers" in checkpoint:
            self._store_due_schedules(checkpoint)

    def restore_progress(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from what was stored, if a trainer continues its training from this checkpoint.

        Raises:
            SettingError: it was written within an epoch of a training with `overfit_batches`.
        """
        self._before = None
        if not self.is_trained or "loops" not in checkpoint:
            return
        loop = checkpoint["loops"]["fit_loop"]
        epoch = loop["epoch_progress"]["current"]
        self.trainer.should_stop |= checkpoint.get("stops", False)
        self._gradients = checkpoint.get("gradients", {})
        within = epoch["processed"] < epoch["ready"] and not loop["epoch_loop.batch_progress"]["is_last_batch"]
        if within and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            raise SettingError(
                "ckpt_path was written within an epoch, whose first batches trainer.overfit_batches would give again: "
                "give a checkpoint from the end of an epoch, or start anew"
            )
        ours = isinstance(self.trainer.datamodule, BaseDataModule)  # type: ignore[attr-defined]
        if not ours:
            loop["state_dict"].pop("combined_loader", None)  # another loader has no use for the place of this one
        self._before = checkpoint.get("logged", {})
        # where `max_steps` is set, Lightning takes the end of an epoch for a place within it
        self.trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
        if ours and epoch["processed"] < epoch["ready"] and loop["epoch_loop.batch_progress"]["is_last_batch"]:
            _leave_only_the_end(loop)
        states = checkpoint.get(KEY, [])
        if len(states) == self.trainer.world_size:
            set_random_states(states[self.trainer.global_rank])
            self._draws_own = True

    def on_train_start(self) -> None:
        """Go on with the gradients that were being accumulated: Lightning has cleared all just before."""
        for name, gradient in self._gradients.items():
            parameter = self.get_parameter(name)
            parameter.grad = gradient.to(parameter)
        self._gradients = {}

    def on_train_epoch_start(self) -> None:
        """Let each further process draw noise of its own: all begin with one seed, and would draw the same."""
        rank = self.trainer.global_rank
        if rank and not self._draws_own:
            _seed_from(rank)
        self._draws_own = True

    def on_validation_start(self) -> None:
        """Draw random numbers of validation, and keep the states of training's."""
        self._of_training = random_states()
        _seed_from(self.trainer.global_rank, _VALIDATION)

    def finish_validation(self) -> None:
        """Go on with training's random numbers."""
        if self._of_training is not None:
            set_random_states(self._of_training)
            self._of_training = None

    def finish_epoch(self) -> None:
        """At the end of the first epoch after a checkpoint: let what watches a value find it, and schedules act."""
        if self._before is None:
            return
        known = self.trainer.callback_metrics
        known |= {name: torch.tensor(value) for name, value in self._before.items() if name not in known}
        self._before = None
        self.trainer.fit_loop.restarting = False  # else Lightning leaves schedules out that watch a value

    @property
    def is_trained(self) -> bool:
        """Whether a trainer is training this module."""
        return self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING

    def _store_due_schedules(self, checkpoint: dict[str, Any]) -> None:
        """Store schedules that watch a value, and the rates that they set, as they will be when the epoch has ended.

        Lightning lets them act after the checkpoint of the epoch's end, and not at all when training goes on from it.
        """
        trainer = self.trainer
        due = [
            (place, config)
            for place, config in enumerate(trainer.lr_scheduler_configs)
            if config.reduce_on_plateau
            and config.interval == "epoch"
            and (trainer.current_epoch + 1) % config.frequency == 0
            and config.monitor in trainer.callback_metrics
        ]
        for place, config in due:
            before = dict(config.scheduler.state_dict())
            groups = config.scheduler.optimizer.param_groups
            rates = [group["lr"] for group in groups]
            self.lr_scheduler_step(config.scheduler, trainer.callback_metrics[config.monitor])  # type: ignore[index]
            checkpoint["lr_schedulers"][place] = dict(config.scheduler.state_dict())
            number = trainer.optimizers.index(config.scheduler.optimizer)
            stored = checkpoint["optimizer_states"][number]["param_groups"]
            for group, kept, rate in zip(groups, stored, rates, strict=True):
                kept["lr"], group["lr"] = group["lr"], rate
            config.scheduler.load_state_dict(before)


def _seed_from(*parts: int) -> None:
    """Seed PyTorch's generators from the seed that they began with and these numbers."""
    (seed,) = np.random.SeedSequence([torch.initial_seed(), *parts]).generate_state(1, np.uint64)
    torch.manual_seed(int(seed))


def _leave_only_the_end(loop: dict[str, Any]) -> None:
    """Change the counts of a checkpoint from the last step of an epoch, so that Lightning finishes this epoch.

    It would leave out validation and the hooks of the epoch's end. So these are its counts of a training that was
    interrupted in the first step of validation, and a loader that has nothing more to give.
    """
    for loader in loop["state_dict"].get("combined_loader", []):
        loader["taken"] = sys.maxsize
    batch, validation = loop["epoch_loop.batch_progress"], loop["epoch_loop.val_loop.batch_progress"]
    if batch["total"]["completed"] < batch["total"]["processed"]:  # saved before validation
        for part in ("total", "current"):
            batch[part]["completed"] = batch[part]["processed"]
            validation[part] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
