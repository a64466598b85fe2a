"""Bounds of settings that Lightning, PyTorch and MLflow check too late, in other words, or not at all."""

import math
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lit_ae.errors import SettingError
from lit_ae.training.run_settings import flat

TIME = r"\d+:\d\d?:\d\d?:\d\d?"
NAME_LENGTH = 250  # of an experiment or a run: MLflow's limit on what it also stores as a tag or a parameter


class Bound(NamedTuple):
    """The values that a setting may have, beside null and those in `also`."""

    allowed: str  # in words
    low: float = -math.inf
    above: bool = False  # `low` itself is not allowed
    high: float = math.inf
    also: tuple[object, ...] = ()

    def holds(self, value: float) -> bool:
        """Whether the value is allowed."""
        return value in self.also or ((value > self.low if self.above else value >= self.low) and value <= self.high)


POSITIVE = Bound("above 0", 0, above=True)
AT_LEAST_1 = Bound("at least 1", 1)
NOT_NEGATIVE = Bound("at least 0", 0)
LARGEST = 2**31 - 1  # of a whole number: what counts something in PyTorch or Lightning may not hold more
MOST_WORKERS = 8 * (os.cpu_count() or 1)
# The first pattern that matches a setting's whole name holds for it.
BOUNDS = {
    r"seed_everything": Bound("a whole number from 0 to 4294967295", 0, high=2**32 - 1),
    r"trainer\.(max_epochs|max_steps)": Bound("at least 1, or -1 for no limit", 1, also=(-1,)),
    r"trainer\.(check_val_every_n_epoch|accumulate_grad_batches|num_nodes)": AT_LEAST_1,
    r"trainer\.(limit_(train|test|predict)_batches|val_check_interval)": POSITIVE,
    r"trainer\.(min_epochs|min_steps|log_every_n_steps)": NOT_NEGATIVE,
    r"trainer\.(overfit_batches|limit_val_batches|gradient_clip_val)": NOT_NEGATIVE,
    r"steps_per_call": AT_LEAST_1,
    r"data\.leave_out": NOT_NEGATIVE,
    r"data\.num_workers": Bound(f"from 0 to {MOST_WORKERS} on this machine", 0, high=MOST_WORKERS),
    r".*optimizer\.(lr|eps)": POSITIVE,
    r".*optimizer\.(weight_decay|momentum)": NOT_NEGATIVE,
    r".*lr_scheduler\.(step_size|T_max|T_0|total_steps|frequency)": AT_LEAST_1,
    r".*lr_scheduler\.(gamma|factor|max_lr)": POSITIVE,
}


def check_bounds(config: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite or outside `BOUNDS`, and names that MLflow cannot store.

    Args:
        config: the settings of a command, nested; classes are `class_path` and `init_args`.

    Raises:
        SettingError: naming the setting, its value and what is allowed.
    """
    for name in ("experiment", "run_name", "run_id", "ckpt_path"):
        text = config.get(name)
        if isinstance(text, str) and not 0 < len(text.strip()) <= NAME_LENGTH and (name != "ckpt_path" or not text):
            found = f"{len(text)} characters long" if text.strip() else "empty"
            raise SettingError(f"--{name} is {found}: give 1 to {NAME_LENGTH} characters, or leave it out")
    if isinstance(config.get("seed_everything"), bool) and config["seed_everything"] is False:
        raise SettingError(
            "seed_everything is false, but a run is found and paired with others by its seed: give a whole number, or "
            "true for a random one"
        )
    trainer = config.get("trainer") or {}
    _check_end(trainer)
    given = list(flat(config))
    for callback in trainer.get("callbacks") or []:
        if isinstance(callback, Mapping):
            given += flat({str(callback.get("class_path")).rsplit(".", 1)[-1]: callback.get("init_args") or {}})
    for name, value in given:
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if name == "trainer.devices" and isinstance(number, str) and number.isdecimal():
                number = int(number)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                _check(name, number)


def _check_end(trainer: Mapping[str, Any]) -> None:
    """Refuse a time that cannot be read, and a training that has no end."""
    time = trainer.get("max_time")
    if isinstance(time, str) and not (re.fullmatch(TIME, time) and re.search("[1-9]", time)):
        raise SettingError(f"trainer.max_time is {time!r}: give days, hours, minutes and seconds as 00:12:00:00")
    stops = any("EarlyStopping" in str(callback) for callback in trainer.get("callbacks") or [])
    if trainer.get("max_epochs") == -1 and trainer.get("max_steps") in (None, -1) and time is None and not stops:
        raise SettingError(
            "trainer.max_epochs is -1, and nothing else ends the training: set --trainer.max_steps, --trainer.max_time "
            "or a callback EarlyStopping"
        )


def _check(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise SettingError(f"{name} is {value}: it must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST and name != "seed_everything":
        raise SettingError(f"{name} is {value}: a whole number must be between {-LARGEST} and {LARGEST}")
    for pattern, bound in BOUNDS.items():
        if re.fullmatch(pattern, name):
            if not bound.holds(value):
                raise SettingError(f"{name} is {value}: it must be {bound.allowed}")
            return
