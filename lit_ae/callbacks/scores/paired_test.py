"""Paired tests across seeds, made by the run of a study that finishes last."""

import json
import math
from contextlib import suppress
from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_ae import statistics, tracking
from lit_ae.tracking.logger import run_logger


class PairedTest(Callback):
    """Once both models of a study's comparison have the metric for every seed, log the test's result to the parent run.

    Keys are `paired/METRIC/A-B/{difference,ci_low,ci_high,effect_size,p,n}`. The report makes the same tests with the
    same function, except for those over test samples, which are only the report's. A run outside a study logs nothing.
    """

    version: ClassVar[int] = 1  # as for `ScoreCallback`
    test_only = True

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the study's other runs in MLflow; without an answer of its server, the report alone does."""
        with suppress(tracking.ServerGone):
            self._compare(trainer)

    def _compare(self, trainer: Trainer) -> None:
        logger = run_logger(trainer)
        if not trainer.is_global_zero or logger is None or logger.run_id is None:
            return
        own = tracking.get_run(logger.run_id)
        parent_id = own.tags.get("mlflow.parentRunId")
        if parent_id is None:
            return
        parent = tracking.get_run(parent_id)
        declared = [c for c in json.loads(parent.tags["comparisons"]) if own.model in (c["a"], c["b"])]
        siblings = tracking.newest(  # of the compared rows alone: reading all takes longer with each run of a study
            run
            for model in sorted({c[side] for c in declared for side in "ab" if c["test"] == "paired"})
            for run in tracking.children(own.tags["study"], parent_id, kind="run", model=model)
            if run.status in ("FINISHED", "RUNNING")  # two runs may finish at the same time
        )
        for comparison in declared:
            metric, a, b = comparison["metric"], comparison["a"], comparison["b"]
            other = comparison.get("b_metric") or metric
            key = tracking.valid_key(f"paired/{metric}/{a}-{b if other == metric else other}")
            if comparison["test"] != "paired":
                continue
            seeds = set(comparison["seeds"])
            of_a, of_b = (
                {r.seed: r.metrics[of] for r in siblings if r.model == model and r.seed in seeds and of in r.metrics}
                for model, of in ((a, metric), (b, other))
            )
            if not of_a.keys() == of_b.keys() == seeds or len(seeds) < 2:
                continue
            try:
                result = statistics.paired_test(of_a, of_b)
            except ValueError as error:  # such as values that are equal for every seed: there is nothing to test
                tracking.set_tags(parent_id, {key: str(error)})
                continue
            numbers = {
                "difference": result.mean_difference,
                "ci_low": result.ci_low,
                "ci_high": result.ci_high,
                "effect_size": result.effect_size,
                "p": result.p,
                "n": result.n,
            }
            # No p-value and no effect size if one side is the same for every seed: the report tests over samples
            tracking.log_metrics(parent_id, {f"{key}/{k}": v for k, v in numbers.items() if math.isfinite(v)})
