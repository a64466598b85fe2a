"""Python function calls in one optimiser step."""

import sys

from lightning.pytorch import Callback

from ratios.made import images
from ratios.training import autoencoder, bare_steps, fit

CALLED = 200  # steps of the bare loop whose calls are counted


class Counting(Callback):
    """Python calls in an epoch of training, without its validation."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.start = trainer.global_step
        self.counter = CallCounter()
        self.counter.__enter__()

    def on_validation_start(self, trainer, pl_module) -> None:
        self.counter.__exit__(None, None, None)
        self.calls = self.counter.calls / (trainer.global_step - self.start)


class CallCounter:
    """A context that counts the Python function calls made inside it."""

    def __enter__(self) -> "CallCounter":
        self.calls = 0
        sys.setprofile(self.note)
        return self

    def note(self, frame, event, argument) -> None:
        self.calls += event == "call"

    def __exit__(self, *error) -> None:
        sys.setprofile(None)


def calls() -> dict[str, float]:
    """Python calls in a step of the bare loop, of Lightning's own loop, and with several steps in a call."""
    steps = bare_steps(*autoencoder(), images().flatten(1), 64)
    with CallCounter() as bare:
        steps(CALLED)
    found = {"bare_loop": bare.calls / CALLED}
    for name, options in (("lightning_loop", ["--steps_per_call=1"]), ("several_steps_a_call", [])):
        counting = Counting()
        fit(counting, 64, 1, *options)
        found[name] = counting.calls
    return found
