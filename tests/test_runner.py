"""A study of tiny runs: what is done stays done, what crashes stays alone, what is stopped goes on."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock, Timeout
from lightning.pytorch import Callback
from test_explorer import facts_of, unpacked

from lit_ae import load, load_data, statistics, tracking
from lit_ae.errors import SettingError
from lit_ae.explorer import explore
from lit_ae.studies import versions
from lit_ae.studies.executors import local
from lit_ae.studies.jobs import Job
from lit_ae.studies.plan import with_outdated_scores

ARGS = ["--data.limit=40", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
LINK = re.compile(r'<a href="(explorer/[^"]+)">explore codes</a>')
DIES, WAITS = f"--trainer.callbacks+={__name__}.Dies", f"--trainer.callbacks+={__name__}.Waits"


class Dies(Callback):
    """Ends its process, under seed 0, as the kernel does when memory runs out."""

    def on_train_start(self, trainer, pl_module):
        if torch.initial_seed() == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Waits(Callback):
    """Trains only when the file `open` exists; holds the lock `waiting` until then, or until its process dies."""

    def on_train_start(self, trainer, pl_module):
        with FileLock("waiting"):
            while not Path("open").exists():
                time.sleep(0.05)


def write_study(models, seeds=(0, 1), args=(), scores=()):
    """tiny.yaml in the current folder."""
    callbacks = [{"class_path": name} for name in ("Evaluation", "ReconstructionGrid", "PairedTest", *scores)]
    Path("callbacks.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    labels = [label for label in ("SAE", "AE") if label in models]
    study = {
        "name": "tiny",
        "title": "A tiny study",
        "question": "Does it run?",
        "scores": [str(Path("callbacks.yaml").resolve())],
        "profiles": {"quick": {"data": "digits", "seeds": list(seeds), "args": [*ARGS, *args]}},
        "models": models,
        "columns": [{"metric": "test/mse", "label": "MSE", "format": ".6f", "better": "lower"}],
        "comparisons": [{"metric": "test/mse", "a": "SAE", "b": "AE"}] if len(labels) == 2 else [],
        "figures": [{"name": "reconstructions", "models": labels[-1:], "caption": "inputs over outputs"}],
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def parent():
    return tracking.study_parent("tiny", "quick")


def runs(**tags):
    found = tracking.children("tiny", parent().id)
    return [run for run in found if all(run.tags[key] == value for key, value in tags.items())]


def by_row(found):
    return {(run.model, run.seed): run for run in found}


def status(lit_ae, capsys):
    """`study status --json` as (model, seed) -> status."""
    capsys.readouterr()
    assert lit_ae("study", "status", "tiny.yaml", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["study"], told["profile"]) == ("tiny", "quick")
    for row in told["runs"]:
        assert (row["run_id"] is None) == (row["status"] == "MISSING")
    return {(row["model"], row["seed"]): row["status"] for row in told["runs"]}


def open_when_reported(report):
    """Let `Waits` train once there is that report; without it, the study that waits never ends."""
    while not report.exists():
        time.sleep(0.1)
    Path("open").touch()


@pytest.fixture(scope="module")
def first(shared_store, lit_ae):
    """The folder of a study with two sound rows, one whose loss explodes and one whose process dies; exit status.

    A study of one row is run in the same call, before it, and waits until the other has been reported.
    """
    write_study({"waits": {"config": "ae", "args": [WAITS]}}, seeds=[0])
    waits = yaml.safe_load(Path("tiny.yaml").read_text()) | {"name": "waits", "order": -1, "figures": []}
    Path("waits.yaml").write_text(yaml.safe_dump(waits))
    threading.Thread(target=open_when_reported, args=[Path("reports/quick/tiny.md")], daemon=True).start()
    write_study(
        {
            "NaN": {"config": "vae", "args": ["--model.optimizer.lr=1e36"]},
            "dies": {"config": "ae", "args": [DIES]},
            "AE": {"config": "ae"},
            "SAE": {"config": "sae"},
        }
    )
    code = lit_ae("study", "run", "tiny.yaml", "waits.yaml", "--workers", "2", "--reports", "reports")
    Path("open").unlink()
    return shared_store.parent, code


@pytest.fixture
def copy(first, tmp_path, monkeypatch):
    """A copy of that folder to go on in, its study reduced to the sound rows."""
    shutil.copytree(first[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    write_study({"AE": {"config": "ae"}, "SAE": {"config": "sae"}})


@pytest.fixture
def no_workers(monkeypatch):
    def refuse(size):
        raise AssertionError("there is nothing to do")

    monkeypatch.setattr(local, "_new_pool", refuse)


# -- a crash -------------------------------------------------------------------------------------------------------


def test_crashing_rows_do_not_stop_the_others(first):
    assert first[1] == 1
    found = by_row(runs())
    assert len(found) == len(runs()) == 8
    for seed in (0, 1):
        assert found["AE", seed].status == found["SAE", seed].status == "FINISHED"
        assert found["NaN", seed].status == "FAILED"
        assert "not finite" in found["NaN", seed].tags["error"]
        assert "test/mse" not in found["NaN", seed].metrics
    assert found["dies", 0].status == "FAILED"
    assert found["dies", 0].tags["error"] == "the worker died with exit code -9"
    assert found["dies", 1].status == "FINISHED"
    assert parent().status == "FAILED"


def test_runs_are_children_with_their_tags(first):
    for (model, seed), run in by_row(runs()).items():
        expected = {"kind": "run", "study": "tiny", "profile": "quick", "model": model, "seed": str(seed)}
        assert {key: run.tags[key] for key in expected} == expected
        assert run.tags["mlflow.parentRunId"] == parent().id
        assert (run.tags["data"], len(run.tags["config_hash"])) == ("digits", 12)
        assert run.tags["git_sha"]
    found = by_row(runs(kind="run"))
    assert found["AE", 0].params["seed_everything"] == "0"
    assert found["AE", 1].params["seed_everything"] == "1"
    assert found["AE", 0].tags["config_hash"] == found["AE", 1].tags["config_hash"]
    assert found["AE", 0].tags["config_hash"] != found["SAE", 0].tags["config_hash"]
    assert {"train/loss", "val/mse", "test/mse"} <= found["AE", 0].metrics.keys()
    assert found["AE", 0].metrics["test/mse"] != found["AE", 1].metrics["test/mse"]


def test_last_run_of_a_pair_logs_the_paired_test(first):
    found = by_row(runs())
    a, b = ({seed: found[model, seed].metrics["test/mse"] for seed in (0, 1)} for model in ("SAE", "AE"))
    expected = statistics.paired_test(a, b)
    logged = parent().metrics
    assert logged["paired/test/mse/SAE-AE/p"] == pytest.approx(expected.p, rel=1e-12)
    assert logged["paired/test/mse/SAE-AE/difference"] == pytest.approx(mean(a.values()) - mean(b.values()))
    assert logged["paired/test/mse/SAE-AE/n"] == 2


def test_report_holds_the_numbers_of_mlflow(first):
    folder = first[0] / "reports" / "quick"
    rows = {row["model"]: row for row in csv.DictReader((folder / "tiny.csv").open())}
    assert list(rows) == ["NaN", "dies", "AE", "SAE"]
    markdown, page, tex = ((folder / name).read_text("utf-8") for name in ("tiny.md", "index.html", "tiny.tex"))
    for model in ("AE", "SAE"):
        values = [run.metrics["test/mse"] for run in runs(model=model)]
        assert float(rows[model]["mean"]) == pytest.approx(mean(values), rel=1e-12)
        assert float(rows[model]["std"]) == pytest.approx(stdev(values), rel=1e-9)
        assert rows[model]["n"] == "2"
        for text in (markdown, page, tex):
            assert f"{mean(values):.6f}" in text
    assert (rows["NaN"]["mean"], rows["NaN"]["n"], rows["dies"]["n"]) == ("", "0", "1")
    assert "3 of 8 runs are missing: NaN seeds 0, 1; dies seed 0." in markdown
    assert {path.name for path in (folder / "tiny").iterdir()} >= {"ae-reconstructions.png", "loss.png"}
    logged = by_row(runs())["AE", 0].artifact("figures/reconstructions.png")
    assert (folder / "tiny" / "ae-reconstructions.png").read_bytes() == logged.read_bytes()


def test_explorer_pages_lie_beside_the_report_which_links_them(first, copy, lit_ae, capsys, monkeypatch):
    shutil.copy(first[0] / "tiny.yaml", "tiny.yaml")
    folder = Path("other/quick")
    assert lit_ae("report", "tiny.yaml", "--reports", "other") == 0
    text = (folder / "index.html").read_text("utf-8")
    assert "<code>lit-ae report tiny.yaml --profile quick --explorer</code>" in text
    assert LINK.findall(text) == []
    capsys.readouterr()
    written = explore.explore

    def all_but_one(sources, *others):
        if sources == [by_row(runs())["SAE", 0].id]:
            raise SettingError("its decoder is too large")
        written(sources, *others)

    monkeypatch.setattr(explore, "explore", all_but_one)
    assert lit_ae("report", "tiny.yaml", "--reports", "other", "--explorer") == 0
    assert "SAE gets no explorer page: its decoder is too large" in capsys.readouterr().out
    text = (folder / "index.html").read_text("utf-8")
    assert LINK.findall(text) == ["explorer/tiny/dies.html", "explorer/tiny/ae.html"]
    assert "--explorer</code>" not in text
    assert not (folder / "explorer/tiny/nan.html").exists(), "a row without a finished run has no codes"
    for row, seed in (("AE", 0), ("dies", 1)):  # whose seed 0 died
        page = folder / f"explorer/tiny/{row.lower()}.html"
        assert page.stat().st_size <= 8_000_000
        (told,) = facts_of(page)["runs"]
        run = by_row(runs())[row, seed]
        assert told["title"] == f"{row} on digits, seed {seed}"
        codes = load(run.id).embed(load_data(run.id).split("test").x[:].numpy())
        assert np.abs(unpacked(told["codes"]) - codes).max() < 1e-5


def test_status_tells_every_run(first, copy, lit_ae, capsys):
    assert status(lit_ae, capsys) == {(m, s): "FINISHED" for m in ("AE", "SAE") for s in (0, 1)}
    shutil.copy(first[0] / "tiny.yaml", "tiny.yaml")
    told = status(lit_ae, capsys)
    assert {row for row, state in told.items() if state == "FAILED"} == {("NaN", 0), ("NaN", 1), ("dies", 0)}
    assert len(told) == 8
    assert lit_ae("study", "status", "tiny.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if " dies " in line]
    assert [word for word in line.split() if word.isdigit()] == ["1", "0", "0", "1", "0"]


def test_worker_free_of_one_study_goes_on_with_the_next_whose_report_does_not_wait(first):
    (run,) = tracking.study_runs("waits", "quick")
    assert run.status == tracking.study_parent("waits", "quick").status == "FINISHED"
    tiny, waits = (first[0] / "reports" / "quick" / f"{name}.md" for name in ("tiny", "waits"))
    assert tiny.stat().st_mtime < waits.stat().st_mtime


# -- a second time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"models": {"AE": {"config": "ae"}, "SAE": {"config": "sae", "args": ["--model.sigma=0.3"]}}}, {"SAE"}),
        ({"models": {"AE": {"config": "conv_ae"}, "SAE": {"config": "sae"}}}, {"AE"}),
        ({"args": ["--trainer.max_epochs=2"]}, {"AE", "SAE"}),
        ({}, set()),
    ],
)
def test_changed_setting_asks_for_the_rows_that_it_changes(copy, lit_ae, capsys, change, missing):
    write_study(**{"models": {"AE": {"config": "ae"}, "SAE": {"config": "sae"}}, **change})
    told = status(lit_ae, capsys)
    assert {model for (model, _), state in told.items() if state == "MISSING"} == missing
    assert {model for (model, _), state in told.items() if state == "FINISHED"} == {"AE", "SAE"} - missing


def test_seeds_that_shrink_go_stale_and_come_back_without_a_run(copy, lit_ae, no_workers):
    both = {"AE": {"config": "ae"}, "SAE": {"config": "sae"}}
    everything = sorted(run.id for run in runs())
    write_study(both, seeds=[1])
    assert lit_ae("study", "run", "tiny.yaml", "--reports", "reports") == 0
    assert {run.seed for run in tracking.study_runs("tiny", "quick")} == {1}
    assert {run.seed for run in runs(kind="stale", model="AE")} == {0}
    (only,) = tracking.study_runs("tiny", "quick")[:1]
    row, *_ = [line for line in Path("reports/quick/tiny.md").read_text("utf-8").splitlines() if line[:5] == "| AE "]
    assert row.split("|")[2].strip(" *") == f"{only.metrics['test/mse']:.6f}"
    write_study(both, seeds=[0, 1])
    assert lit_ae("study", "run", "tiny.yaml", "--reports", "reports") == 0
    assert {(run.model, run.seed) for run in tracking.study_runs("tiny", "quick")} == {
        (model, seed) for model in both for seed in (0, 1)
    }
    assert sorted(run.id for run in runs()) == everything


def test_changed_scores_are_computed_again_without_training_and_a_row_is_initialised_from_another(copy, lit_ae, capsys):
    rows = {"AE": {"config": "ae"}, "SAE": {"config": "sae"}}
    rows["Classifier"] = {"config": "classifier", "start": "AE", "args": ["--data.labels_per_class=1"]}
    before = by_row(runs())
    losses = {row: tracking.client().get_metric_history(run.id, "train/loss") for row, run in before.items()}
    write_study(rows, seeds=[0], scores=["StandardisedMSE"])
    assert set(status(lit_ae, capsys).values()) == {"MISSING"}
    assert lit_ae("study", "run", "tiny.yaml", "--workers", "1", "--reports", "reports") == 0
    after = by_row(tracking.study_runs("tiny", "quick"))
    assert after.keys() == {("AE", 0), ("SAE", 0), ("Classifier", 0)}
    for row in (("AE", 0), ("SAE", 0)):
        assert after[row].id == before[row].id
        assert tracking.client().get_metric_history(after[row].id, "train/loss") == losses[row]
        assert "test/mse_standardised" not in before[row].metrics
        assert "test/mse_standardised" in after[row].metrics
        assert after[row].metrics["test/mse"] == pytest.approx(before[row].metrics["test/mse"], rel=1e-6)
        steps = {m.step for m in tracking.client().get_metric_history(after[row].id, "test/mse")}
        assert len(steps) == 1, "the scores of a later test have to count as the latest"
    assert before["AE", 0].id in after["Classifier", 0].params["model.pretrained"]
    assert 0 <= after["Classifier", 0].metrics["test/accuracy"] <= 1


def history(run, key):
    return [(m.step, m.timestamp, m.value) for m in tracking.client().get_metric_history(run.id, key)]


@pytest.mark.slow
def test_scores_of_an_older_version_are_renewed_alone_and_without_training(
    copy, lit_ae, capsys, tmp_path, monkeypatch, request
):
    rows = {"AE": {"config": "ae"}, "SAE": {"config": "sae"}}
    write_study(rows, seeds=[0], scores=["StandardisedMSE", "ReconstructionScores"])
    command = ("study", "run", "tiny.yaml", "--workers", "1", "--reports", "reports")
    assert lit_ae(*command) == 0
    before = by_row(tracking.study_runs("tiny", "quick"))
    keys = ("train/loss", "val/mse", "test/psnr", "test/mse_standardised")
    logged = {row: [history(run, key) for key in keys] for row, run in before.items()}
    protocols = {row: run.artifact("protocol.json").read_text() for row, run in before.items()}

    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "standardised_mse.py").write_text("class StandardisedMSE:\n    version = 3\n")
    monkeypatch.setattr(versions, "FOLDERS", (tmp_path / "scores",))
    assert set(status(lit_ae, capsys).values()) == {"OUTDATED"}
    assert lit_ae("study", "status", "tiny.yaml") == 0
    told = capsys.readouterr().out
    assert "outdated scores" in " ".join(told.split())
    (line,) = [line for line in told.splitlines() if " SAE " in line]
    assert [word for word in line.split() if word.isdigit()] == ["0", "1", "0", "0", "0"]
    assert lit_ae("report", "tiny.yaml", "--reports", "other") == 0
    warned = "2 runs have scores of another version of the code (StandardisedMSE)"
    assert warned in Path("other/quick/tiny.md").read_text("utf-8")

    capsys.readouterr()
    assert lit_ae(*command) == 0
    assert "2 to do (2 of them only need scores of a newer version, without training)" in capsys.readouterr().out
    after = by_row(tracking.study_runs("tiny", "quick"))
    assert {row: run.id for row, run in after.items()} == {row: run.id for row, run in before.items()}
    for row, run in after.items():
        *kept, old = logged[row]
        *same, new = (history(run, key) for key in keys)
        assert same == kept, "neither training nor another score is done again"
        assert len(new) == len(old) + 1
        assert {(step, value) for step, _, value in new} == {(step, value) for step, _, value in old}
        assert json.loads(run.tags["score_versions"]) == {"StandardisedMSE": 3}
        assert run.artifact("protocol.json").read_text() == protocols[row], "the other scores' protocols stay"
    assert warned not in Path("reports/quick/tiny.md").read_text("utf-8")
    assert set(status(lit_ae, capsys).values()) == {"FINISHED"}
    request.getfixturevalue("no_workers")
    assert lit_ae(*command) == 0


def test_which_runs_only_need_newer_scores(monkeypatch):
    job = Job("AE", 0, "digits", (), "fit", "settings", "config", {"A": 2, "B": 1, "C": 3})
    tags = {"settings_hash": "settings", "trained": "true", "score_versions": '{"A": 1, "C": 3}'}
    monkeypatch.setattr(tracking.Run, "artifact", lambda run, path: None if run.id == "no checkpoint" else Path(path))

    def found(run_id="run", state="FINISHED", model="AE", **changed):
        made = tracking.Run(run_id, model, 0, "digits", state, {}, {**tags, **changed}, {}, 0.0, None)
        outdated = with_outdated_scores(job, [made])
        return outdated and outdated[1]

    assert found() == ["A"]
    assert found(score_versions="{}") == ["A", "C"]
    assert found(score_versions='{"A": 2, "C": 3}') is None
    assert found(settings_hash="other") is None
    assert found(state="KILLED") is None
    assert found(model="SAE") is None
    assert found(run_id="no checkpoint") is None
    older = tracking.Run(
        "old", "AE", 0, "digits", "FINISHED", {}, {"config_hash": "settings", "trained": "true"}, {}, 0.0, None
    )
    assert with_outdated_scores(job, [older]) == (older, ["A", "C"])


def test_row_has_to_stand_below_the_one_that_it_is_initialised_from(store, lit_ae, capsys):
    write_study({"Classifier": {"config": "classifier", "start": "AE"}, "AE": {"config": "ae"}})
    assert lit_ae("study", "status", "tiny.yaml") == 2
    assert "models.Classifier.start is 'AE': that row must stand above it" in capsys.readouterr().err


def test_a_study_is_run_by_one_process_at_a_time(copy, lit_ae, no_workers, capsys):
    with FileLock("mlruns/.tiny-quick.lock"):
        assert lit_ae("study", "run", "tiny.yaml") == 2
    assert "is being run by another process" in capsys.readouterr().err
    assert lit_ae("study", "run", "tiny.yaml", "--reports", "reports") == 0


def test_report_alone_is_made_from_the_store(copy, lit_ae, capsys):
    assert lit_ae("report", "tiny.yaml", "--reports", "other") == 0
    value = mean(run.metrics["test/mse"] for run in runs(model="AE", kind="run"))
    assert f"{value:.6f}" in Path("other/quick/tiny.md").read_text("utf-8")
    assert f"{value:.6f}" in capsys.readouterr().out


def test_store_without_the_study_is_told_in_words(store, lit_ae, capsys):
    write_study({"AE": {"config": "ae"}})
    assert set(status(lit_ae, capsys).values()) == {"MISSING"}
    assert lit_ae("report", "tiny.yaml") == 2
    assert "has no finished run" in capsys.readouterr().err


# -- stopped in the middle ---------------------------------------------------------------------------------------


def wait_until(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the driver has ended too soon"
        assert time.monotonic() < end
        time.sleep(0.1)


def waiting():
    """Whether a run holds the lock: its process lives, and stands in the middle of training."""
    try:
        with FileLock("waiting", timeout=0):
            return False
    except Timeout:
        return True


@pytest.mark.slow  # the tests of faults kill studies as well
def test_study_killed_and_stopped_and_started_again_does_what_is_missing(copy, lit_ae, capsys, monkeypatch):
    """Each start of a worker costs seconds of imports: one long test instead of three."""
    rows = {"NaN": {"config": "vae"}, "waits": {"config": "ae", "args": [WAITS]}, "AE": {"config": "ae"}}
    write_study({**rows, "SAE": {"config": "sae"}}, seeds=[0])
    done = {run.model: run.id for run in tracking.study_runs("tiny", "quick") if run.seed == 0}
    assert done.keys() == {"AE", "SAE"}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "lit_ae.cli", "study", "run", "tiny.yaml", "--workers", "1"]

    def stop_when(condition, number):
        driver = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            wait_until(condition, driver)
            driver.send_signal(number)
            return driver.wait(30)
        finally:
            driver.kill()
            driver.wait()

    assert stop_when(waiting, signal.SIGKILL) == -signal.SIGKILL
    with FileLock("waiting", timeout=30):  # the worker does not outlive its driver
        left = by_row(runs(kind="run"))
    assert {row: run.status for row, run in left.items()} == {
        ("NaN", 0): "FINISHED",  # it failed in the first study, and its settings have been fixed
        ("waits", 0): "RUNNING",
        ("AE", 0): "FINISHED",
        ("SAE", 0): "FINISHED",
    }

    def second_attempt_runs():
        return sorted(run.status for run in runs(model="waits")) == ["KILLED", "RUNNING"]

    assert stop_when(second_attempt_runs, signal.SIGTERM) == 130
    assert [run.status for run in runs(model="waits")] == ["KILLED", "KILLED"]
    assert parent().status == "KILLED"

    Path("open").touch()
    start = ("study", "run", "tiny.yaml", "--workers", "1", "--reports", "reports")
    assert lit_ae(*start) == 0
    assert "3 of 4 runs are done, 1 to do" in capsys.readouterr().out
    finished = by_row(tracking.study_runs("tiny", "quick"))
    assert finished.keys() == left.keys()
    assert {run.id for run in finished.values()} > {*done.values(), left["NaN", 0].id}, "no run twice"
    everything = sorted((run.id, run.status) for run in runs())
    assert not [status for _, status in everything if status == "RUNNING"]
    assert parent().status == "FINISHED"

    monkeypatch.setattr(local, "_new_pool", lambda size: pytest.fail("there is nothing to do"))
    assert lit_ae(*start) == 0
    assert "4 of 4 runs are done, 0 to do" in capsys.readouterr().out
    assert sorted((run.id, run.status) for run in runs()) == everything
