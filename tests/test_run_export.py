"""Runs as plain files: what another store has after the import, and what is refused."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from lit_ae import tracking
from lit_ae.studies import run_import
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study
from lit_ae.studies.parent import open_parent
from lit_ae.studies.plan import reconcile

MSE = {("first", 0): 0.1, ("first", 1): 0.2, ("second", 0): 0.4, ("second", 1): 0.7}
SAMPLES = np.array([0.5, np.nan, 0.25], dtype="f4")


def declared():
    """small.yaml in the current folder, loaded."""
    columns = [{"metric": "test/mse", "label": "MSE"}, {"metric": "train/loss@2", "label": "Loss"}]
    content = {
        "name": "small",
        "title": "A small study",
        "question": "Which?",
        "profiles": {"quick": {"data": "digits", "seeds": [0, 1]}},
        "models": {"first": {"config": "ae"}, "second": {"config": "ae", "args": ["--trainer.max_epochs=2"]}},
        "columns": columns,
        "comparisons": [{"metric": "test/mse", "a": "first", "b": "second"}],
    }
    Path("small.yaml").write_text(yaml.safe_dump(content))
    study = load_study(Path("small.yaml"))
    return study, study.profile("quick")


def fill():
    """A finished run for each job of the study, and a checkpoint in each."""
    study, profile = declared()
    parent = open_parent(study, profile)
    for job in jobs(study, profile):
        tags = {
            **{"kind": "run", "study": "small", "profile": "quick", "model": job.model, "data": "digits"},
            **{"owner_team": "blue", "mlflow.note.content": "a note", "ß [1]": "é", "trained": "true"},
            **{"seed": str(job.seed), "git_sha": "abc", "seconds": "12.5"},
            **{"config_hash": job.config_hash, "settings_hash": job.settings_hash, "fit_hash": job.fit_hash},
            **tracking.owner_tags(),
        }
        run_id = tracking.create_run("small", "any", tags, parent, start=1000.25 + job.seed)
        tracking.log_params(run_id, {"model.latent_dim": 8, "data.path": "a\nb"})
        for epoch in (1, 2):
            tracking.log_metrics(run_id, {"train/loss": 1 / epoch}, epoch)
        tracking.log_metrics(run_id, {"test/mse": MSE[job.model, job.seed], "nan": math.nan, "inf": -math.inf}, 2)
        tracking.log_dataset(run_id, "digits", "0123", "training", {"train": 5})
        tracking.log_samples(run_id, {"test/mse": SAMPLES}, "digest")
        tracking.log_text(run_id, "a picture", "figures/one.png")
        tracking.log_text(run_id, "broken off", "figures/.one-17.part.png")
        tracking.log_text(run_id, "weights", "checkpoints/last.ckpt")
        tracking.write_end(run_id, "FINISHED", 2_000_125)
    tracking.log_text(parent, "a classifier", "shared/lenet-1.pt")
    return study, profile


@pytest.fixture(scope="module")
def first_machine(shared_store, lit_ae):
    """A store with the study's runs, their report and the folder with their files."""
    fill()
    assert lit_ae("study", "export", "small.yaml", "--folder", "carried") == 0
    assert lit_ae("report", "small.yaml") == 0
    return Path.cwd()


@pytest.fixture
def elsewhere(first_machine, store):
    """The current folder and store are those of another machine, to which the runs' files have been carried."""
    shutil.copytree(first_machine / "carried", "carried")
    return Path("carried")


def test_another_store_has_the_same_runs_and_report_and_nothing_to_do(first_machine, elsewhere, lit_ae, capsys):
    study, profile = declared()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first_machine)
        runs = tracking.study_runs(study.name, profile.name)
    assert not list(elsewhere.rglob("*.ckpt"))
    assert lit_ae("study", "import", "small.yaml", "--folder", elsewhere) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("runs added to sqlite:")
    assert said.endswith(": 4; there already: 0")
    found = tracking.study_runs(study.name, profile.name)
    assert len(found) == len(runs) == 4
    for before, after in zip(runs, found, strict=True):
        assert (after.start, after.end, after.seconds) == (before.start, before.end, before.seconds)
        assert after.params == before.params
        assert after.tags["ß [1]"] == "é"
        assert after.tags["imported_from"] == before.id
        assert (after.tags["owner_team"], after.tags["mlflow.note.content"]) == ("blue", "a note")
        assert not {"trained", "owner", "heartbeat"} & after.tags.keys()
        np.testing.assert_equal(after.metrics, before.metrics)
        assert math.isnan(after.metrics["nan"])
        assert after.metrics["inf"] == -math.inf
        assert after.history("train/loss") == [(1, 1.0), (2, 0.5)]
        values, digest = tracking.sample_values(after, "test/mse")
        np.testing.assert_equal(values, SAMPLES)
        assert digest == "digest"
        assert tracking.dataset(after.id) == ("digits", "0123")
        assert after.artifact("figures/one.png").read_text() == "a picture"
        assert after.artifact("figures/.one-17.part.png") is None
        assert after.checkpoint is None
    parent = tracking.study_parent(study.name, profile.name)
    assert parent.status == "FINISHED"
    assert parent.artifact("shared/lenet-1.pt").read_text() == "a classifier"
    plan = reconcile(study, profile, parent.id)
    assert (plan.todo, plan.lost) == ([], "")
    assert lit_ae("report", "small.yaml") == 0
    table = Path("experiments/reports/quick/small.csv")
    assert table.read_text() == (first_machine / table).read_text()


def test_a_run_is_added_once_however_far_it_has_been_carried(first_machine, elsewhere, lit_ae, tmp_path, capsys):
    study, profile = declared()
    for _ in range(2):
        assert lit_ae("study", "import", "small.yaml", "--folder", elsewhere) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(": 0; there already: 4")
    assert lit_ae("study", "export", "small.yaml", "--folder", tmp_path / "back") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first_machine)
        assert run_import.import_runs(study, profile, tmp_path / "back") == (0, 4, 0)


def test_runs_come_with_their_checkpoints_if_these_are_wanted(first_machine, store, tmp_path, lit_ae):
    study, profile = declared()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first_machine)
        assert lit_ae("study", "export", "small.yaml", "--folder", tmp_path / "carried", "--checkpoints") == 0
    assert run_import.import_runs(study, profile, tmp_path / "carried") == (4, 0, 0)
    for run in tracking.study_runs(study.name, profile.name):
        assert run.tags["trained"] == "true"
        assert run.checkpoint.read_text() == "weights"


def test_runs_of_settings_that_the_study_no_longer_has_do_not_count(elsewhere):
    declared()
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("max_epochs=2", "max_epochs=3"))
    study = load_study(Path("small.yaml"))
    profile = study.profile("quick")
    assert run_import.import_runs(study, profile, elsewhere) == (4, 0, 2)
    assert {run.model for run in tracking.study_runs("small", "quick")} == {"first"}


def test_runs_of_a_renamed_row_do_not_count(elsewhere):
    declared()
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("second", "third"))
    study = load_study(Path("small.yaml"))
    assert run_import.import_runs(study, study.profile("quick"), elsewhere) == (4, 0, 2)
    study, profile = declared()
    assert run_import.import_runs(study, profile, elsewhere) == (0, 4, 0)
    assert len(tracking.study_runs("small", "quick")) == 4, "with the right study file they count"


def test_a_run_that_was_scored_again_replaces_the_imported_one(first_machine, elsewhere, tmp_path, lit_ae):
    study, profile = declared()
    run_import.import_runs(study, profile, elsewhere)
    path = min(elsewhere.glob("*/run.json"))
    content = json.loads(path.read_text())
    content["metrics"]["test/mse"] = [[3, 0.05, 0]]
    path.write_text(json.dumps({**content, "end": content["end"] + 60}))
    assert run_import.import_runs(study, profile, elsewhere) == (1, 3, 0)
    runs = tracking.study_runs("small", "quick")
    assert [run.metrics["test/mse"] for run in runs] == [0.05, 0.2, 0.4, 0.7]
    assert len(tracking.search("small", kind="run")) == 4
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first_machine)
        assert lit_ae("study", "export", "small.yaml", "--folder", tmp_path / "again", "--checkpoints") == 0
        assert run_import.import_runs(study, profile, elsewhere.resolve()) == (0, 4, 0), "its own are never replaced"
    assert run_import.import_runs(study, profile, tmp_path / "again") == (3, 1, 0), "now with checkpoints"
    runs = tracking.study_runs("small", "quick")
    assert [bool(run.checkpoint) for run in runs] == [False, True, True, True]
    assert runs[0].metrics["test/mse"] == 0.05, "one that was scored later is kept"


def test_a_run_that_was_scored_again_here_is_kept(elsewhere):
    study, profile = declared()
    run_import.import_runs(study, profile, elsewhere)
    run = tracking.study_runs("small", "quick")[0]
    tracking.reopen(run.id)
    tracking.set_tags(run.id, {"score_versions": '{"Clustering": 2}'})
    tracking.log_metrics(run.id, {"test/mse": 0.05}, 2)
    tracking.end_run(run.id, "FINISHED")
    assert run_import.import_runs(study, profile, elsewhere) == (0, 4, 0)
    assert tracking.get_run(run.id).metrics["test/mse"] == 0.05


def test_a_run_exported_by_two_machines_is_one(first_machine, elsewhere, tmp_path, lit_ae):
    study, profile = declared()
    run_import.import_runs(study, profile, elsewhere)
    assert lit_ae("study", "export", "small.yaml", "--folder", elsewhere) == 0
    assert len(list(elsewhere.glob("*/run.json"))) == 4


@pytest.fixture
def moved(first_machine, tmp_path, monkeypatch):
    """The first machine's store in another folder, which is the current one."""
    copy = tmp_path / "copy"
    shutil.copytree(first_machine / "mlruns", copy)
    (first_machine / "mlruns").rename(tmp_path / "mlruns")
    monkeypatch.chdir(tmp_path)
    declared()
    yield tmp_path / "mlruns"
    copy.rename(first_machine / "mlruns")


def test_a_store_that_has_been_moved_is_exported_with_its_artifacts(moved, lit_ae):
    assert lit_ae("study", "export", "small.yaml", "--folder", "carried") == 0
    assert len(list(Path("carried").rglob("one.png"))) == 4


def test_lost_artifacts_are_said(moved, lit_ae, capsys):
    first, second, *_ = tracking.study_runs("small", "quick")
    shutil.rmtree(moved / "artifacts" / first.id)
    shutil.rmtree(moved / "artifacts" / second.id / "artifacts" / "checkpoints")
    assert lit_ae("study", "export", "small.yaml", "--folder", "carried", "--checkpoints") == 0
    said = capsys.readouterr().err
    assert f"run {first.id} (first, seed 0) has no artifacts: only its values are written" in said
    assert f"run {second.id} (first, seed 1) has no checkpoint" in said
    assert said.count("warning") == 2


def test_another_classifier_is_refused_on_both_sides(first_machine, elsewhere, lit_ae, capsys):
    declared()
    run_import.import_runs(*declared(), elsewhere)
    (elsewhere / "shared" / "lenet-1.pt").write_text("another one")
    for command in ("import", "export"):
        assert lit_ae("study", command, "small.yaml", "--folder", elsewhere) == 2
        assert "is another lenet-1.pt than the one that these runs were scored with" in capsys.readouterr().err


def test_files_are_logged_under_names_that_a_server_takes(elsewhere, monkeypatch):
    folders = set()
    monkeypatch.setattr(tracking, "log_file", lambda run_id, path, folder: folders.add(folder))
    run_import.import_runs(*declared(), elsewhere)
    assert folders == {"", "figures", "shared"}, "MLflow's servers refuse a folder `.`"


def test_rows_that_start_from_one_without_weights_are_named(tmp_path, capsys):
    rows = {"first": SimpleNamespace(start=""), "second": SimpleNamespace(start="first")}
    found = [({"tags": {"model": "first"}}, tmp_path)]
    run_import._warn_of_starts(SimpleNamespace(models=rows), found)
    assert "other rows are initialised from first, which has come without checkpoints" in capsys.readouterr().err
    (tmp_path / "checkpoints").mkdir()
    run_import._warn_of_starts(SimpleNamespace(models=rows), found)
    assert capsys.readouterr().err == ""


def broken(text, key, value):
    return json.dumps({**json.loads(text), key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], "is not a run that"),
        (lambda text: "[]", "is not a run that"),
        (lambda text: broken(text, "metrics", {"test/mse": [[2, "much", 0]]}), "is not a run that"),
        (lambda text: text.replace('"study": "small"', '"study": "large"'), "a run of the study 'large'"),
        (lambda text: text.replace('"profile": "quick"', '"profile": "full"'), "a run of the profile 'full'"),
    ],
)
def test_a_file_that_is_no_run_of_the_study_is_refused_and_none_is_added(elsewhere, lit_ae, capsys, change, message):
    declared()
    path = max(elsewhere.glob("*/run.json"))
    path.write_text(change(path.read_text()))
    assert lit_ae("study", "import", "small.yaml", "--folder", elsewhere) == 2
    error = capsys.readouterr().err
    assert message in error
    assert path.parent.name in error
    assert tracking.study_parent("small", "quick") is None


def test_an_import_that_was_stopped_is_made_whole_by_the_next(elsewhere, monkeypatch):
    study, profile = declared()
    log_file, calls = tracking.log_file, []

    def stopped(*args):
        calls.append(args)
        if len(calls) > 5:
            raise KeyboardInterrupt
        log_file(*args)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "log_file", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_import.import_runs(study, profile, elsewhere)
    before = tracking.study_runs("small", "quick")
    assert 0 < len(before) < 4
    assert run_import.import_runs(study, profile, elsewhere) == (4 - len(before), len(before), 0)
    assert len(tracking.study_runs("small", "quick")) == 4


@pytest.mark.parametrize("command", ["export", "import"])
def test_nothing_to_carry_is_said(store, lit_ae, capsys, command):
    declared()
    assert lit_ae("study", command, "small.yaml", "--folder", "empty") == 2
    assert ("has no finished runs" if command == "export" else "has no folders with") in capsys.readouterr().err
