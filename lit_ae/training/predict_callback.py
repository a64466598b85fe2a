"""Writes what `lit-ae predict` computes, while it computes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lit_ae import tracking
from lit_ae.data.containers import Batch, SplitName
from lit_ae.errors import SettingError
from lit_ae.evaluation.predictions import writer
from lit_ae.models.latent import Reconstruction
from lit_ae.tracking.logger import run_logger


class WritePredictions(Callback):
    """Writes the predictions of each batch to a file as soon as they are there, and the file into the run's artifacts.

    Args:
        model: the model.
        output: the file, .npz or .parquet; None: predictions-RUN-SPLIT.npz in the current folder.
        split: the split, or all samples.

    Raises:
        SettingError: another ending, a file that holds something else already, or a model that predicts nothing.
    """

    def __init__(self, model: LightningModule, output: Path | None, split: SplitName | Literal["all"]) -> None:
        self.output, self.split, self.seen = output, split, 0
        if output is not None:
            writer(output)  # what it refuses, it refuses before anything is computed
        if not is_overridden("predict_step", model):
            raise SettingError(
                f"model is {type(model).__name__}, which has no encoder and so predicts nothing from samples: choose a "
                "family with an encoder"
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse several processes."""
        if trainer.world_size > 1:
            raise SettingError(
                f"predict runs in {trainer.world_size} processes, but one process writes the file: set "
                "--trainer.devices=1"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the file."""
        logger = run_logger(trainer)
        self.run_id = logger.run_id if logger else None
        self.path = self.output or Path(f"predictions-{(self.run_id or 'untracked')[:8]}-{self.split}.npz")
        names = getattr(trainer.datamodule, "class_names", ())  # type: ignore[attr-defined]
        self.writer = writer(self.path, tuple(names)).__enter__()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Write a batch."""
        n = len(batch.x)
        index = np.arange(self.seen, self.seen + n)
        self.seen += n
        self.writer.write({"index": index, "label": as_array(batch.y), **columns(outputs, batch)})

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the file in its place, store it with the run, and say where it is."""
        self.writer.__exit__(None)
        names = ", ".join(self.writer.names)
        print(f"{self.seen:,} predictions ({self.split}): {self.path} ({names})")
        if self.run_id:
            tracking.log_file(self.run_id, self.path, "predictions")
            print(f"and in the artifacts of run {self.run_id}: predictions/{self.path.name}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave no half-written file."""
        if hasattr(self, "writer"):
            self.writer.__exit__(type(exception))


def columns(outputs: Any, batch: Batch) -> Mapping[str, npt.NDArray[np.generic]]:
    """The arrays [B, ...] of one batch by name."""
    if not isinstance(outputs, Reconstruction):
        return {"probabilities": as_array(outputs)}
    r = outputs
    logvar = {} if r.latent.logvar is None else {"codes_logvar": r.latent.logvar}
    terms = {"loss": r.loss, "nll": r.nll, "penalty": r.penalty, **r.terms}
    found = {"codes": r.latent.mu, **logvar, "reconstruction": r.x_hat, **terms}
    return {name: as_array(value) for name, value in found.items()}


def as_array(x: Tensor) -> npt.NDArray[np.generic]:
    """The same numbers in NumPy."""
    array: npt.NDArray[np.generic] = x.detach().cpu().numpy()
    return array
