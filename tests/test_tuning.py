"""The search for settings: what it refuses, what it tries, how it goes on, and what it writes."""

import dataclasses
import json
import math
from concurrent.futures import Future
from pathlib import Path

import optuna
import pytest
import yaml

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.report.cards import model_card
from lit_ae.report.collect import Collected
from lit_ae.settings.searches import alone, open_search
from lit_ae.studies.load import load_study
from lit_ae.studies.search import Found, search, suggested
from lit_ae.studies.search_figures import importances
from lit_ae.studies.spec import Range, TunedOn
from lit_ae.studies.tuned_row import refuse_unwritable, write_row

EXPERIMENT = """\
# A comment that stays.
name: made
title: Made
question: What is best?
profiles:
  quick: {data: digits, seeds: [0, 1], args: [--trainer.max_epochs=4, --data.limit=100]}
models:
  AE: {config: ae}  # another comment

  VAE:
    config: vae
    args: [--model.latent_dim=8]

columns:
  - {metric: test/mse, label: MSE}
tune:
  row: VAE
  metric: val/loss
  trials: 6
  seeds: [100, 101]
  space:
    model.beta: {low: 0.0, high: 4.0}
"""


@pytest.fixture
def file(store):
    path = Path("made.yaml")
    path.write_text(EXPERIMENT)
    return path


CHOSEN = "value: 1, trial: 0, trials: 1, data: digits, row: VAE"


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "metric: val/loss",
            "metric: test/loss",
            "tune.metric is test/loss: settings must be chosen on the validation",
        ),
        ("seeds: [100, 101]", "seeds: [1, 100]", "tune.seeds has 1, which profile quick reports"),
        ("seeds: [100, 101]", "seeds: []", "tune.seeds must be a list of different numbers"),
        ("row: VAE", "row: VEA", "tune.row is 'VEA', which is not under models: did you mean 'VAE'?"),
        ("low: 0.0", "low: 5.0", "low is 5.0 and high 4.0: low must be below high"),
        ("low: 0.0", "log: true, low: 0.0", "log needs low above 0, and no step"),
        ("low: 0.0", "choices: [1], low: 0.0", "has choices and low or high: give either"),
        ("{low: 0.0, high: 4.0}", "{low: 0.0}", "needs low and high, or choices"),
        ("trials: 6", "trials: 0", "tune.trials is 0: it must be at least 1"),
        ("trials: 6", "trails: 6", "unknown key 'tune.trails'"),
        (
            "config: vae",
            f"config: vae\n    tuned_on: {{metric: test/fid, seeds: [9], {CHOSEN}}}",
            "models.VAE.tuned_on.metric is test/fid: settings must be chosen on the validation split",
        ),
        (
            "config: vae",
            f"config: vae\n    tuned_on: {{metric: val/mse, seeds: [0], {CHOSEN}}}",
            "models.VAE.tuned_on.seeds has 0, which profile quick reports",
        ),
    ],
)
def test_a_choice_by_test_scores_or_the_reports_seeds_is_refused(file, before, after, said):
    assert EXPERIMENT.count(before) == 1
    file.write_text(EXPERIMENT.replace(before, after))
    with pytest.raises(SettingError) as error:
        load_study(file)
    assert said in str(error.value)


def test_a_study_of_the_package_is_not_changed(file, lit_ae, capsys, monkeypatch):
    monkeypatch.setattr("lit_ae.studies.tuned_row.PACKAGE", Path.cwd())
    with pytest.raises(SettingError, match="made comes with lit_ae: copy it by `lit-ae init`"):
        refuse_unwritable(load_study(file), file)
    file.write_text(EXPERIMENT.split("tune:")[0])
    assert lit_ae("tune", "made.yaml", "--workers", "1") == 2
    assert "study made has no section `tune`" in capsys.readouterr().err


# -- what is tried -----------------------------------------------------------------------------------------------


def test_values_are_in_their_ranges():
    space = {
        "model.beta": Range(0.01, 10.0, log=True),
        "model.latent_dim": Range(4, 16, step=4),
        "model.encoder.widths": Range(choices=[[64], [64, 32]]),
        "model.activation": Range(choices=["relu", "tanh"]),
    }
    trials = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [dict(arg.split("=", 1) for arg in suggested(trials.ask(), space)) for _ in range(60)]
    betas = [float(one["--model.beta"]) for one in drawn]
    assert all(0.01 <= beta <= 10 for beta in betas)
    assert 15 < sum(beta < 0.316 for beta in betas) < 45  # the middle of the range, in logarithms
    assert {one["--model.latent_dim"] for one in drawn} == {"4", "8", "12", "16"}
    assert {one["--model.encoder.widths"] for one in drawn} == {"[64]", "[64, 32]"}
    assert {one["--model.activation"] for one in drawn} == {'"relu"', '"tanh"'}


class Engine:
    """Ends each training at once with the value (β - 1)² + seed / 1000, and dies after a number of trainings."""

    several_machines, size, threads = False, 2, 1

    def __init__(self, dies_after=10**6, fails=""):
        self.done, self.dies_after, self.fails, self.specs = 0, dies_after, fails, []

    def start(self, jobs):
        self.jobs = jobs

    def submit(self, spec):
        if self.done == self.dies_after:
            raise SystemExit
        self.done += 1
        self.specs.append(spec)
        given = dict(arg.split("=", 1) for arg in spec.args)
        value = (float(given.get("--model.beta", 1)) - 1) ** 2 + int(given["--seed_everything"]) / 1000
        if not self.fails:
            tracking.log_metrics(spec.run_id, {"val/loss": value})
        tracking.end_run(spec.run_id, "FAILED" if self.fails else "FINISHED")
        future = Future()
        future.set_result(self.fails)
        return future

    def outcome(self, future):
        return future.result()

    def cancel(self, futures):
        self.cancelled = list(futures)


def runs(kind):
    return tracking.search("made", kind=kind)


def test_the_best_of_all_trials_is_found_and_a_search_goes_on(file):
    """The value of a trial is the mean over its seeds; the sum over a stopped and a continued search is as wanted."""
    study = load_study(file)
    with pytest.raises(SystemExit):
        search(study, *study.tune, study.profile("quick"), Engine(dies_after=5))
    (parent,) = runs("tune")
    assert parent.status == "KILLED"
    engine = Engine()
    found = search(study, *study.tune, study.profile("quick"), engine)
    (parent,) = runs("tune")
    assert parent.status == "FINISHED"
    trained = [run for run in runs("trial") if run.status == "FINISHED"]
    assert all(run.tags["mlflow.parentRunId"] == parent.id for run in trained)
    by_trial = {}
    for run in trained:
        by_trial.setdefault(int(run.tags["trial"]), {})[run.seed] = run.metrics["val/loss"]
    ended = {number: sum(values.values()) / 2 for number, values in by_trial.items() if set(values) == {100, 101}}
    assert len(ended) == 6
    best = min(ended, key=ended.get)
    assert found.tuned_on == TunedOn("val/loss", ended[best], best, 6, [100, 101], "digits", "VAE")
    beta = float(found.args[0].removeprefix("--model.beta="))
    assert (beta - 1) ** 2 + 0.1005 == pytest.approx(ended[best])
    assert dict(parent.history("tune/val/loss")) == pytest.approx(ended)
    assert engine.jobs < 6
    assert search(study, *study.tune, study.profile("quick"), Engine(dies_after=0)) == found  # nothing is left to do
    names = {path.name for path in parent.artifact("figures").iterdir()}
    assert names == {"tune-history.png", "tune-importance.png"}
    assert json.loads(parent.artifact("chosen.json").read_text())["args"] == found.args


def test_a_score_of_another_version_begins_a_search_anew(file, monkeypatch):
    study = load_study(file)
    tune = dataclasses.replace(study.tune[0], trials=1, scores=["callbacks/shapes.yaml"])
    for version, searches in ((1, 1), (1, 1), (9, 2)):
        monkeypatch.setattr("lit_ae.studies.jobs.score_versions", lambda _, version=version: {"ValidSet": version})
        search(study, tune, study.profile("quick"), Engine())
        assert len(runs("tune")) == searches


def test_trials_have_options_and_scores_of_their_own(file):
    """They are in the provenance of the row, and not among its settings."""
    study = load_study(file)
    tune = dataclasses.replace(
        study.tune[0], trials=1, args=["--trainer.max_epochs=2"], scores=["callbacks/shapes.yaml"]
    )
    engine = Engine()
    found = search(study, tune, study.profile("quick"), engine)
    spec = engine.specs[0]
    assert "shapes.yaml" in [name for name, _ in spec.configs]
    assert spec.args.index("--trainer.max_epochs=2") > spec.args.index("--trainer.max_epochs=4")  # the last one counts
    assert not any("max_epochs" in arg for arg in found.args)
    assert found.tuned_on.described().endswith("on seeds 100, 101, in trainings with --trainer.max_epochs=2")


def test_several_searches_of_one_study_are_done_in_turn(file, lit_ae, monkeypatch):
    """The second replaces the settings of its own row, and is the same search when the command is given again."""
    one, other = EXPERIMENT.split("tune:\n")[0], EXPERIMENT.split("tune:\n")[1]
    first = "- " + other.strip()
    second = first.replace("row: VAE", "row: AE\n  label: AE").replace("beta: {low: 0.0", "latent_dim: {low: 2.0")
    file.write_text(f"{one}tune:\n{first}\n{second}\n")
    searched = []

    def found(study, tune, profile, executor):
        searched.append(tune.row)
        tuned_on = TunedOn("val/loss", 1.0, 2, 6, [100, 101], "digits", tune.row)
        return Found(["--model.latent_dim=3"], tuned_on)

    with monkeypatch.context() as patch:
        patch.setattr("lit_ae.studies.search.search", found)
        assert lit_ae("tune", "made.yaml", "--workers", "1") == 0
        assert lit_ae("tune", "made.yaml", "--workers", "1") == 0  # its rows are those of searches
    study = load_study(file)
    assert searched == ["VAE", "AE"] * 2
    assert list(study.models) == ["AE", "VAE", "VAE (tuned)"]
    assert study.models["AE"].args == ["--model.latent_dim=3"]
    assert study.models["AE"].tuned_on.row == "AE"
    engines = Engine(), Engine()
    for engine in engines:
        study = load_study(file)
        tune = dataclasses.replace(study.tune[1], trials=1, pruning=False)
        search(study, tune, study.profile("quick"), engine)
        write_row(study, tune, file, found(study, tune, None, None))
    assert [engine.done for engine in engines] == [2, 0]  # a training for each seed, once
    file.write_text(file.read_text().replace("label: AE", "label: VAE (tuned)"))
    with pytest.raises(SettingError, match=r"two searches under tune find the row 'VAE \(tuned\)'"):
        load_study(file)


def test_trainings_get_the_rows_settings_and_no_scores(file):
    study = load_study(file)
    engine, tune = Engine(), dataclasses.replace(study.tune[0], trials=1)
    search(dataclasses.replace(study, scores=["callbacks/scores.yaml"]), tune, study.profile("quick"), engine)
    spec = engine.specs[0]
    assert not spec.then_test
    assert [name for name, _ in spec.configs] == ["precision.yaml", "vae.yaml", "digits.yaml", "report_trial.yaml"]
    assert spec.args[:3] == ("--trainer.max_epochs=4", "--data.limit=100", "--model.latent_dim=8")
    assert spec.args[-2:] == ("--seed_everything=100", "--figures=[]")


@pytest.mark.parametrize("setting", ["model.beta", "model.init_args.beta"])
def test_what_a_profile_would_replace_is_not_searched(setting, file):
    file.write_text(EXPERIMENT.replace("config: vae", f"config: vae\n    profile_args: {{quick: [--{setting}=4]}}"))
    study = load_study(file)
    with pytest.raises(SettingError, match=r"tune\.space\.model\.beta is also set by models\.VAE\.profile_args\.quick"):
        search(study, *study.tune, study.profile("quick"), Engine())


def test_a_search_sees_no_test_image_of_another_split(file):
    file.write_text(EXPERIMENT.replace("seeds: [0, 1], ", "seeds: [0, 1], splits: by_seed, "))
    with pytest.raises(
        SettingError, match=r"profiles\.quick\.splits is by_seed, but a search sees images of one split"
    ):
        load_study(file)


def test_a_value_that_is_no_number_is_a_failed_trial(file, monkeypatch):
    study = load_study(file)
    log = tracking.log_metrics
    monkeypatch.setattr(tracking, "log_metrics", lambda run, values: log(run, dict.fromkeys(values, math.nan)))
    with pytest.raises(SettingError, match="the first 5 trials failed, the last with: val/loss is not a number"):
        search(study, *study.tune, study.profile("quick"), Engine())


def test_trials_that_all_fail_end_the_search(file):
    study = load_study(file)
    with pytest.raises(SettingError, match="the first 5 trials failed, the last with: train/loss not finite"):
        search(study, *study.tune, study.profile("quick"), Engine(fails="train/loss not finite"))


@pytest.mark.parametrize("every", [1, 2])
def test_a_training_without_prospects_is_ended(every, store, lit_ae, settings):
    """Its loss is far above the median of the trials before it, so that it ends after the values of the warm-up."""
    file = Path("mlruns/tune/made.log")
    trials = open_search(file, "made", "lower", seed=0)
    for _ in range(6):
        trial = trials.ask()
        for epoch in range(8 * every):
            trial.report(1.0, epoch)
        trials.tell(trial, 1.0)
    number = trials.ask().number
    callback = {"file": str(file), "search": "made", "trial": number, "metric": "val/loss"}
    config = {"trainer": {"callbacks+": [{"class_path": "ReportTrial", "init_args": callback}]}}
    Path("trial.yaml").write_text(yaml.safe_dump(config))
    assert lit_ae("fit", *settings("vae"), "--config", "trial.yaml", f"--trainer.max_epochs={8 * every}",
                  f"--trainer.check_val_every_n_epoch={every}") == 0  # fmt: skip
    (run,) = tracking.search("lit_ae")
    assert run.tags["pruned"] == "true"
    assert len(run.history("val/loss")) == 4
    stored = open_search(file, "made", "lower").trials[number].intermediate_values
    assert list(stored.values()) == pytest.approx([value for _, value in run.history("val/loss")], rel=1e-6)


def test_importances_are_those_of_the_function():
    """Of f = 3 a + 0 b all variance comes from a."""
    trials = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials.optimize(lambda t: 3 * t.suggest_float("a", 0, 1) + 0 * t.suggest_float("b", 0, 1), 60)
    found = importances(trials)
    assert list(found) == ["a", "b"]
    assert found["a"] == pytest.approx(1, abs=0.02)
    assert sum(found.values()) == pytest.approx(1)


# -- what is written ---------------------------------------------------------------------------------------------


def chosen(value=1.5, trial=3):
    tuned_on = TunedOn("val/loss", value, trial, 6, [100, 101], "digits", "VAE")
    return Found(["--model.beta=0.5"], tuned_on)


def test_the_row_is_written_and_nothing_else_is_changed(file):
    write_row(study := load_study(file), *study.tune, file, chosen())
    text = file.read_text()
    before, after = EXPERIMENT.split("\ncolumns:")
    assert text.startswith(before.rstrip())
    assert text.endswith(f"\ncolumns:{after}")
    study = load_study(file)
    assert list(study.models) == ["AE", "VAE", "VAE (tuned)"]
    row = study.models["VAE (tuned)"]
    assert (row.config, row.args) == ("vae", ["--model.latent_dim=8", "--model.beta=0.5"])
    other = dataclasses.replace(chosen(), args=["--model.latent_dim=3"])  # in place of the row's own value
    Path("other.yaml").write_text(EXPERIMENT.replace("config: vae\n", "config: vae\n    label: The VAE\n"))
    write_row(study := load_study(Path("other.yaml")), *study.tune, Path("other.yaml"), other)
    assert load_study(Path("other.yaml")).models["VAE (tuned)"].label == "", "two rows cannot have one label"
    assert load_study(Path("other.yaml")).models["VAE (tuned)"].args == ["--model.latent_dim=3"]
    assert row.tuned_on == chosen().tuned_on
    write_row(study, *study.tune, file, chosen(1.25, 5))  # of a search that went on: in its place
    again = load_study(file)
    assert list(again.models) == ["AE", "VAE", "VAE (tuned)"]
    assert again.models["VAE (tuned)"].tuned_on.trial == 5
    assert file.read_text().replace("1.25", "1.5").replace("trial: 5", "trial: 3") == text


def test_a_file_that_is_written_in_another_way_is_left_alone(file):
    content = json.dumps(yaml.safe_load(EXPERIMENT))
    file.write_text(content)
    with pytest.raises(SettingError, match=r"add this row under models by hand: \{VAE \(tuned\): \{.*tuned_on: "):
        write_row(study := load_study(file), *study.tune, file, chosen())
    assert file.read_text() == content


def test_a_row_of_that_name_that_no_search_has_chosen_is_kept(file):
    file.write_text(EXPERIMENT.replace("AE: {config: ae}", "VAE (tuned): {config: ae}"))
    with pytest.raises(SettingError, match=r"the row 'VAE \(tuned\)' is there already: give tune.label another name"):
        refuse_unwritable(load_study(file), file)


def test_reports_say_how_a_row_was_chosen(file):
    write_row(study := load_study(file), *study.tune, file, chosen())
    study = load_study(file)
    collected = Collected.__new__(Collected)
    object.__setattr__(collected, "study", study)
    object.__setattr__(collected, "profile_name", "quick")
    assert dict(model_card(collected))["VAE (tuned)"] == (
        "configs/model/vae.yaml --model.latent_dim=8 --model.beta=0.5; settings of VAE chosen by the lowest val/loss "
        "on digits: 1.5 in trial number 3, the best of 6 that ended, on seeds 100, 101"
    )
    assert "chosen" not in dict(model_card(collected))["VAE"]


def test_only_one_process_searches(store):
    path = Path("mlruns/tune/made.log")
    with (
        alone(path),
        pytest.raises(SettingError, match="another process is doing this search: wait for it or stop it"),
        alone(path),
    ):
        pytest.fail("two processes search at once")
    with alone(path):  # and the next one may, when the first has ended
        assert path.with_suffix(".lock").is_file()
