"""The runs of a study and what they logged, read from MLflow as plain data."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lit_ae.errors import SettingError
from lit_ae.report.differences import differences
from lit_ae.report.formats import seed_names
from lit_ae.report.labels import relabelled
from lit_ae.settings.suggestions import near_match
from lit_ae.studies.data_sets import OnDataSets
from lit_ae.tracking.left_out import why_left_out

if TYPE_CHECKING:
    from lit_ae.studies.jobs import Job
    from lit_ae.studies.spec import Profile, Study
    from lit_ae.tracking import Run

Runs = dict[str, dict[int, "Run"]]  # model -> seed -> run, in the study's order
LeftOut = dict[str, dict[int, dict[str, str]]]  # model -> seed -> score, or the class that computes it -> reason
Entries = dict[str, dict[str, list[Any]]]  # key -> model -> the value in each of its runs

LEFT_OUT = "left_out"  # key of protocol.json


@dataclass(frozen=True)
class Collected:
    """A study, its runs and what is wrong with them."""

    study: Study
    profile_name: str
    profile: Profile
    runs: Runs
    problems: list[str]  # missing runs, values that are not finite, outdated scores
    protocol: Entries
    environment: Entries
    left_out: LeftOut  # scores that runs left out because the data do not have them

    @property
    def remedy(self) -> str:
        """The command that adds what is missing."""
        return _remedy(self.study, self.profile_name)

    @property
    def file(self) -> str:
        """The study's file as the user named it, for commands."""
        return _file(self.study)

    @property
    def all_runs(self) -> list[Run]:
        """The runs in the order of the table."""
        return [run for seeds in self.runs.values() for run in seeds.values()]


def collect(study: Study, profile_name: str) -> Collected:
    """Read the newest finished run of each model × seed that was trained with the study's settings.

    Raises:
        SettingError: unknown profile, no run at all, or a metric that no run logged.
    """
    from lit_ae import tracking
    from lit_ae.studies.data_sets import expanded
    from lit_ae.studies.jobs import jobs

    profile = study.profile(profile_name)
    study = expanded(study, profile)
    remedy = _remedy(study, profile_name)
    wanted = {(job.model, job.seed): job for job in jobs(study, profile)}
    runs: Runs = {model: {} for model in study.models}
    others = set()
    for run in sorted(tracking.study_runs(study.name, profile_name), key=lambda run: (run.seed, run.start)):
        key = run.model, run.seed
        if run.status == "FINISHED" and key in wanted:
            if run.tags.get("fit_hash", wanted[key].fit_hash) == wanted[key].fit_hash:
                runs[run.model][run.seed] = run
            else:
                others.add(key)
    if not any(runs.values()):
        raise SettingError(f"study {study.name} has no finished run for profile {profile_name}. To make them: {remedy}")
    names = {row: spec.label or row for row, spec in study.models.items()}  # what the report shows
    study = relabelled(study)
    runs = {names[row]: own for row, own in runs.items()}
    wanted = {(names[row], seed): job for (row, seed), job in wanted.items()}
    others = {(names[row], seed) for row, seed in others}
    others -= {(model, seed) for model, own in runs.items() for seed in own}
    problems = [_other_settings(len(others))] if others else []
    problems += _missing(runs, {model: study.seeds(model, profile) for model in runs}, remedy)
    left_out = _left_out(runs)
    for model, own in left_out.items():
        runs[model] |= {seed: _without(runs[model][seed], scores) for seed, scores in own.items()}
    _check_metrics(study, runs, left_out, remedy if problems else None)
    problems += _outdated(runs, wanted, remedy)
    problems += _not_finite(study, runs) + differences(runs)
    protocol, environment = (_entries(runs, f"{name}.json") for name in ("protocol", "environment"))
    return Collected(study, profile_name, profile, runs, problems, protocol, environment, left_out)


def seed_values(runs: Mapping[int, Run], metric: str, seeds: Iterable[int] | None = None) -> dict[int, float]:
    """Finite values seed -> metric, of these seeds or of all."""
    wanted = runs if seeds is None else [seed for seed in seeds if seed in runs]
    found = {seed: metric_value(runs[seed], metric) for seed in wanted}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def metric_value(run: Run, metric: str) -> float:
    """The last value of a metric, for KEY@5 the one of epoch 5; NaN if there is none."""
    value = _logged(run, metric)
    return math.nan if value is None else value


def _logged(run: Run, metric: str) -> float | None:
    key, _, epoch = metric.partition("@")
    if epoch and key in run.metrics:
        return dict(run.history(key)).get(int(epoch))
    return run.metrics.get(key)


def metric_label(study: Study, metric: str) -> str:
    """The metric's name in Table 1, or its key if it has no column."""
    return next((column.label for column in study.columns if column.metric == metric), metric)


def _remedy(study: Study, profile_name: str) -> str:
    return f"lit-ae study run {_file(study)} --profile {profile_name}"


def _file(study: Study) -> str:
    return shlex.quote(study.given or f"experiments/{study.name}.yaml")


def _other_settings(n: int) -> str:
    what = "1 finished run was" if n == 1 else f"{n} finished runs were"
    return f"{what} trained with other settings and {'is' if n == 1 else 'are'} left out"


def _missing(runs: Runs, wanted: Mapping[str, list[int]], remedy: str) -> list[str]:
    gaps = {model: [seed for seed in wanted[model] if seed not in own] for model, own in runs.items()}
    n = sum(map(len, gaps.values()))
    if not n:
        return []
    text = "; ".join(f"{model} {seed_names(gap)}" for model, gap in gaps.items() if gap)
    return [f"{n} of {sum(map(len, wanted.values()))} runs are missing: {text}. To add them: {remedy}"]


def _outdated(runs: Runs, wanted: Mapping[tuple[str, int], Job], remedy: str) -> list[str]:
    from lit_ae.studies.plan import outdated_scores

    again = f"To renew them without training: {remedy}"
    names = {
        (model, seed): outdated_scores(run, wanted[model, seed])
        for model, own in runs.items()
        for seed, run in own.items()
    }
    differ = sum(
        run.tags.get("settings_hash", wanted[model, seed].settings_hash) != wanted[model, seed].settings_hash
        for model, own in runs.items()
        for seed, run in own.items()
    )
    found = [f"{_runs_have(differ)} scores that were made with other settings of the scores. {again}"] if differ else []
    n = sum(map(bool, names.values()))
    if not n:
        return found
    scores = ", ".join(sorted({name for found in names.values() for name in found}))
    return [*found, f"{_runs_have(n)} scores of another version of the code ({scores}). {again}"]


def _runs_have(n: int) -> str:
    return "1 run has" if n == 1 else f"{n} runs have"


def _check_metrics(study: Study, runs: Runs, left_out: LeftOut, missing_remedy: str | None) -> None:
    from lit_ae.studies.load import plotted_metrics

    reasons = [scores for own in left_out.values() for scores in own.values()]
    if any(score[:1].isupper() for scores in reasons for score in scores):
        return  # a class was left out, and only its code knows which metrics it would have logged
    logged = {metric for own in runs.values() for run in own.values() for metric in run.metrics}
    named = [("columns", column.metric) for column in study.columns if not column.optional]
    declared = study.over_data_sets if isinstance(study, OnDataSets) else study.comparisons
    named += [("comparisons", metric) for comparison in declared for metric in comparison.metrics]
    if study.sweep:
        named += [("sweep", metric) for metric in plotted_metrics(study.sweep)]
    for where, name in named:
        metric = name.partition("@")[0]
        if metric not in logged and not any(why_left_out(scores, metric) for scores in reasons):
            also = f"; some runs are missing: {missing_remedy}" if missing_remedy else ""
            near = near_match(metric, sorted(logged))
            raise SettingError(f"{where}: no run of study {study.name} logged {metric!r}{near}{also}")


def _not_finite(study: Study, runs: Runs) -> list[str]:
    return [
        f"{column.label} of {model}, seed {seed}, is {value} and is left out"
        for column in study.columns
        for model, own in runs.items()
        for seed, run in own.items()
        if (value := _logged(run, column.metric)) is not None and not math.isfinite(value)
    ]


def _entries(runs: Runs, path: str) -> Entries:
    """The entries of a flat JSON artifact over all runs, in order of first appearance."""
    found: Entries = {}
    for model, own in runs.items():
        for run in own.values():
            for key, value in _json(run, path).items():
                if key != LEFT_OUT:
                    found.setdefault(key, {name: [] for name in runs if runs[name]})[model].append(value)
    return found


def _left_out(runs: Runs) -> LeftOut:
    found = {
        model: {seed: _json(run, "protocol.json").get(LEFT_OUT) or {} for seed, run in own.items()}
        for model, own in runs.items()
    }
    return {model: {seed: scores for seed, scores in own.items() if scores} for model, own in found.items()}


def _without(run: Run, left_out: Mapping[str, str]) -> Run:
    """The run without values of an earlier test whose scores the last one left out."""
    stale = {key for key in run.metrics if key.startswith("test/") and why_left_out(left_out, key)}
    return replace(run, metrics={key: value for key, value in run.metrics.items() if key not in stale})


def _json(run: Run, path: str) -> dict[str, Any]:
    local = run.artifact(path)
    return dict(json.loads(local.read_text("utf-8"))) if local else {}
