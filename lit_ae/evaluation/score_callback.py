"""The base class of every score and figure."""

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae.console import terminal
from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import are_pixels, datamodule
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.pass_callback import is_due
from lit_ae.models.base import GenerativeModule, ReconstructionModule


class ScoreCallback(Callback, ABC):
    """A score or figure that is made after the test pass, and on request after validation every N epochs.

    Args:
        every_n_epochs: also score the validation split after each Nth epoch; 0: only at test.
    """

    version: ClassVar[int] = 1
    """Raise it in a subclass whenever a change of its code changes its values or their names.

    The number is part of a study's hash: scores of an older version are computed again, without training. It is read
    from the source, so write it as a plain number: `version = 2`.
    """

    needs_codes: ClassVar[bool] = True  # False: also for models without an encoder
    needs_labels: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False  # True: not for flat vectors such as genes
    needs_unit_range: ClassVar[bool] = False  # True: only for pixels in [0, 1], as PSNR and image files have them
    rank_zero: ClassVar[bool] = True  # False: every rank takes part in `score`, and raises the same NotComputable

    def __init__(self, every_n_epochs: int = 0) -> None:
        require_at_least(0, f"{type(self).__name__}.{{}}", every_n_epochs=every_n_epochs)
        self.every_n_epochs = every_n_epochs
        self._told: set[str] = set()

    @property
    def test_only(self) -> bool:
        """Whether the callback has nothing to do during training."""
        return not self.every_n_epochs

    @abstractmethod
    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Values by name without the stage, the same on every rank; figures go to `save_figure`.

        Raises:
            NotComputable: none of them can be had from these data, so that the callback is left out with the reason;
                single ones are left out by `evaluation.leaving_out`.
        """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the test split."""
        self._run(trainer, pl_module, "test")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the validation split if this epoch is due."""
        if is_due(self, trainer):
            self._run(trainer, pl_module, "val")

    def _run(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, ReconstructionModule if self.needs_codes else GenerativeModule):
            return
        evaluation, name = Evaluation.of(trainer), type(self).__name__
        before = dict(evaluation.left_out)
        if self.rank_zero and trainer.world_size > 1 and self.needs_codes:
            evaluation.codes(trainer)  # a collective operation: every rank takes part before rank 0 goes on alone
        values: dict[str, float] = {}
        if not self.rank_zero or trainer.is_global_zero:
            with working(name, trainer), evaluation.leaving_out(name):
                self._require_data(trainer)
                values = self.score(trainer, evaluation)
        if self.rank_zero:
            values = trainer.strategy.broadcast(values)
        for key in [key for key, value in values.items() if not math.isfinite(value)]:
            evaluation.leave_out(f"its value is {values.pop(key)}: it is not defined for these data", key)
        if values:
            pl_module.log_dict({f"{stage}/{key}": value for key, value in values.items()})
        new = {key: reason for key, reason in evaluation.left_out.items() if before.get(key) != reason}
        if trainer.is_global_zero:
            self._tell(new)

    def _require_data(self, trainer: Trainer) -> None:
        """Raise NotComputable if the data set is not of the kind that the score is for."""
        data = datamodule(trainer)
        if self.needs_labels and not data.num_classes:
            raise NotComputable(f"{data.name} has no labels")
        if self.needs_images and len(data.input_shape) != 3:
            raise NotComputable(f"the samples of {data.name} are vectors, not images")
        if self.needs_unit_range and not are_pixels(trainer):
            raise NotComputable(f"the samples of {data.name} are not within [0, 1]")

    def _tell(self, left_out: dict[str, str]) -> None:
        """Print what is left out, one line for each reason that was not printed before."""
        for reason in dict.fromkeys(left_out.values()):
            names = ", ".join(name for name, own in left_out.items() if own == reason)
            if f"{names}: {reason}" not in self._told:
                self._told.add(f"{names}: {reason}")
                print(f"left out: {names}: {reason}")


def working(what: str, trainer: Trainer) -> AbstractContextManager[object]:
    """A spinner on the terminal of rank 0 during work that may take seconds."""
    shown = trainer.is_global_zero and terminal().is_terminal
    return terminal().status(what) if shown else nullcontext()
