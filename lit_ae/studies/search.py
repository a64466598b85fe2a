"""`lit-ae tune`: trials of a row's settings, side by side on the study's engine, until there are enough."""

import json
import math
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.settings.hashing import content_hash
from lit_ae.settings.searches import alone, open_search
from lit_ae.studies.attempt import fail
from lit_ae.studies.executors.base import Executor
from lit_ae.studies.jobs import Job, row_job
from lit_ae.studies.precision import study_precision
from lit_ae.studies.run_job import JobSpec
from lit_ae.studies.search_figures import log_figures
from lit_ae.studies.spec import Profile, Range, Study, Tune, TunedOn
from lit_ae.studies.tuning_rules import refuse_replaced

if TYPE_CHECKING:
    import optuna

GIVEN_UP = 5  # trials that fail one after the other, without any that ends


@dataclass(frozen=True)
class Found:
    """The best trial: the options that it adds to the row's, and where they come from."""

    args: list[str]
    tuned_on: TunedOn


@dataclass
class _Trial:
    """A trial that is being done: one training after the other, a seed each."""

    trial: "optuna.Trial"
    args: list[str]
    run_id: str = ""
    values: list[float] = field(default_factory=list)


def search(study: Study, tune: Tune, profile: Profile, executor: Executor) -> Found:
    """Do the trials that are missing, and return the best of all.

    The trials are kept in mlruns/tune, so that a search that was stopped goes on. Each training is a run below the one
    of the search, tagged with its trial. The test split is not read.

    Raises:
        SettingError: another process is doing this search, no trial has ended, or the profile replaces what is found.
    """
    spec = study.models[tune.row]
    refuse_replaced(study, tune, profile)
    # Without what is searched: a row that has been given its best settings is still that of the same search
    searched = replace(spec, args=[arg for arg in spec.args if arg[2:].partition("=")[0] not in tune.space])
    job = row_job(replace(study, scores=tune.scores, models={**study.models, tune.row: searched}), profile, tune.row)
    asked = {key: value for key, value in asdict(tune).items() if key not in ("trials", "label") and value != []}
    name = f"{study.name}-{profile.name}-{content_hash([asked, job.config_hash])}"
    file = (tracking.STORE / "tune" / f"{name}.log").resolve()
    with alone(file):
        before = len(open_search(file, name, tune.better).trials)
        trials = open_search(file, name, tune.better, seed=before)  # another seed, or it would draw the same again
        parent = _parent(study, profile, name)
        tracking.reopen(parent)
        with tracking.owned(parent), tracking.run_status(parent):
            _go_on(trials, parent, study.name)
            _Search(study, profile, tune, job, trials, file, parent, executor).run()
            found = _best(trials, tune, job)
            log_figures(trials, tune, parent)
            tracking.log_json(parent, {"args": found.args, "tuned_on": asdict(found.tuned_on)}, "chosen.json")
    return found


class _Search:
    """The loop: begin trials while there is room, and take note of trainings that end."""

    def __init__(
        self, study: Study, profile: Profile, tune: Tune, job: Job, trials: "optuna.Study", file: Path, parent: str,
        executor: Executor,
    ) -> None:  # fmt: skip
        self.study, self.profile, self.tune, self.job, self.trials = study, profile, tune, job, trials
        self.file, self.parent, self.executor = file, parent, executor
        self.precision = study_precision(study, profile, executor.several_machines)
        self.running: dict[Future[str], _Trial] = {}
        self.begun = time.monotonic()

    def run(self) -> None:
        """Do trials until there are as many as wanted; a search that is stopped leaves its runs KILLED."""
        missing = self.tune.trials - len(_counted(self.trials))
        print(f"{self.tune.row}: {self.tune.trials - missing} of {self.tune.trials} trials are done", flush=True)
        if missing <= 0:
            return
        self.executor.start(missing)
        try:
            while missing or self.running:
                while missing and len(self.running) < self.executor.size:
                    trial = self.trials.ask()
                    self._begin(_Trial(trial, suggested(trial, self.tune.space)))
                    missing -= 1
                ended, _ = wait(self.running, return_when=FIRST_COMPLETED)
                for future in ended:
                    self._end(self.running.pop(future), self.executor.outcome(future))
        finally:
            self.executor.cancel(list(self.running))
            for one in self.running.values():
                tracking.end_run(one.run_id, "KILLED")

    def _begin(self, one: _Trial) -> None:
        """Begin the training of the trial's next seed."""
        number, seed = one.trial.number, self.tune.seeds[len(one.values)]
        tags = {
            "kind": "trial", "study": self.study.name, "profile": self.profile.name, "model": self.tune.row,
            "data": self.job.data, "seed": str(seed), "trial": str(number), **tracking.owner_tags(),
        }  # fmt: skip
        name = f"trial {number} of {self.tune.row}, seed {seed}"
        one.run_id = tracking.create_run(self.study.name, name, tags, self.parent)
        configs = [("precision.yaml", f"trainer: {{precision: {self.precision}}}\n"), *self.job.configs]
        if self.tune.pruning and not one.values and not self.executor.several_machines:
            configs.append(("report_trial.yaml", self._reporting(number)))
        args = (*self.job.args, *self.tune.args, *one.args, f"--seed_everything={seed}", "--figures=[]")
        spec = JobSpec(
            "fit", tuple(configs), args, one.run_id, tracking.store_uri(), str(Path.cwd()), self.executor.threads,
            then_test=False,
        )  # fmt: skip
        self.running[self.executor.submit(spec)] = one

    def _reporting(self, number: int) -> str:
        """The YAML by which a training reports to the search."""
        settings = {
            "file": str(self.file), "search": self.trials.study_name, "trial": number, "metric": self.tune.metric,
            "better": self.tune.better,
        }  # fmt: skip
        callback = {"class_path": "ReportTrial", "init_args": settings}
        return yaml.safe_dump({"trainer": {"callbacks+": [callback]}})

    def _end(self, one: _Trial, error: str) -> None:
        """Take note of how a training has ended: the trial's next seed begins, or its value is told."""
        from optuna.trial import TrialState

        run = tracking.get_run(one.run_id)
        if error and run.status == "RUNNING":  # its process could not change that
            fail(one.run_id, error)
        value = run.metrics.get(self.tune.metric)
        if not error and value is None:
            known = ", ".join(sorted(key for key in run.metrics if key.startswith("val/")))
            raise SettingError(f"tune.metric is {self.tune.metric}, which is not logged: choose one of {known}")
        if value is not None and not math.isfinite(value):
            error = error or f"{self.tune.metric} is {'infinite' if math.isinf(value) else 'not a number'}"
        if error:
            one.trial.set_user_attr("error", error)
            self.trials.tell(one.trial, state=TrialState.FAIL)
            said = f"FAILED: {error}"
        elif "pruned" in run.tags:
            self.trials.tell(one.trial, state=TrialState.PRUNED)
            said = f"ended after {len(run.history(self.tune.metric))} epochs, at {value:.6g}"
        else:
            one.values.append(float(value))  # type: ignore[arg-type]
            if len(one.values) < len(self.tune.seeds):
                self._begin(one)
                return
            mean = sum(one.values) / len(one.values)
            self.trials.tell(one.trial, mean)
            tracking.log_metrics(self.parent, {f"tune/{self.tune.metric}": mean}, one.trial.number)
            said = f"{self.tune.metric} {mean:.6g}"
        counted = len(_counted(self.trials))
        print(f"{counted:3} of {self.tune.trials}  {' '.join(one.args)}  {said}", flush=True)
        states = [trial.state for trial in _counted(self.trials)]
        if len(states) >= GIVEN_UP and all(state == TrialState.FAIL for state in states):
            raise SettingError(f"the first {len(states)} trials failed, the last with: {error}")


def suggested(trial: "optuna.Trial", space: dict[str, Range]) -> list[str]:
    """Options of the command line with a value for each setting of the space."""
    return [f"--{name}={json.dumps(_value(trial, name, values))}" for name, values in space.items()]


def _value(trial: "optuna.Trial", name: str, values: Range) -> Any:
    if values.choices:
        return json.loads(str(trial.suggest_categorical(name, [json.dumps(choice) for choice in values.choices])))
    assert values.low is not None
    assert values.high is not None
    if all(isinstance(bound, int) for bound in (values.low, values.high, values.step or 1)):
        return trial.suggest_int(name, int(values.low), int(values.high), step=int(values.step or 1), log=values.log)
    return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def _counted(trials: "optuna.Study") -> list[Any]:
    """The trials that have ended by themselves; those of a search that was stopped are done again."""
    from optuna.trial import TrialState

    own = (TrialState.COMPLETE, TrialState.PRUNED)
    return [t for t in trials.trials if t.state in own or (t.state == TrialState.FAIL and "error" in t.user_attrs)]


def _go_on(trials: "optuna.Study", parent: str, experiment: str) -> None:
    """Do the trials again that were going on when the search was stopped."""
    from optuna.trial import TrialState

    for trial in trials.trials:
        if trial.state == TrialState.RUNNING:
            trials.tell(trial.number, state=TrialState.FAIL)
            trials.enqueue_trial(trial.params)
    for run in tracking.children(experiment, parent):
        if run.status == "RUNNING":
            tracking.end_run(run.id, "KILLED")


def _best(trials: "optuna.Study", tune: Tune, job: Job) -> Found:
    from optuna.trial import TrialState

    ended = trials.get_trials(states=(TrialState.COMPLETE,))
    if not ended:
        raise SettingError(f"no trial of {tune.row} has ended with a value of {tune.metric}: widen tune.space")
    best = trials.best_trial
    args = []
    for name, value in best.params.items():
        plain = json.loads(value) if tune.space[name].choices else value
        args.append(f"--{name}={json.dumps(plain)}")
    assert best.value is not None
    tuned_on = TunedOn(
        tune.metric, best.value, best.number, len(_counted(trials)), tune.seeds, job.data, tune.row, tune.better,
        tune.args,
    )  # fmt: skip
    return Found(args, tuned_on)


def _parent(study: Study, profile: Profile, name: str) -> str:
    """The run of this search, created if need be."""
    found = tracking.search(study.name, kind="tune", search=name)
    if found:
        return found[0].id
    tags = {"kind": "tune", "study": study.name, "profile": profile.name, "search": name}
    return tracking.create_run(study.name, f"tune {study.name} {profile.name}", tags)
