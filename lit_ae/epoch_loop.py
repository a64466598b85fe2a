"""Lightning's loop over the batches of an epoch, without the detours that nothing takes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.fetchers import _DataLoaderIterDataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler, Profiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lit_ae.data.base import BaseDataModule, Batch

BURST = 16  # batches
# Called wherever somebody overrides them
HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
# Never called: a module that overrides one of them is trained by Lightning's own step
LEFT_OUT = ("backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping")
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device")  # nor these, of the data module either


class NoProfiler(Profiler):
    """Measures nothing: Lightning opens a profiler's context 40 times a step, and its own no-op is a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nullcontext()

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """A context that does nothing."""
        return self.nothing


class EpochLoop(_TrainingEpochLoop):
    """Trains step by step as Lightning's loop does, with the same weights, metrics, hooks and counters.

    The step of a small net on a CPU is a third longer in Lightning's loop: it calls six hooks of every callback, looks
    through the logged values and opens a profiler's context 40 times a step, whether anything is there or not. Here a
    step calls the hooks that somebody overrides. Where it could differ (several processes, accumulation, clipping,
    loss scaling, a profiler, an optimiser's step that the module makes its own), Lightning's own step is taken.
    Only after an epoch that a hook ends early may the next one be shuffled otherwise: some batches more were made.
    """

    def on_run_start(self, data_fetcher: Any) -> None:
        """Look once an epoch at what a step has to do."""
        super().on_run_start(data_fetcher)
        trainer = self.trainer
        self._straight = not isinstance(data_fetcher, _DataLoaderIterDataFetcher) and is_straight(trainer)
        self._batches = self._transferred(data_fetcher)
        precision = trainer.precision_plugin
        self._autocast = nullcontext if type(precision) is Precision else precision.train_step_context
        self._hooks = {name: overriding(trainer, name) for name in HOOKS} if self._straight else {}
        self._logged = sum(value.meta.fx.endswith("epoch_end") for value in self._results.values())
        # The last step of which nothing follows before the next one: no validation, no schedule's step
        at_end = trainer.val_check_batch == trainer.num_training_batches and trainer._val_check_time_interval is None
        unscheduled = at_end and not trainer.lr_scheduler_configs and not self.restarting
        self._quiet_until = trainer.num_training_batches - 1 if self._straight and unscheduled else 0

    def advance(self, data_fetcher: Any) -> None:
        """One step.

        Raises:
            StopIteration: a hook on_train_batch_start of the module returned -1, which ends the epoch.
        """
        if self.restarting or not self._straight:
            super().advance(data_fetcher)
            return
        trainer, progress, logged = self.trainer, self.batch_progress, self.trainer._logger_connector
        module = trainer.lightning_module
        index = self.batch_idx + 1
        batch, progress.is_last_batch = next(self._batches)
        progress.increment_ready()
        logged.on_batch_start(batch)
        skip = -1 in self._call("on_train_batch_start", batch, index)
        if skip:
            progress.increment_by(0, is_last_batch=True)
        else:
            progress.increment_started()
            outputs = self._optimise(module, batch, index)
        progress.increment_processed()
        if trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
            if self._num_ready_batches_reached():
                self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        if skip:
            raise StopIteration
        self._call("on_train_batch_end", outputs, batch, index)
        progress.increment_completed()
        if len(self._results) > self._logged:  # something is logged by step
            logged.on_batch_end()
            logged.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        """What follows a step: nothing in the middle of an epoch that is validated at its end, if at all."""
        trainer = self.trainer
        quiet = self.batch_progress.current.ready <= self._quiet_until and not self.batch_progress.is_last_batch
        if quiet and not trainer.should_stop and not trainer.received_sigterm:
            self._batches_that_stepped += 1
        else:
            super().on_advance_end(data_fetcher)

    def _transferred(self, data_fetcher: Any) -> Iterator[tuple[Batch, bool]]:
        """Batches on the device, and whether each is the last.

        Several are made at a time: one by one, between the steps of a net, each takes three times as long, since
        the net's weights push what makes batches out of the processor's caches.
        """
        module, device, data = self.trainer.lightning_module, self.trainer.strategy.root_device, self.trainer.datamodule
        while not data_fetcher.done:
            burst: list[tuple[Batch, bool]] = []
            while len(burst) < BURST and not data_fetcher.done:
                batch, _, _ = next(data_fetcher)
                if device.type != "cpu":
                    batch = module.transfer_batch_to_device(batch, device, 0)
                burst.append((data.on_after_batch_transfer(batch, 0), data_fetcher.done))
            yield from burst

    def _optimise(self, module: LightningModule, batch: Any, index: int) -> dict[str, Tensor]:
        optimizer, done = self.trainer.optimizers[0], self.automatic_optimization.optim_progress.optimizer
        outputs: dict[str, Tensor] = {}

        def closure() -> Tensor:
            module._current_fx_name = "training_step"
            with self._autocast():
                loss = module.training_step(batch, index)
            if not isinstance(loss, Tensor):
                raise TypeError(f"training_step of {type(module).__name__} returns {loss!r}: it must return a loss")
            done.zero_grad.increment_ready()
            self._call("on_before_zero_grad", optimizer)
            done.zero_grad.increment_started()
            optimizer.zero_grad()
            done.zero_grad.increment_completed()
            self._call("on_before_backward", loss)
            loss.backward()
            self._call("on_after_backward")
            outputs["loss"] = loss.detach()
            self._call("on_before_optimizer_step", optimizer)
            return outputs["loss"]

        done.step.increment_ready()
        optimizer.step(closure)
        done.step.increment_completed()
        return outputs

    def _call(self, name: str, *args: Any) -> list[Any]:
        """What the hooks of this name return."""
        hooks = self._hooks[name]
        if hooks:
            self.trainer.lightning_module._current_fx_name = name
        return [hook(*args) for hook in hooks]


def is_straight(trainer: Trainer) -> bool:
    """Whether a step without what `EpochLoop` leaves out is the same step."""
    module, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]
    precision = trainer.precision_plugin
    profiler = trainer.profiler  # type: ignore[attr-defined]
    return (
        module.automatic_optimization
        and isinstance(data, BaseDataModule)
        and type(trainer.strategy) is SingleDeviceStrategy
        and trainer.strategy.model is module
        and (type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None))
        and trainer.accumulate_grad_batches == 1
        and not trainer.gradient_clip_val
        and isinstance(profiler, NoProfiler | PassThroughProfiler)
        and not any(is_overridden(name, module) for name in (*LEFT_OUT, *TRANSFER, "on_after_batch_transfer"))
        and not any(is_overridden(name, data) for name in TRANSFER)
    )


def overriding(trainer: Trainer, name: str) -> list[Callable[..., Any]]:
    """Hooks of this name that do something: the callbacks' in their order, then the module's."""
    module: LightningModule = trainer.lightning_module
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    acting = (c for c in callbacks if is_overridden(name, c) and not (name == "on_train_batch_end" and is_patient(c)))
    hooks: list[Callable[..., Any]] = [partial(getattr(c, name), trainer, module) for c in acting]
    return [*hooks, getattr(module, name)] if is_overridden(name, module) else hooks


def is_patient(callback: Callback) -> bool:
    """Whether this is a checkpoint that is saved at the end of epochs, but looks after every step whether it is due."""
    if type(callback) is not ModelCheckpoint:
        return False
    return callback._every_n_train_steps < 1 and callback._train_time_interval is None
