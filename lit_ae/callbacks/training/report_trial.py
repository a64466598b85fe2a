"""A training that is a trial of a search for settings."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae import tracking
from lit_ae.settings.searches import WARMUP, open_search
from lit_ae.tracking.logger import run_logger


class ReportTrial(Callback):
    """Reports each value of the validation split to a search, and ends a training that has no prospects.

    Its run then has the tag `pruned`. The first three values never end it: they may be those of the first three epochs,
    or, of a score that is only computed every tenth epoch, those of the first thirty. `lit-ae tune` adds this callback.

    Args:
        file: of the search.
        search: its name.
        trial: number of the trial.
        metric: what is reported, such as val/loss.
        better: whether `lower` or `higher` values are better.
    """

    def __init__(self, file: str, search: str, trial: int, metric: str, better: str = "lower") -> None:
        self.file, self.search, self.trial, self.metric, self.better = file, search, trial, metric, better
        self.values = 0  # that were reported

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the trial."""
        import optuna

        study = open_search(Path(self.file), self.search, self.better)
        self.reported = optuna.Trial(study, study.trials[self.trial]._trial_id)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the value, if there is one; stop if the search says so."""
        if trainer.sanity_checking or self.metric not in trainer.callback_metrics:
            return
        self.values += 1
        self.reported.report(float(trainer.callback_metrics[self.metric]), trainer.current_epoch)
        logger = run_logger(trainer)
        if self.values > WARMUP and self.reported.should_prune():
            trainer.should_stop = True
            if logger and logger.run_id and trainer.is_global_zero:
                tracking.set_tags(logger.run_id, {"pruned": "true"})
