"""Typed access to what a trainer holds, and the one place that decides which samples are scored."""

import math
from typing import cast

from lightning.pytorch import LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, SplitName
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.chunks import model_input
from lit_ae.models.tracked import TrackedModule
from lit_ae.tracking.logger import run_logger


def datamodule(trainer: Trainer) -> BaseDataModule:
    """The trainer's data module."""
    return cast(BaseDataModule, trainer.datamodule)  # type: ignore[attr-defined]


def generative_module(trainer: Trainer) -> GenerativeModule:
    """The trainer's module."""
    return cast(GenerativeModule, trainer.lightning_module)


def reconstruction_module(trainer: Trainer) -> ReconstructionModule:
    """The trainer's module, which has an encoder."""
    return cast(ReconstructionModule, trainer.lightning_module)


def split_name(trainer: Trainer) -> SplitName:
    """The split being scored: test, or val during training."""
    return "test" if trainer.testing else "val"


def scored_split(trainer: Trainer) -> ArrayDataset:
    """The samples that are scored: the split being scored, or as many of its first samples as the limit leaves.

    The limit is `trainer.limit_test_batches`, during training `trainer.limit_val_batches`.
    """
    data = datamodule(trainer)
    whole = data.split(split_name(trainer))
    limit = trainer.limit_test_batches if trainer.testing else trainer.limit_val_batches
    # Batches of rank 0, which has the most samples where the processes cannot share them evenly
    batches = math.ceil(math.ceil(len(whole) / trainer.world_size) / data.eval_batch_size)
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    n = batches * data.eval_batch_size * trainer.world_size
    return whole if n >= len(whole) else whole.first(n)


def whole_split_is_scored(trainer: Trainer) -> bool:
    """Whether no limit leaves samples out."""
    return len(scored_split(trainer)) == len(datamodule(trainer).split(split_name(trainer)))


def first_images(trainer: Trainer, n: int) -> Tensor:
    """The first n of the scored samples [n, *shape], as floats on the module's device."""
    return on_device(scored_split(trainer).x[:n], trainer.lightning_module)


def first_labels(trainer: Trainer, n: int) -> Tensor:
    """The labels [n] of the first n scored samples, on the module's device."""
    return scored_split(trainer).y[:n].to(trainer.lightning_module.device)


def on_device(x: Tensor, module: LightningModule) -> Tensor:
    """Stored samples on the module's device as floats; bytes become values in [0, 1]."""
    return model_input(x, cast(TrackedModule, module))


def are_pixels(trainer: Trainer) -> bool:
    """Whether all values of the split being scored are in [0, 1]."""
    low, high = scored_split(trainer).value_range()
    return low >= 0 and high <= 1


def drawn(trainer: Trainer, images: Tensor) -> Tensor:
    """Images as figures show them, in [0, 1] on the CPU: those of data with other values are scaled by `shades`."""
    low, high = (0.0, 1.0) if are_pixels(trainer) else scored_split(trainer).value_range()
    return ((images.float().cpu() - low) / (high - low or 1.0)).clamp_(0, 1)


def shades(trainer: Trainer) -> str:
    """What a figure's title says of data that are not in [0, 1]: which values are black and white."""
    if are_pixels(trainer):
        return ""
    low, high = scored_split(trainer).value_range()
    return f"; black is {low:.3g}, white {high:.3g}".replace("-", "−")


def is_drawn(trainer: Trainer, name: str) -> bool:
    """Whether `save_figure` would store a figure of that name, so that one which is not wanted need not be made."""
    logger = run_logger(trainer)
    return logger is None or logger.draws(name)


def save_figure(trainer: Trainer, figure: Figure, name: str) -> None:
    """Store a figure with the run, unless the setting `figures` leaves it out.

    The name of a figure of the validation split gets the epoch as its ending.
    """
    logger = run_logger(trainer)
    if logger and logger.draws(name):
        logger.log_figure(figure, name if trainer.testing else f"{name}-epoch{trainer.current_epoch + 1:04d}")
