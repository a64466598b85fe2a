"""What a study costs beside its runs: the scheduler's own time, and reading a store of 2,000 runs."""

import json
import resource
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from lit_ae import tracking
from lit_ae.studies import parent, runner
from lit_ae.studies.executors import local
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study

ROWS, EPOCHS, METRICS, PARAMS = 20, 20, 50, 50


def write_study(rows, seeds):
    """wide.yaml in the current folder, loaded."""
    Path("wide.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "wide",
                "title": "A wide study",
                "question": "How many?",
                "profiles": {"quick": {"data": "digits", "seeds": list(range(seeds))}},
                "models": {
                    f"row {i}": {"config": "ae", "args": [f"--trainer.max_epochs={i + 1}"]} for i in range(rows)
                },
                "columns": [
                    {"metric": "test/mse", "label": "MSE"},
                    {"metric": "train/loss@5", "label": "Loss, epoch 5"},
                ],
                "comparisons": [{"metric": "test/mse", "a": "row 0", "b": "row 1"}],
            },
            sort_keys=False,
        )
    )
    study = load_study(Path("wide.yaml"))
    return study, study.profile("quick")


# -- reading -------------------------------------------------------------------------------------------------------


def fill(study, profile):
    """A finished run for each job of a study: the rows of the database of one that was logged, copied."""
    parent_id = parent.open_parent(study, profile)
    tags = {"kind": "run", "study": "wide", "profile": "quick", "data": "digits", "seconds": "12.5", "trained": "true"}
    first = tracking.create_run("wide", "first", tags, parent_id)
    for epoch in range(1, EPOCHS + 1):
        tracking.log_metrics(first, {"train/loss": 1 / epoch, "val/loss": 1 / epoch}, epoch)
    tracking.log_metrics(first, {"test/mse": 0.1, **{f"test/score/{i}": float(i) for i in range(METRICS)}}, EPOCHS)
    tracking.log_params(first, {f"model.setting_{i}": i for i in range(PARAMS)})
    tracking.log_json(first, {"extractor": "lenet"}, "protocol.json")
    tracking.log_json(first, {"versions": {"torch": "2"}}, "environment.json")
    tracking.end_run(first, "FINISHED")
    with closing(sqlite3.connect("mlruns/mlflow.db")) as base, base:
        for number, job in enumerate(jobs(study, profile)):
            run_id = uuid.uuid4().hex
            for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
                columns = [row[1] for row in base.execute(f"pragma table_info({table})")]
                values = ["?" if column == "run_uuid" else column for column in columns]
                copied = f"insert into {table} ({','.join(columns)}) select {','.join(values)} from {table}"
                base.execute(f"{copied} where run_uuid = ?", (run_id, first))
            own = {"model": job.model, "seed": job.seed, "fit_hash": job.fit_hash}
            for key, value in {**own, "config_hash": job.config_hash, "settings_hash": job.settings_hash}.items():
                base.execute("insert into tags (key, value, run_uuid) values (?, ?, ?)", (key, str(value), run_id))
            for table in ("metrics", "latest_metrics"):
                changed = f"update {table} set value = value + ? where run_uuid = ? and key = 'test/mse'"
                base.execute(changed, (number * 1e-4, run_id))
        base.execute("update tags set value = 'stale' where key = 'kind' and run_uuid = ?", (first,))
        for key, value in {"model": "row 0", "seed": "0", "fit_hash": "none"}.items():
            base.execute("insert into tags (key, value, run_uuid) values (?, ?, ?)", (key, value, first))


def peak():
    """The most memory that this process has taken so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_store_of_2000_runs_is_read_in_seconds(store, lit_ae, capsys):
    study, profile = write_study(ROWS, 100)
    fill(study, profile)
    assert lit_ae("study", "status", "wide.yaml") == 0
    before, start = peak(), time.process_time()
    assert lit_ae("study", "status", "wide.yaml", "--json") == 0
    status = time.process_time() - start
    assert capsys.readouterr().out.count('"FINISHED"') == 2000
    start = time.process_time()
    assert lit_ae("report", "wide.yaml", "--reports", "reports") == 0
    report, memory = time.process_time() - start, peak() - before
    start = time.process_time()
    assert lit_ae("study", "run", "wide.yaml", "--reports", "reports") == 0
    again = time.process_time() - start
    with capsys.disabled():
        print(f"\n2,000 runs, CPU time: status {status:.1f} s, report {report:.1f} s, nothing to do {again:.1f} s")
        print(f"memory: {memory:.0f} MB more than after the first status")
    assert "2000 of 2000 runs are done, 0 to do" in capsys.readouterr().out
    assert "over 100 seeds" in Path("reports/quick/wide.md").read_text("utf-8")
    assert status < 2
    assert report < 60
    assert again < 60
    assert memory < 300


STATUS = """
import sys
from lit_ae.cli import main
assert main(["study", "status", "wide.yaml", "--json"]) == 0
print(sorted({"mlflow", "torch", "lightning", "pandas"} & sys.modules.keys()), file=sys.stderr)
"""


def test_status_imports_no_large_library(store):
    """The import of MLflow alone takes longer than the status of 2,000 runs."""
    study, profile = write_study(2, 1)
    parent_id = parent.open_parent(study, profile)
    job = jobs(study, profile)[1]
    tags = {"kind": "run", "model": job.model, "seed": "0", "config_hash": job.config_hash}
    run_id = tracking.create_run("wide", "one", tags, parent_id)
    tracking.end_run(run_id, "FINISHED")
    found = subprocess.run([sys.executable, "-c", STATUS], capture_output=True, text=True, check=True)
    assert [(run["model"], run["status"], run["run_id"]) for run in json.loads(found.stdout)["runs"]] == [
        ("row 0", "MISSING", None),
        ("row 1", "FINISHED", run_id),
    ]
    assert found.stderr.strip() == "[]"


# -- running -------------------------------------------------------------------------------------------------------


def done_at_once(spec):
    """A run that does nothing."""
    tracking.end_run(spec.run_id, "FINISHED")
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_scheduler_takes_less_than_50_ms_a_run(store, monkeypatch, capsys, workers):
    monkeypatch.setattr(local, "run_job", done_at_once)
    monkeypatch.setattr(local.machine, "cores", lambda: 4)
    study, profile = write_study(4, 25)
    with local.LocalExecutor(workers) as executor:
        executor.start(workers)
        start = time.process_time()
        ((_, _, failed),) = runner.run_studies([(study, profile)], executor)
        taken = (time.process_time() - start) / 100
    with capsys.disabled():
        print(f"\n{workers} workers: {1000 * taken:.1f} ms of the driver's CPU time a run")
    assert failed == 0
    assert len(tracking.study_runs("wide", "quick")) == 100
    assert taken < 0.05
