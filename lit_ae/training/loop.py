"""Several optimiser steps in one call of `training_step`, by Lightning's public manual optimisation.

The step of a small net on a CPU takes as long as what Lightning does around it: about 1,250 Python calls for 165 of the
step itself. So the training loader gives several batches at a time, and one call of `training_step` takes them one
after another: the same samples in the same batches and order, the same weights, metrics and step counts. Wherever a
setting, a callback or the model acts step by step, Lightning's own step is kept (`by_step`).
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models.tracked import TrackedModule
from lit_ae.training.by_step import WITHIN_A_CALL, callbacks_of, why_by_step

STEPS = 16  # in one call at most
BYTES = 2**23  # of samples as floats in one call at most: more would not stay in a processor's caches


@contextmanager
def several_steps_a_call(
    trainer: Trainer, module: TrackedModule, data: BaseDataModule, steps: int | None = None
) -> Iterator["Calls"]:
    """Inside it `trainer.fit(module, data)` takes several steps in a call of `training_step` if nothing changes by it.

    Gives the callback that does so; its `steps` and `why` say, once training has begun, how many and if 1, why.

    Args:
        trainer: not fitting yet.
        module: any family.
        data: its data module.
        steps: in one call; null: 16, or fewer if their samples as floats would take more than 8 MiB.

    Raises:
        SettingError: `steps` below 1.
    """
    if steps is not None and steps < 1:
        raise SettingError(f"--steps_per_call is {steps}: it must be at least 1")
    calls = Calls(module, data, steps)
    trainer.callbacks = [calls, *callbacks_of(trainer)]  # type: ignore[attr-defined]
    try:
        yield calls
    finally:
        trainer.callbacks = [c for c in callbacks_of(trainer) if c is not calls]  # type: ignore[attr-defined]
        calls.undo(trainer)


class Calls(Callback):
    """Replaces a module's `training_step` while it is trained, and does what Lightning does around a step.

    Args:
        module: any family.
        data: its data module.
        wanted: steps in a call; null: as many as `STEPS` and `BYTES` allow.
    """

    def __init__(self, module: TrackedModule, data: BaseDataModule, wanted: int | None = None) -> None:
        self.module, self.data, self.wanted = module, data, wanted
        self.steps, self.why = 1, ""
        self.automatic = module.automatic_optimization
        self.ended = 0  # epochs, if the schedules that watch a value have not been told of the last one
        self.samples: int | None = None  # in the step that is being taken
        self.batches_before = 0  # of the training that a checkpoint continues

    # -- taking over, and back -----------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide, now that data and optimisers are there, and replace `training_step`."""
        module, data = self.module, self.data
        fitting = BYTES // (4 * data.batch_size * math.prod(data.input_shape))
        number = self.wanted or max(1, min(STEPS, fitting))
        self.why = self.why or why_by_step(trainer, module, data)
        if number == 1 or self.why:
            return
        self.trainer, self.steps, data.steps_a_call = trainer, number, number
        self.batches = math.ceil(len(data.split("train")) / data.batch_size)  # in an epoch
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            module.planned_steps = trainer.max_epochs * self.batches
        self.step, self.log = module.training_step, module.log
        self.takes_index = len(inspect.signature(self.step).parameters) > 1
        module.training_step = self.training_step  # type: ignore[method-assign]
        module.log = self._log  # type: ignore[method-assign]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Optimise manually from here on, with the optimiser and schedules that Lightning has made for its own step."""
        if self.steps == 1:
            return
        self.acting = [c for c in callbacks_of(trainer) if any(is_overridden(name, c) for name in WITHIN_A_CALL)]
        if not self.automatic:
            return
        self.module.automatic_optimization = False
        optimizer = self.module.optimizers()
        assert not isinstance(optimizer, list)
        self.optimizer = optimizer
        # In full precision on one device `manual_backward` does nothing beyond `backward` but call these hooks
        watched = any(is_overridden(name, c) for name in WITHIN_A_CALL if "backward" in name for c in self.acting)
        self.backward = self.module.manual_backward if watched else Tensor.backward
        schedules = trainer.lr_scheduler_configs
        self.by_value = [config for config in schedules if config.reduce_on_plateau]
        self.by_time = {
            interval: [c for c in schedules if c.interval == interval and not c.reduce_on_plateau]
            for interval in ("step", "epoch")
        }

    def undo(self, trainer: Trainer) -> None:
        """Give the module, the data and the trainer's count of steps back as they are after Lightning's own steps."""
        if self.steps == 1:
            return
        del self.module.training_step, self.module.log
        self.data.steps_a_call, self.module.planned_steps, self.steps = 1, None, 1
        if self.automatic and not self.module.automatic_optimization:
            total = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
            total.ready = total.completed = trainer.global_step
            self.module.automatic_optimization = True

    # -- the steps -----------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """A step for each `batch_size` samples, and the learning rates' schedules where they are due."""
        trainer, size = self.trainer, self.data.batch_size
        everybody = callbacks_of(trainer)
        trainer.callbacks = self.acting  # type: ignore[attr-defined] # the rest have nothing to do within a call
        try:
            for index, part in enumerate(map(Batch, batch.x.split(size), batch.y.split(size)), batch_idx * self.steps):
                self.samples = len(part.x)
                if self.automatic:
                    self._descend(part, index)
                    self._schedule("step", index + 1)
                else:
                    self._result(part, index)
        finally:
            trainer.callbacks, self.samples = everybody, None  # type: ignore[attr-defined]
        if self.automatic and trainer.is_last_batch:
            self._schedule("epoch", trainer.current_epoch + 1)

    def _result(self, batch: Batch, index: int) -> Any:
        return self.step(batch, index) if self.takes_index else self.step(batch)

    def _descend(self, batch: Batch, index: int) -> None:
        optimizer = self.optimizer

        def closure() -> Tensor | None:
            loss = loss_of(self._result(batch, index))
            optimizer.optimizer.zero_grad()
            if loss is not None:
                self.backward(loss)
            return loss

        optimizer.step(closure)

    def _log(self, *args: Any, **kwargs: Any) -> None:
        """`log`, which weighs a value by the samples of its step and not of the call."""
        if kwargs.get("batch_size") is None:
            kwargs["batch_size"] = self.samples
        self.log(*args, **kwargs)

    # -- schedules -----------------------------------------------------------------------------------------------

    def _schedule(self, interval: str, count: int) -> None:
        for config in self.by_time[interval]:
            if count % config.frequency == 0:
                self.module.lr_scheduler_step(config.scheduler, None)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the schedules that watch a value are due, which they are after this epoch's checkpoint."""
        if self.steps > 1 and self.automatic and trainer.is_last_batch:
            self.ended = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the steps of the schedules that watch a value of the epoch before."""
        if not self.ended:
            return
        for config in self.by_value:
            if self.ended % config.frequency == 0:
                value = trainer.callback_metrics.get(config.monitor or "")
                if value is None and config.strict:
                    known = ", ".join(sorted(trainer.callback_metrics))
                    raise SettingError(
                        f"model.lr_scheduler.monitor is {config.monitor}, which is not logged: choose one of {known}"
                    )
                if value is not None:
                    self.module.lr_scheduler_step(config.scheduler, value)
        self.ended = 0

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same after the last epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    # -- checkpoints: Lightning counts the steps of automatic and of manual optimisation apart, and batches as loaded -

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the counts that single steps give, so that any trainer goes on from the file."""
        if self.steps == 1:
            return
        loop = checkpoint["loops"]["fit_loop"]
        calls, before = math.ceil(self.batches / self.steps), self.batches_before
        total, current = (loop["epoch_loop.batch_progress"][name] for name in ("total", "current"))
        behind = total["completed"] - loop["epoch_loop.state_dict"]["_batches_that_stepped"]
        for key in total:
            epochs = (total[key] - before - current[key]) // calls
            current[key] = min(current[key] * self.steps, self.batches)
            total[key] = before + epochs * self.batches + current[key]
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = total["completed"] - behind
        if self.automatic:
            optimizer = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
            for progress in (optimizer["step"], optimizer["zero_grad"]):
                progress["total"] = dict.fromkeys(progress["total"], checkpoint["global_step"])
                progress["current"] = dict.fromkeys(progress["current"], current["completed"])
            manual = loop["epoch_loop.manual_optimization.optim_step_progress"]
            for part in ("total", "current"):
                manual[part] = dict.fromkeys(manual[part], 0)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on from the counts in the file; where it was written within an epoch, by Lightning's own step."""
        loop = checkpoint.get("loops", {}).get("fit_loop")
        if not loop:
            return
        epoch = loop["epoch_progress"]["current"]
        if not epoch["ready"] == epoch["started"] == epoch["processed"]:
            self.why = "ckpt_path, which was written within an epoch"
        self.batches_before = loop["epoch_loop.batch_progress"]["total"]["completed"]
        if self.automatic:
            manual = loop["epoch_loop.manual_optimization.optim_step_progress"]
            manual["total"] = dict.fromkeys(manual["total"], checkpoint["global_step"])


def loss_of(result: Tensor | Mapping[str, Any] | None) -> Tensor | None:
    """The loss in what `training_step` returns; None where the step is to be skipped.

    Raises:
        MisconfigurationException: there is none, and the result is not None.
    """
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if result is not None and not isinstance(loss, Tensor):
        raise MisconfigurationException(
            f"training_step returns a {type(result).__name__} without a loss: return the loss, a dict with the key "
            "`loss`, or None to skip the step"
        )
    return loss
