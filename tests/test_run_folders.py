"""Runs as plain files: what another store has after the import, and what is refused."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_ae import tracking
from lit_ae.studies import run_folders
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
            **{"seed": str(job.seed), "git_sha": "abc", "seconds": "12.5", "trained": "true", "ß [1]": "é"},
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
        assert run_folders.import_runs(study, profile, tmp_path / "back") == (0, 4, 0)


def test_runs_come_with_their_checkpoints_if_these_are_wanted(first_machine, store, tmp_path, lit_ae):
    study, profile = declared()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first_machine)
        assert lit_ae("study", "export", "small.yaml", "--folder", tmp_path / "carried", "--checkpoints") == 0
    assert run_folders.import_runs(study, profile, tmp_path / "carried") == (4, 0, 0)
    for run in tracking.study_runs(study.name, profile.name):
        assert run.tags["trained"] == "true"
        assert run.checkpoint.read_text() == "weights"


def test_runs_of_settings_that_the_study_no_longer_has_do_not_count(elsewhere):
    declared()
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("max_epochs=2", "max_epochs=3"))
    study = load_study(Path("small.yaml"))
    profile = study.profile("quick")
    assert run_folders.import_runs(study, profile, elsewhere) == (4, 0, 2)
    assert {run.model for run in tracking.study_runs("small", "quick")} == {"first"}


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
            run_folders.import_runs(study, profile, elsewhere)
    before = tracking.study_runs("small", "quick")
    assert 0 < len(before) < 4
    assert run_folders.import_runs(study, profile, elsewhere) == (4 - len(before), len(before), 0)
    assert len(tracking.study_runs("small", "quick")) == 4


@pytest.mark.parametrize("command", ["export", "import"])
def test_nothing_to_carry_is_said(store, lit_ae, capsys, command):
    declared()
    assert lit_ae("study", command, "small.yaml", "--folder", "empty") == 2
    assert ("has no finished runs" if command == "export" else "has no folders with") in capsys.readouterr().err
