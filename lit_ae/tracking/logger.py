"""Lightning's view of one MLflow run."""

import json
import math
import time
from argparse import Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from matplotlib.figure import Figure

from lit_ae import plots, tracking
from lit_ae.samplers import Sampler
from lit_ae.tracking.runs import Logged, valid_keys
from lit_ae.tracking.samples import Values

PAUSE = 1.0  # seconds between two writes of the values of epochs


class RunLogger(Logger):
    """Writes to a run that others open and close; does nothing on ranks above 0.

    Lightning's own MLFlowLogger cuts parameters, logs by step, and leaves the status of a killed run at RUNNING.

    Args:
        wanted: names of the figures to draw, as PNG; None: all, each also as PDF.
    """

    def __init__(self, wanted: Collection[str] | None = None) -> None:
        super().__init__()
        self.wanted = wanted
        self.offered: set[str] = set()  # names of the figures that there could be, whether wanted or not
        self.run_id: str | None = None
        self.epochs_before = 0  # epochs of training behind the weights of a separate test
        self.resumed_after = 0  # epochs after which this training goes on in the same run
        self.known: dict[tuple[str, int], float] = {}  # (metric, step) -> a value that the run has already
        self.limited = False  # the test, or a separate validation, takes fewer samples than the split holds
        self.least_step = 0  # of an earlier test: MLflow takes the value of the largest step for the newest
        self._held: list[Logged] = []  # of epochs, not written yet
        self._written = -math.inf  # time of the last write, in s

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
            tracking.log_params(self.run_id, values, self.resumed_after)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; those of the end of an epoch have its number, counted from 1, as their step.

        Values of epochs are written together, at most once a second, before a checkpoint and when the training ends: a
        write takes as long as several steps of a small network.
        """
        values = dict(metrics)
        epoch = values.pop("epoch", None)
        if not self.run_id or not values:
            return
        at = max(step or 0 if epoch is None else self.epochs_before + int(epoch) + 1, self.least_step)
        values = valid_keys({self._kept_apart(key): value for key, value in values.items()})
        values = {key: value for key, value in values.items() if self.known.get((key, at)) != value}
        if not values:
            return
        self._held.append(tracking.timed(values, at))
        of_an_epoch = epoch is not None and all(key.startswith(("train/", "val/")) for key in values)
        if not of_an_epoch or time.monotonic() - self._written >= PAUSE:
            self.write_held()

    @rank_zero_only
    def write_held(self) -> None:
        """Write the values that wait."""
        if self.run_id and self._held:
            tracking.write_all_metrics(self.run_id, self._held)
            self._held, self._written = [], time.monotonic()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left; Lightning calls this at the end of every command, also after an error."""
        self.write_held()

    def draws(self, name: str) -> bool:
        """Whether the run is to have a figure of that name."""
        self.offered.add(name)
        return self.wanted is None or name in self.wanted

    @rank_zero_only
    def log_figure(self, figure: Figure, name: str) -> None:
        """Store a figure as figures/NAME.png, which reports show, and, if all figures are drawn, as vector/NAME.pdf."""
        if self.run_id:
            with TemporaryDirectory() as folder:
                for kind, ending in (("figures", "png"), ("vector", "pdf"))[: 2 if self.wanted is None else 1]:
                    path = plots.save(figure, Path(folder) / f"{'limited-' if self.limited else ''}{name}.{ending}")
                    tracking.log_file(self.run_id, path, kind)

    @rank_zero_only
    def log_sampler(self, sampler: Sampler) -> None:
        """Store a fitted sampler as samplers/NAME.pt, which `lit_ae.samplers.load` reads."""
        if self.run_id and not self.limited:
            with TemporaryDirectory() as folder:
                path = Path(folder) / f"{sampler.name}.pt"
                sampler.save(path)
                tracking.log_file(self.run_id, path, "samplers")

    @rank_zero_only
    def log_samples(self, values: Mapping[str, Values], digest: str) -> None:
        """Store scores of single test samples, as `tracking.log_samples` does."""
        if self.run_id and not self.limited:
            tracking.log_samples(self.run_id, values, digest)

    @rank_zero_only
    def log_json(self, value: object, path: str) -> None:
        """Store a value as a JSON artifact."""
        if self.run_id:
            tracking.log_json(self.run_id, value, path)

    @rank_zero_only
    def log_protocol(self, protocol: Mapping[str, object], renewed: Collection[str] | None = None) -> None:
        """Store how scores were computed as protocol.json; entries of scores that were not computed now are kept.

        Args:
            protocol: the new entries.
            renewed: the scores whose earlier entries in `left_out`, why they cannot be had from the data, no longer
                hold; None: all.
        """
        if self.run_id:
            plain = json.loads(json.dumps(protocol, default=str))
            path = "protocol-limited.json" if self.limited else "protocol.json"
            tracking.add_protocol(self.run_id, plain, path, renewed)

    @rank_zero_only
    def log_score_versions(self, versions: Mapping[str, int]) -> None:
        """Store the versions of the score callbacks that ran, beside those of others, as tag `score_versions`."""
        if self.run_id and not self.limited:
            tracking.add_score_versions(self.run_id, dict(versions))

    def _kept_apart(self, key: str) -> str:
        """`test_limited/...` for `test/...` of a limited test, and the same of a separate validation."""
        stage, slash, name = key.partition("/")
        return f"{stage}_limited/{name}" if self.limited and slash and stage in ("test", "val") else key


def run_logger(trainer: Trainer) -> RunLogger | None:
    """The trainer's RunLogger, or None if the run is not tracked."""
    return next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)
