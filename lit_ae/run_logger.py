"""Lightning's view of one MLflow run."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from matplotlib.figure import Figure

from lit_ae import plots, tracking
from lit_ae.samplers import Sampler


class RunLogger(Logger):
    """Writes to a run that somebody else opens and closes; does nothing on ranks above 0.

    Lightning's own MLFlowLogger cuts parameters, logs by step, and leaves the status of a killed run at RUNNING.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.epochs_before = 0  # of the training that a test on its own goes on from

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "mlflow"

    @property
    def version(self) -> str | None:
        """The run's id."""
        return self.run_id

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log a flat mapping as parameters."""
        values = vars(params) if isinstance(params, Namespace) else params
        if self.run_id and values:
            tracking.log_params(self.run_id, values)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; those of an epoch's end, which come with their epoch, get it (from 1) as their step."""
        values = dict(metrics)
        epoch = values.pop("epoch", None)
        if self.run_id and values:
            at = step or 0 if epoch is None else self.epochs_before + int(epoch) + 1
            tracking.log_metrics(self.run_id, values, at)

    @rank_zero_only
    def log_figure(self, figure: Figure, name: str) -> None:
        """Store a figure as figures/NAME.png, which reports show, and vector/NAME.pdf."""
        if self.run_id:
            with TemporaryDirectory() as folder:
                for kind, ending in (("figures", "png"), ("vector", "pdf")):
                    path = plots.save(figure, Path(folder) / f"{name}.{ending}")
                    tracking.log_file(self.run_id, path, kind)

    @rank_zero_only
    def log_sampler(self, sampler: Sampler) -> None:
        """Store a fitted sampler as samplers/NAME.pt, which `lit_ae.samplers.load` reads."""
        if self.run_id:
            with TemporaryDirectory() as folder:
                path = Path(folder) / f"{sampler.name}.pt"
                sampler.save(path)
                tracking.log_file(self.run_id, path, "samplers")

    @rank_zero_only
    def log_json(self, value: object, path: str) -> None:
        """Store a value as a JSON artifact."""
        if self.run_id:
            tracking.log_json(self.run_id, value, path)


def run_logger(trainer: Trainer) -> RunLogger | None:
    """The trainer's RunLogger, None where the run is not tracked."""
    return next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)
