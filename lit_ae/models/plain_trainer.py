"""Lightning's own trainer without its files and messages, for training from Python code."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer


def plain_trainer(**settings: Any) -> Trainer:
    """Lightning's own Trainer for one epoch on the CPU, which writes nothing, unless the settings change this."""
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(**{"accelerator": "cpu", "max_epochs": 1, "num_sanity_val_steps": 0, **quiet, **settings})


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside it Lightning prints nothing, and the caller's random numbers are left as they are."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
