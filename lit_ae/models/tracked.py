"""What all trained models share: terms averaged over an epoch, one form of batches, and checkpoints with settings."""

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch import Tensor

from lit_ae.data.containers import Batch, as_batch
from lit_ae.errors import SettingError
from lit_ae.models.resumable import Resumable
from lit_ae.models.settings import constructor_arguments
from lit_ae.models.stored_settings import StoredSettings

# The data modules convert batches as well, for LightningModules of other projects; it is the same conversion
warnings.filterwarnings("ignore", ".*overridden `on_after_batch_transfer` in both.*")

Stage: TypeAlias = Literal["train", "val", "test"]
SUMMED = 32  # number of steps whose terms are summed at once


class TrackedModule(Resumable, StoredSettings):
    """A LightningModule that logs its terms once an epoch and stores its settings in each checkpoint.

    `load_from_checkpoint` therefore only needs the file, as for any Lightning module that saves its hyperparameters.
    Settings are stored as plain data, so that loading never executes code from the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.init_args = constructor_arguments(self)
        self._stored_names: tuple[str, ...] = ()  # of the classes, from a checkpoint
        self.planned_steps: int | None = None  # optimiser steps of the whole training, if a loop counts them itself
        self._waiting: dict[Stage, dict[str, list[Tensor]]] = {}  # terms that have not been summed yet
        self._sums: dict[Stage, dict[str, tuple[Tensor, int]]] = {}  # name -> sum and number of samples

    # -- batches ------------------------------------------------------------------------------------------------

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """A `Batch` of floats from whatever the loader gives: x, (x,), (x, y) or a `Batch`; bytes become [0, 1]."""
        found = as_batch(batch, self.dtype)  # type: ignore[arg-type]
        self.check_input(found.x)
        return found

    def check_input(self, x: Tensor) -> None:
        """Refuse samples [B, *shape] that the model cannot take; a family or its base says which."""

    def setup(self, stage: str) -> None:
        """Refuse weights in half precision.

        Raises:
            SettingError: `trainer.precision` is bf16-true or 16-true.
        """
        precision = str(self.trainer.precision)
        if precision in ("bf16-true", "16-true"):
            raise SettingError(
                f"trainer.precision is {precision}, which would keep weights and running averages in half precision, "
                f"too coarse for their small updates: choose {precision.removesuffix('true')}mixed"
            )

    # -- terms: summed on the device at each step, reduced over processes and logged at the epoch's end ----------

    def track(self, stage: Stage, **terms: Tensor) -> None:
        """Add the terms [B] of a step's samples to the epoch's means; a second call in one step may add other terms.

        Many steps are summed at once and without waiting for the device: calling `self.log` at every step would take a
        fifth of the training time of a small network.
        """
        waiting = self._waiting.setdefault(stage, {})
        for name, term in terms.items():
            parts = waiting.setdefault(name, [])
            parts.append(term.detach())
            if len(parts) >= SUMMED:
                self._sum_up(stage, name)

    def tracked(self, stage: Stage) -> set[str]:
        """Names of the terms that have been tracked in this epoch."""
        return self._waiting.get(stage, {}).keys() | self._sums.get(stage, {}).keys()

    def _sum_up(self, stage: Stage, name: str) -> None:
        parts = self._waiting[stage].pop(name)
        values = torch.cat([part.to(parts[-1].device) for part in parts])  # those of a checkpoint are on the CPU
        sums = self._sums.setdefault(stage, {})
        total = values.sum(dtype=torch.float32 if values.device.type == "mps" else torch.float64)
        before, count = sums.get(name, (None, 0))
        sums[name] = (total if before is None else before.to(total.device) + total, count + len(values))

    def check_finite(self, loss: Tensor, **terms: Tensor) -> None:
        """Stop a run whose loss [B] is not finite: at once on a CPU, at the end of the epoch on other devices.

        Checking at every step would make the program wait for the device.

        Raises:
            FloatingPointError: the loss is not finite; the message names the step and the terms [B].
        """
        if not loss.is_cpu or math.isfinite(loss.sum().item()):
            return
        bad = [f"train/{name}" for name, value in terms.items() if not value.isfinite().all()]
        self._stop(f"{' and '.join(bad) or 'train/loss'} not finite at step {self.global_step}")

    def _stop(self, what: str) -> NoReturn:
        started = self._trainer is None or self.trainer.global_step > 0
        remedy = "lower the learning rate (lr of the optimizer)" if started else (
            "no step has been made yet, so the cause lies in the data or in the settings of the loss"
        )  # fmt: skip
        raise FloatingPointError(f"{what} (epoch {self.current_epoch}): training stopped; {remedy}")

    def _log_tracked(self, stage: Stage) -> None:
        for name in list(self._waiting.get(stage, {})):
            self._sum_up(stage, name)
        sums = self._sums.pop(stage, {})
        if not sums:
            return
        names = sorted(sums)  # the same order in every process
        numbers = [sums[name][0].to(self.device).double() for name in names]
        counts = [numbers[0].new_tensor(sums[name][1]) for name in names]
        total, count = self.trainer.strategy.reduce(torch.stack(numbers + counts), reduce_op="sum").chunk(2)
        found = zip(names, (total / count).tolist(), count.tolist(), strict=True)
        means = {f"{stage}/{name}": value for name, value, n in found if n}  # a term may have no samples
        for key, value in means.items():
            if not math.isfinite(value):
                self._stop(f"{key} not finite by step {self.global_step}")
        self.log_dict(means)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means of the training terms."""
        self._log_tracked("train")
        self.finish_epoch()

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's means of the validation terms."""
        self._log_tracked("val")
        self.finish_validation()

    def on_test_epoch_end(self) -> None:
        """Log the means of the test terms."""
        self._log_tracked("test")

    def on_fit_start(self) -> None:
        """Train in training mode, also a model that was loaded for evaluation; its parts keep what they are set to."""
        if not self.training:
            self.train()

    def steps_in_all(self) -> float:
        """Optimiser steps of the whole training; infinite if no end is set."""
        return self.planned_steps or self.trainer.estimated_stepping_batches

    # -- checkpoints --------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store family and settings for `load_from_checkpoint` and `lit_ae.load`, and what a training goes on with."""
        self.store_settings(checkpoint)
        self.store_progress(checkpoint)
        checkpoint["class_names"] = self._class_names()
        checkpoint["tracked"] = {"waiting": self._waiting.get("train", {}), "sums": self._sums.get("train", {})}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the data that it is trained on; empty if they are 0, 1, ... or not known."""
        found = self._class_names()
        return self._stored_names if found is None else tuple(found)

    def _class_names(self) -> list[str] | None:
        """Names of the data's classes, empty if they are 0, 1, ...; None without a data module that has them."""
        names = getattr(getattr(self._trainer, "datamodule", None), "class_names", None)
        return None if names is None else list(names)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse another family's checkpoint; a training goes on with the stored random states and sums of terms.

        Raises:
            SettingError: the checkpoint is of another family or of other settings.
        """
        family = checkpoint.get("family")
        if family != type(self).__name__:
            raise SettingError(
                f"ckpt_path holds a {family or 'model of another project'} but model is {type(self).__name__}: "
                "give the config that the checkpoint was trained with"
            )
        ours, theirs = self.state_dict(), checkpoint["state_dict"]
        for name, tensor in ours.items():
            if name not in theirs or theirs[name].shape != tensor.shape:
                found = tuple(theirs[name].shape) if name in theirs else "nothing"
                raise SettingError(
                    f"ckpt_path does not fit the model: {name} is {tuple(tensor.shape)} here and {found} there; "
                    "give the config that the checkpoint was trained with"
                )
        known, here = checkpoint.get("class_names"), self._class_names()
        if "num_classes" in self.init_args and known is not None and here is not None and known != here:
            raise SettingError(
                f"ckpt_path was trained on the classes {_listed(known)} and the data have {_listed(here)}: give data "
                "with the same classes in the same order"
            )
        self._stored_names = tuple(known or ())
        self.restore_progress(checkpoint)
        if self.is_trained and (tracked := checkpoint.get("tracked")):
            self._waiting["train"] = {name: list(parts) for name, parts in tracked["waiting"].items()}
            self._sums["train"] = {name: (total, count) for name, (total, count) in tracked["sums"].items()}


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "0, 1, ..."
