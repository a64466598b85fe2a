"""Which settings, callbacks and models need Lightning's own loop, with one call of `training_step` for each step."""

import inspect
from collections.abc import Iterator
from functools import cached_property, partialmethod
from types import CodeType, FunctionType

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
    StochasticWeightAveraging,
)
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset
from lit_ae.models.tracked import TrackedModule
from lit_ae.tracking.logger import RunLogger

WITHIN_A_CALL = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")  # still called at each step
BY_STEP = ("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", *WITHIN_A_CALL)
OF_A_MODULE = (
    "backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "configure_callbacks",
    "on_before_batch_transfer", "transfer_batch_to_device", *BY_STEP,
)  # fmt: skip
OF_THE_DATA = ("on_before_batch_transfer", "transfer_batch_to_device")
COUNTS = {
    "estimated_stepping_batches",
    "num_training_batches",
    "is_last_batch",
}  # attributes of a trainer that count calls


def why_by_step(trainer: Trainer, module: TrackedModule, data: BaseDataModule) -> str:
    """The first setting, callback or part of the model that needs Lightning's own loop; empty if none does.

    Call it when the optimisers have been created and the training loader has not.
    """
    fits = {
        "trainer.devices": type(trainer.strategy) is SingleDeviceStrategy,
        "trainer.precision": type(trainer.precision_plugin) is Precision,
        "trainer.accumulate_grad_batches": trainer.accumulate_grad_batches == 1,
        "trainer.gradient_clip_val": not trainer.gradient_clip_val,
        "trainer.max_steps": trainer.max_steps == -1,
        "trainer.min_steps": not trainer.min_steps,
        "trainer.limit_train_batches": is_whole(trainer.limit_train_batches),
        "trainer.val_check_interval": is_whole(trainer.val_check_interval),
        "trainer.profiler": isinstance(trainer.profiler, PassThroughProfiler),  # type: ignore[attr-defined]
        "trainer.logger": all(isinstance(logger, RunLogger) for logger in trainer.loggers),  # others use step numbers
    }
    fits |= {f"callback {type(c).__name__}": not acts_by_step(c) for c in callbacks_of(trainer)}
    fits |= {f"model.{name}": not is_overridden(name, module) for name in OF_A_MODULE}
    fits |= {
        "model.on_after_batch_transfer": _is_ours(module, TrackedModule, "on_after_batch_transfer"),
        "model.training_step": "dataloader_iter" not in inspect.signature(module.training_step).parameters,
        "model.lr_scheduler": not any(
            c.reduce_on_plateau and c.interval == "step" for c in trainer.lr_scheduler_configs
        ),
        # The loader exists already if the model or a callback has asked for the number of batches
        "trainer.estimated_stepping_batches": trainer.train_dataloader is None,
    }
    owners = (module, data, *callbacks_of(trainer))
    fits |= {f"trainer.{name} in {type(owner).__name__}": False for owner in owners for name in counts_read_by(owner)}
    fits |= {f"data.{name}": not is_overridden(name, data) for name in OF_THE_DATA}
    fits |= {
        "data.on_after_batch_transfer": _is_ours(data, BaseDataModule, "on_after_batch_transfer"),
        "data.train_dataloader": _is_ours(data, BaseDataModule, "train_dataloader"),
        "data.load": type(data.split("train")) is ArrayDataset,
    }
    return next((name for name, fit in fits.items() if not fit), "")


def is_whole(setting: object) -> bool:
    """Whether a setting such as `limit_train_batches` means all batches; the integer 1 means one batch."""
    return isinstance(setting, float) and setting == 1.0


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """The trainer's callbacks."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def acts_by_step(callback: Callback) -> bool:
    """Whether a callback has to be called at every step; one that need not be sets an attribute `per_step = False`."""
    if type(callback) is ModelCheckpoint:  # its key contains the settings for when it saves
        key = callback.state_key
        by_epoch = "'every_n_train_steps': 0" in key and "'train_time_interval': None" in key
        return not by_epoch or getattr(callback, "save_on_exception", False)
    if isinstance(callback, StochasticWeightAveraging):  # it replaces the schedule during training
        return True
    if type(callback).__module__.startswith("lightning."):
        return not isinstance(callback, (EarlyStopping, ModelSummary, ProgressBar))
    return getattr(callback, "per_step", True) and any(is_overridden(name, callback) for name in BY_STEP)


def counts_read_by(owner: object) -> Iterator[str]:
    """The trainer's counts that methods of a model, data module or callback outside this project and Lightning read."""
    for cls in type(owner).__mro__:
        if cls.__module__.split(".")[0] not in ("lit_ae", "lightning", "torch"):
            for method in vars(cls).values():
                yield from sorted(COUNTS & _names_in(method))


def _names_in(value: object) -> set[str]:
    """Names of the attributes that a method, or a property, reads, and the functions inside it."""
    if isinstance(value, CodeType):
        return set(value.co_names).union(*map(_names_in, value.co_consts))
    if isinstance(value, property):
        return _names_in(value.fget) | _names_in(value.fset)
    if isinstance(value, cached_property | partialmethod):
        return _names_in(value.func)
    if isinstance(value, FunctionType | staticmethod | classmethod):  # `__wrapped__` is the function in a decorator
        return _names_in(getattr(value, "__code__", None)) | _names_in(getattr(value, "__wrapped__", None))
    return set()


def _is_ours(owner: object, base: type, name: str) -> bool:
    """Whether no subclass overrides the base class's method `name`."""
    return getattr(type(owner), name) is getattr(base, name)
