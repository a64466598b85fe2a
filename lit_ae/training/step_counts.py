"""The counts of steps and batches in a checkpoint, which differ if a call of `training_step` takes several steps.

Lightning counts the steps of automatic and of manual optimisation separately, and the samples of a call as one batch.
"""

import math
from typing import Any


def count_single_steps(checkpoint: dict[str, Any], batches: int, steps: int, before: int, automatic: bool) -> None:
    """Change the counts to those that Lightning's own loop would store, so that any trainer can continue from them.

    Args:
        checkpoint: of a training with several steps in a call.
        batches: number of batches in an epoch.
        steps: number of steps in a call.
        before: number of batches before the checkpoint that this training continued from.
        automatic: whether Lightning's own loop optimises automatically.
    """
    loop = checkpoint["loops"]["fit_loop"]
    calls = math.ceil(batches / steps)  # in an epoch
    total, current = (loop["epoch_loop.batch_progress"][name] for name in ("total", "current"))
    behind = total["completed"] - loop["epoch_loop.state_dict"]["_batches_that_stepped"]
    for key in total:
        epochs = (total[key] - before - current[key]) // calls
        current[key] = min(current[key] * steps, batches)
        total[key] = before + epochs * batches + current[key]
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = total["completed"] - behind
    if automatic:
        optimizer = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
        for progress in (optimizer["step"], optimizer["zero_grad"]):
            progress["total"] = dict.fromkeys(progress["total"], checkpoint["global_step"])
            progress["current"] = dict.fromkeys(progress["current"], current["completed"])
        manual = loop["epoch_loop.manual_optimization.optim_step_progress"]
        for part in ("total", "current"):
            manual[part] = dict.fromkeys(manual[part], 0)


def count_manual_steps(checkpoint: dict[str, Any]) -> None:
    """Store the number of automatic steps as that of manual ones, with which a training in calls continues."""
    manual = checkpoint["loops"]["fit_loop"]["epoch_loop.manual_optimization.optim_step_progress"]
    manual["total"] = dict.fromkeys(manual["total"], checkpoint["global_step"])


def batches_trained_on(checkpoint: dict[str, Any]) -> int:
    """Number of batches in all epochs so far."""
    progress: dict[str, int] = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    return progress["completed"]


def is_within_an_epoch(checkpoint: dict[str, Any]) -> bool:
    """Whether the last epoch had not ended, or its validation had not."""
    epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    return not epoch["ready"] == epoch["started"] == epoch["processed"]
