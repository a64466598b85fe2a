"""A last batch of one sample, from which batch normalisation cannot take a variance."""

from torch import nn

from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError


def refuse_batch_of_one(module: nn.Module, data: BaseDataModule) -> None:
    """Refuse a batch size that leaves one sample over, if the model normalises vectors over the batch.

    Raises:
        SettingError: naming the batch size, the number of samples and a batch size that leaves none.
    """
    samples, size = len(data.split("train")), data.batch_size
    if not (samples % size == 1 or size == 1) or not any(isinstance(m, nn.BatchNorm1d) for m in module.modules()):
        return
    better = next(n for n in range(max(2, size), samples + 2) if samples % n != 1)
    raise SettingError(
        f"data.batch_size is {size}, which makes a batch of one of {samples:,} training samples, and the model has "
        f"batch normalisation, which needs two or more: set it to {better}, or choose another norm"
    )
