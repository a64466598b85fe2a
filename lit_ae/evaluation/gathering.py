"""Joins the results of several processes."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor


def gather_in_order(part: Tensor, trainer: Trainer) -> Tensor:
    """The rows of all ranks in the data set's order, on every rank.

    Rank r of W holds the rows r, r + W, r + 2W, … [n, …]; the result is [N, …].
    """
    if trainer.world_size == 1:
        return part
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, part)
    whole = torch.empty(sum(len(p) for p in parts), *part.shape[1:], dtype=part.dtype)
    for rank, rows in enumerate(parts):
        whole[rank :: trainer.world_size] = rows
    return whole
