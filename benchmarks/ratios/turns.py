"""Two sides measured in turns, so that a machine whose speed changes within seconds slows both down alike."""

import math
import threading
import time
from collections.abc import Callable

import torch
from lightning.pytorch import Callback

ROUNDS = 5
THREADS = 1  # what is measured is overhead; a second thread adds the noise of its neighbours


class Alternating(Callback):
    """CPU seconds of an epoch of ours and of as many steps of the other side, in turns of one call of `training_step`.

    Args:
        steps: takes n steps of the other side.
    """

    per_step = False  # one call of its hooks for all steps in a call is enough

    def __init__(self, steps: Callable[[int], None]) -> None:
        self.steps = steps
        self.ratios: list[float] = []  # of each epoch, seconds of the other side over ours

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch:
            ours = time.process_time() - self.start - self.theirs
            self.ratios.append(self.theirs / ours)
        self.theirs = 0.0
        self.start = time.process_time()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        start = time.process_time()
        self.steps(math.ceil(len(batch.x) / trainer.datamodule.batch_size))
        self.theirs += time.process_time() - start


class Paused:
    """A training whose loop is not ours to interrupt, run in a thread that waits between its steps.

    Args:
        train: trains without end; it is given a function that it has to call after each step.
    """

    def __init__(self, train: Callable[[Callable[[], None]], None]) -> None:
        self.left, self.go, self.done = 0, threading.Semaphore(0), threading.Semaphore(0)
        self.error: BaseException | None = None
        threading.Thread(target=self._run, args=(train,), daemon=True).start()

    def _run(self, train: Callable[[Callable[[], None]], None]) -> None:
        self.go.acquire()
        try:
            torch.set_num_threads(THREADS)  # each thread has its own number
            train(self._stepped)
            raise RuntimeError("the training has ended")
        except BaseException as error:
            self.error = error
            self.done.release()

    def _stepped(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.release()
            self.go.acquire()

    def steps(self, n: int) -> None:
        """Take n more steps."""
        self.left = n
        self.go.release()
        self.done.acquire()
        if self.error:
            raise self.error


def in_turns(one: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """CPU seconds of `one` over those of `other`, of each round after a first one that is not counted."""

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return [seconds(one) / seconds(other) for _ in range(rounds + 1)][1:]
