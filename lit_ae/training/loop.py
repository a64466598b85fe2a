"""Several optimiser steps in one call of `training_step`, by Lightning's public manual optimisation.

In Lightning's own loop, a step of a small network on a CPU makes about 1,640 Python calls, of which a plain loop needs
170. So the training loader gives several batches at a time, and one call of `training_step` takes a step for each of
them, with about 370 Python calls. The samples, their order, the weights, the logged values and the step counts stay the
same. If a setting, a callback or the model needs to act at every step, Lightning's own loop is kept (`by_step`).
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import Optimizer

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models.tracked import TrackedModule
from lit_ae.nets.processor import fast_training
from lit_ae.training.by_step import WITHIN_A_CALL, callbacks_of, why_by_step
from lit_ae.training.step_counts import batches_trained_on, count_manual_steps, count_single_steps, is_within_an_epoch

STEPS = 16  # in one call at most
BYTES = 2**23  # of samples as floats in one call at most: more would not stay in a processor's caches
GPU_BYTES = 2**28  # the same on a GPU


@contextmanager
def several_steps_a_call(
    trainer: Trainer, module: TrackedModule, data: BaseDataModule, steps: int | None = None
) -> Iterator["Calls"]:
    """Inside it `trainer.fit(module, data)` takes several steps in a call of `training_step` if this changes no result.

    It yields the callback that does so. Once training has started, its `steps` and `why` say how many, and why only 1.

    Args:
        trainer: a trainer that is not training yet.
        module: a model of any family.
        data: its data module.
        steps: number of steps in a call; None: `STEPS`, or fewer where their samples as floats exceed `BYTES`.

    Raises:
        SettingError: `steps` below 1.
    """
    if steps is not None and steps < 1:
        raise SettingError(f"--steps_per_call is {steps}: it must be at least 1")
    calls = Calls(module, data, steps)
    trainer.callbacks = [calls, *callbacks_of(trainer)]  # type: ignore[attr-defined]
    try:
        with fast_training():
            yield calls
    finally:
        trainer.callbacks = [c for c in callbacks_of(trainer) if c is not calls]  # type: ignore[attr-defined]
        calls.undo(trainer)


class Calls(Callback):
    """Replaces a module's `training_step` during training, and does what Lightning's own loop does around a step.

    Args:
        module: a model of any family.
        data: its data module.
        wanted: number of steps in a call; None: as many as `STEPS` and `BYTES` allow.
    """

    def __init__(self, module: TrackedModule, data: BaseDataModule, wanted: int | None = None) -> None:
        self.module, self.data, self.wanted = module, data, wanted
        self.steps, self.why = 1, ""
        self.automatic = module.automatic_optimization
        # number of epochs so far, while schedules that watch a value have not yet reacted to the last one
        self.ended = 0
        self.samples: int | None = None  # in the current step
        self.batches_before = 0  # trained on before the checkpoint from which training continues

    # -- taking over, and back -----------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide how many steps a call takes, now that data and optimisers exist, and replace `training_step`."""
        module, data = self.module, self.data
        most = BYTES if trainer.strategy.root_device.type == "cpu" else GPU_BYTES
        fitting = most // (4 * data.batch_size * math.prod(data.input_shape))
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
        """Switch to manual optimisation, with the optimiser and schedules that Lightning has already set up."""
        if self.steps == 1:
            return
        self.acting = [c for c in callbacks_of(trainer) if any(is_overridden(name, c) for name in WITHIN_A_CALL)]
        if not self.automatic:
            return
        self.module.automatic_optimization = False
        optimizer = self.module.optimizers()
        assert not isinstance(optimizer, list)
        self.optimizer = optimizer
        self.zero_grad = zero_grad_of(optimizer.optimizer)
        # In full precision on one device, `manual_backward` only adds calls of these hooks to `backward`
        watched = any(is_overridden(name, c) for name in WITHIN_A_CALL if "backward" in name for c in self.acting)
        self.backward = self.module.manual_backward if watched else Tensor.backward
        schedules = trainer.lr_scheduler_configs
        self.by_value = [config for config in schedules if config.reduce_on_plateau]
        self.by_time = {
            interval: [c for c in schedules if c.interval == interval and not c.reduce_on_plateau]
            for interval in ("step", "epoch")
        }

    def undo(self, trainer: Trainer) -> None:
        """Restore the module and the data module, and set the trainer's step count as Lightning's own loop would."""
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
        """Take one step for each `batch_size` samples, and those of the learning rate schedules that are due."""
        trainer, size = self.trainer, self.data.batch_size
        everybody = callbacks_of(trainer)
        trainer.callbacks = self.acting  # type: ignore[attr-defined] # the others have no hook that is called here
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
            self.zero_grad()
            if loss is not None:
                self.backward(loss)
            return loss

        optimizer.step(closure)

    def _log(self, *args: Any, **kwargs: Any) -> None:
        """`log`, with the number of samples in the step and not in the call as a value's weight."""
        if kwargs.get("batch_size") is None:
            kwargs["batch_size"] = self.samples
        self.log(*args, **kwargs)

    # -- schedules -----------------------------------------------------------------------------------------------

    def _schedule(self, interval: str, count: int) -> None:
        for config in self.by_time[interval]:
            if count % config.frequency == 0:
                self.module.lr_scheduler_step(config.scheduler, None)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that schedules that watch a value are due: Lightning lets them act after this epoch's checkpoint."""
        if self.steps > 1 and self.automatic and trainer.is_last_batch:
            self.ended = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the schedules that watch a value react to the previous epoch."""
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
        """Let them react to the last epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the counts that Lightning's own loop would store."""
        if self.steps > 1:
            count_single_steps(checkpoint, self.batches, self.steps, self.batches_before, self.automatic)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue from the stored counts; a file that was written within an epoch needs Lightning's own loop."""
        if "loops" not in checkpoint:
            return
        if is_within_an_epoch(checkpoint):
            self.why = "ckpt_path, which was written within an epoch"
        self.batches_before = batches_trained_on(checkpoint)
        if self.automatic:
            count_manual_steps(checkpoint)


def zero_grad_of(optimizer: Optimizer) -> Callable[[], None]:
    """Sets the gradients to None as PyTorch does, but without its profiling (50 µs); or the optimiser's own way."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad:
        return optimizer.zero_grad

    def zero_grad() -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    return zero_grad


def loss_of(result: Tensor | Mapping[str, Any] | None) -> Tensor | None:
    """The loss in the result of `training_step`; None means that the step is skipped.

    Raises:
        MisconfigurationException: the result is neither None nor a loss, nor a dict with one.
    """
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if result is not None and not isinstance(loss, Tensor):
        raise MisconfigurationException(
            f"training_step returns a {type(result).__name__} without a loss: return the loss, a dict with the key "
            "`loss`, or None to skip the step"
        )
    return loss
