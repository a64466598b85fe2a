"""Which of a trainer's callbacks take part in a training or in a test."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateFinder

from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.settings.suggestions import near_match


def refuse_callbacks(trainer: Trainer) -> None:
    """Refuse Lightning's callbacks that need what models here do not have.

    Raises:
        SettingError: naming the callback and what to use instead.
    """
    if any(isinstance(callback, LearningRateFinder) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise SettingError(
            "trainer.callbacks has LearningRateFinder, which sets an attribute `lr` that models here do not have: "
            "try several --model.optimizer.lr instead"
        )


def keep_only_scores(trainer: Trainer, module: LightningModule, names: Sequence[str]) -> None:
    """Remove the score callbacks with other class names from the trainer, except for what they share.

    All stay if the name of the model's own class is among the names: its codes have changed, which any score may use.

    Raises:
        SettingError: there is no score callback of such a name.
    """
    if type(module).__name__ in names:
        return
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    scores = {type(c).__name__ for c in callbacks if hasattr(type(c), "version")}
    for name in names:
        if name not in scores:
            raise SettingError(f"--only_scores names {name!r}{near_match(name, sorted(scores))}")
    kept = [
        c
        for c in callbacks
        if not hasattr(type(c), "version") or type(c).__name__ in names or isinstance(c, Evaluation)
    ]
    trainer.callbacks = kept  # type: ignore[attr-defined]
    Evaluation.of(trainer).partial = True


@contextmanager
def set_aside(trainer: Trainer) -> Iterator[None]:
    """Inside it the trainer is without callbacks that only act in a test: Lightning calls six hooks a step on each."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    trainer.callbacks = [c for c in callbacks if not getattr(c, "test_only", False)]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
