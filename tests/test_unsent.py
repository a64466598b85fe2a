"""Writes while an MLflow server does not answer: kept on disk, sent later, none lost and none doubled."""

import json
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.load import load_study
from lit_ae.studies.runner import run_studies
from lit_ae.tracking import unsent as module

URI = "http://127.0.0.1:1"
GONE_AT = f"--trainer.callbacks+={__name__}.GoneAt"
REFUSED = f"API request to {URI}/x failed with exception HTTPConnectionPool: Max retries exceeded"


class Server:
    """The client of an MLflow server that can be away; what it holds is a local store."""

    def __init__(self, client):
        self.client, self.away, self.asked = client, False, 0

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.asked += 1
            if self.away:
                raise MlflowException(REFUSED)
            return getattr(self.client, name)(*args, **kwargs)

        return call


class GoneAt(Callback):
    """The server goes away as the second epoch begins."""

    server = None

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.server.away = True


@pytest.fixture
def server(store, monkeypatch):
    made = Server(MlflowClient(f"sqlite:///{store}/mlflow.db"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    monkeypatch.setattr("lit_ae.tracking.store._client", lambda uri: made)
    for name in ("unsent", "owner"):
        monkeypatch.setattr(f"lit_ae.tracking.{name}.no_server", lambda uri: "refused" if made.away else None)
    monkeypatch.setattr(module, "_asked", {})
    monkeypatch.setattr(GoneAt, "server", made)
    return made


def values(run_id):
    run = tracking.get_run(run_id)
    raw = {key: tracking.client().get_metric_history(run_id, key) for key in run.metrics}
    return {key: [(m.step, m.value) for m in found] for key, found in raw.items()}


def test_a_training_goes_on_without_its_server_and_nothing_is_lost_or_doubled(server, lit_ae, settings, capsys):
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae(*fit) == 0
    (plain,) = tracking.search("lit_ae")
    assert lit_ae(*fit, GONE_AT) == 0
    error = capsys.readouterr().err
    assert error.count("warning: the MLflow server") == 1
    assert "lit-ae sync" in error
    server.away = False
    run = tracking.search("lit_ae")[0]
    assert run.id != plain.id
    assert run.status == "RUNNING"
    assert len(values(run.id).get("train/loss", [])) < 3
    assert [folder.name for folder in tracking.unsent_runs()] == [run.id]
    assert lit_ae("sync") == 0
    assert capsys.readouterr().out == f"sent: {run.id}\n"
    assert values(run.id) == values(plain.id)
    again, whole = tracking.get_run(run.id), tracking.get_run(plain.id)
    assert again.status == "FINISHED"
    assert again.tags.keys() - {"mlflow.source.git.commit"} >= whole.tags.keys() - {"mlflow.source.git.commit"}
    assert again.params.keys() == whole.params.keys()
    assert again.end < again.start + 60
    assert lit_ae("sync") == 0
    assert "nothing is kept" in capsys.readouterr().out


def test_each_write_is_kept_in_order_and_a_second_sending_changes_nothing(server, tmp_path):
    run_id = tracking.create_run("e", "a run", {})
    server.away = True
    (tmp_path / "file.txt").write_text("one")
    tracking.log_metrics(run_id, {"a": 1.0, "b": float("nan"), "c": float("inf")}, 1)
    tracking.log_metrics(run_id, {"a": 0.1 + 0.2}, 2)
    tracking.log_params(run_id, {"p": 1})
    tracking.set_tags(run_id, {"t": "old"})
    tracking.set_tags(run_id, {"t": "new"})
    tracking.log_file(run_id, tmp_path / "file.txt", "folder")
    tracking.add_protocol(run_id, {"x": 1}, "protocol.json")
    tracking.end_run(run_id, "FINISHED")
    (tmp_path / "file.txt").write_text("changed later")
    (folder,) = tracking.unsent_runs()
    with (folder / module.WRITES).open("a") as file:
        file.write('\n{"write": "set_tags", "args": [{"t": "cut o')  # killed as it wrote
    server.away = False
    for _ in range(2):
        module._send(run_id, folder) if _ else [
            module._known[call["write"]](run_id, *call["args"], **call["kwargs"]) for call in module._calls(folder)
        ]
    run = tracking.get_run(run_id)
    assert (run.status, run.tags["t"], run.params) == ("FINISHED", "new", {"p": "1"})
    assert values(run_id)["a"] == [(1, 1.0), (2, 0.1 + 0.2)]
    assert {key: len(found) for key, found in values(run_id).items()} == {"a": 2, "b": 1, "c": 1}
    assert run.artifact("folder/file.txt").read_text() == "one"
    assert json.loads(run.artifact("protocol.json").read_text()) == {"x": 1}
    assert not folder.exists()


def test_a_server_that_is_gone_is_asked_rarely_and_gets_all_when_it_is_back(server, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lit_ae.tracking.unsent.time.monotonic", lambda: now[0])
    run_id = tracking.create_run("e", "a run", {})
    server.away, server.asked = True, 0
    for step in range(50):
        tracking.log_metrics(run_id, {"a": step}, step)
    assert server.asked == 1
    server.away = False
    tracking.log_metrics(run_id, {"a": 50}, 50)
    assert server.asked == 1  # not before the pause is over
    now[0] = module.PAUSE
    tracking.log_metrics(run_id, {"a": 51}, 51)
    assert values(run_id)["a"] == [(step, step) for step in range(52)]
    assert tracking.unsent_runs() == []


def test_a_refusal_is_no_silence(server):
    with pytest.raises(MlflowException, match="not found"):
        tracking.set_tags("0" * 32, {"t": "x"})
    assert tracking.unsent_runs() == []
    server.away = True
    with pytest.raises(tracking.ServerGone, match="does not answer"):
        tracking.get_run("0" * 32)


def test_a_server_that_refuses_what_was_kept_keeps_it_with_a_remedy(server, monkeypatch):
    run_id = tracking.create_run("e", "r", {})
    server.away = True
    tracking.set_tags(run_id, {"t": "x"})
    server.away = False

    def refused(*args, **kwargs):
        raise MlflowException("UNAUTHENTICATED: you are not authenticated")

    monkeypatch.setattr(server.client, "log_batch", refused)
    said = "UNAUTHENTICATED.* and stays there.*MLFLOW_TRACKING_PASSWORD.*lit-ae sync.*Deleting the folder loses"
    with pytest.raises(SettingError, match=said):
        tracking.send_unsent()
    assert [folder.name for folder in tracking.unsent_runs()] == [run_id]


class Executor:
    """Does runs in no time; the server goes away as the first one begins."""

    several_machines, size, threads = False, 1, 1

    def __init__(self, server):
        self.server, self.done = server, []

    def start(self, jobs):
        pass

    def submit(self, spec):
        self.server.away = True
        tracking.end_run(spec.run_id, "FINISHED")
        self.done.append(spec.run_id)
        future = Future()
        future.set_result("")
        return future

    def outcome(self, future):
        return future.result()

    def cancel(self, futures):
        assert not futures


def test_a_study_begins_no_run_without_its_server_and_keeps_what_has_ended(server):
    models = {"AE": {"config": "ae"}, "SAE": {"config": "sae"}}
    profiles = {"quick": {"data": "digits", "seeds": [0]}}
    columns = [{"metric": "test/mse", "label": "MSE"}]
    content = {"name": "s", "title": "t", "question": "q", "profiles": profiles, "models": models, "columns": columns}
    Path("s.yaml").write_text(yaml.safe_dump(content))
    study = load_study(Path("s.yaml"))
    executor = Executor(server)
    with pytest.raises(tracking.ServerGone, match="start it again"):
        list(run_studies([(study, study.profile("quick"))], executor))
    (run_id,) = executor.done
    server.away = False
    assert tracking.get_run(run_id).status == "RUNNING"
    parent = tracking.study_parent("s", "quick")
    assert sorted(tracking.send_unsent()) == sorted([run_id, parent.id])
    assert [tracking.get_run(run).status for run in (run_id, parent.id)] == ["FINISHED", "KILLED"]


MEETS = """
import sys
import mlflow.store.tracking.sqlalchemy_store
from lit_ae import tracking
print("ready", flush=True)
sys.stdin.readline()
tracking.end_run(tracking.create_run("e", "r", {}), "FINISHED")
"""


@pytest.mark.slow
def test_three_processes_may_meet_a_fresh_store_of_the_users_own_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    processes = [subprocess.Popen([sys.executable, "-c", MEETS], **pipes) for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait(200) for process in processes] == [0] * 3
    assert len(tracking.search("e")) == 3
