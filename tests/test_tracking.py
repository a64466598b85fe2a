"""Runs in MLflow: one store, the right status whatever happens, nothing cut and nothing logged twice."""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import matplotlib.pyplot as plt
import pytest
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from mlflow.exceptions import MlflowException

from lit_ae import tracking
from lit_ae.cli import dispatcher as cli
from lit_ae.errors import SettingError
from lit_ae.tracking import sqlite_reads
from lit_ae.tracking.logger import RunLogger

ONE_RUN = """
from lit_ae import tracking
run = tracking.create_run("shared", "one of several", {"kind": "single"})
with tracking.run_status(run):
    for step in range(20):
        tracking.log_metrics(run, {"a": step, "b": -step}, step)
"""


def run_from_command_line():
    (run,) = tracking.search("lit_ae", kind="single")
    return run


# -- the store ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_processes_may_meet_a_fresh_store_at_once(tmp_path, monkeypatch):
    processes = [subprocess.Popen([sys.executable, "-c", ONE_RUN], cwd=tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0] * 3
    monkeypatch.chdir(tmp_path)
    runs = tracking.search("shared")
    assert [run.status for run in runs] == ["FINISHED"] * 3
    assert all(run.metrics == {"a": 19, "b": -19} for run in runs)
    assert all(len(run.history("a")) == 20 for run in runs)
    names = [experiment.name for experiment in tracking.client().search_experiments()]
    assert names.count("shared") == 1


def test_tracking_uri_of_the_environment_is_respected(store, tmp_path, monkeypatch):
    shutil.copy(store / "mlflow.db", tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    run = tracking.create_run("mine", "a run", {})
    assert tracking.get_run(run).status == "RUNNING"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.search("mine") == []
    with pytest.raises(SettingError, match=f"run_id '{run}' is not in sqlite:.*mlruns/mlflow.db"):
        tracking.get_run(run)


def test_artifacts_lie_beside_the_store_and_are_read_in_place(store):
    run = tracking.get_run(tracking.create_run("e", "a run", {}))
    tracking.log_json(run.id, {"b": 1, "a": [2.5, None]}, "folder/card.json")
    path = run.artifact("folder/card.json")
    assert json.loads(path.read_text()) == {"a": [2.5, None], "b": 1}
    assert path.is_relative_to(store / "artifacts")
    assert run.artifact("folder/none.json") is None
    with pytest.raises(SettingError, match=r"no checkpoint last\.ckpt"):
        tracking.last_checkpoint(run.id)


def test_artifacts_are_found_where_their_store_has_been_moved(store, tmp_path, monkeypatch):
    run_id = tracking.create_run("e", "a run", {})
    tracking.log_json(run_id, 1, "card.json")
    moved = tmp_path / "moved" / "mlruns"
    moved.parent.mkdir()
    shutil.move(store, moved)
    monkeypatch.chdir(moved.parent)
    assert tracking.get_run(run_id).artifact("card.json") == moved / "artifacts" / run_id / "artifacts" / "card.json"
    later = tracking.create_run("e", "another run", {})
    tracking.log_json(later, 2, "card.json")
    assert tracking.get_run(later).artifact("card.json").is_relative_to(moved)
    assert not store.exists()


# -- status ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (None, "FINISHED"),
        (ValueError("of its own"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(1), "KILLED"),
    ],
)
def test_status_after(store, raised, status):
    run_id = tracking.create_run("e", "a run", {})

    def body():
        with tracking.run_status(run_id):
            assert tracking.get_run(run_id).status == "RUNNING"
            if raised is not None:
                raise raised

    if raised is None:
        body()
    else:
        with pytest.raises(type(raised)):
            body()
    run = tracking.get_run(run_id)
    assert run.status == status
    assert run.end >= run.start
    assert run.tags.get("error") == ("ValueError: of its own" if status == "FAILED" else None)


class Trouble(Callback):
    """Raises the given kind of exception in the middle of training, or a ValueError in the middle of testing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_batch_end(self, *args):
        raise {"exception": ValueError("raised while training"), "interrupt": KeyboardInterrupt()}[self.kind]

    def on_test_batch_end(self, *args):
        raise ValueError("raised while testing")


@pytest.fixture
def trouble(tmp_path):
    def config(kind):
        path = tmp_path / "trouble.yaml"
        callbacks = [{"class_path": f"{__name__}.Trouble", "init_args": {"kind": kind}}]
        path.write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
        return path

    return config


def test_exception_in_training_makes_the_run_failed(store, lit_ae, settings, trouble):
    with pytest.raises(ValueError, match="raised while training"):
        lit_ae("fit", *settings("ae"), "--config", trouble("exception"))
    run = run_from_command_line()
    assert run.status == "FAILED"
    assert run.tags["error"] == "ValueError: raised while training"


def test_interrupt_in_training_makes_the_run_killed(store, lit_ae, settings, trouble):
    assert lit_ae("fit", *settings("ae"), "--config", trouble("interrupt")) == 130
    assert run_from_command_line().status == "KILLED"


def test_loss_that_is_no_number_makes_the_run_failed(store, lit_ae, settings, capsys):
    assert lit_ae("fit", *settings("ae"), "--model.optimizer.lr=1e36", "--trainer.max_epochs=20") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(r"(train|val)/\w+ not finite (at|by) step \d", line)
    run = run_from_command_line()
    assert run.status == "FAILED"
    assert "not finite" in run.tags["error"]


def test_exception_in_a_test_is_told_and_leaves_the_training_finished(store, lit_ae, settings, trouble):
    assert lit_ae("fit", *settings("ae")) == 0
    with pytest.raises(ValueError, match="raised while testing"):
        lit_ae("test", *settings("ae"), "--config", trouble("exception"))
    run = run_from_command_line()
    assert run.status == "FINISHED"
    assert run.tags["error"] == "ValueError: raised while testing"


def test_refused_checkpoint_leaves_the_run_as_it_was(store, lit_ae, settings):
    assert lit_ae("fit", *settings("ae")) == 0
    before = run_from_command_line()
    checkpoint = before.artifact("checkpoints/last.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert lit_ae("test", *settings("ae")) == 2
    after = run_from_command_line()
    assert (after.status, after.metrics) == ("FINISHED", before.metrics)


def test_stop_that_a_library_swallows_is_an_interrupt_all_the_same(monkeypatch):
    def train(argv):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise SystemExit  # as Lightning does at its next step

    monkeypatch.setattr(cli, "_train", train)
    monkeypatch.setattr(cli, "stops", [])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.main(["fit"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)


def test_run_interrupted_during_a_write_is_killed_on_the_second_attempt(store, monkeypatch):
    run_id = tracking.create_run("some", "run", {})
    end_run, statuses = tracking.end_run, []

    def fail_once(run_id, status):
        statuses.append(status)
        if len(statuses) == 1:
            raise RuntimeError("this connection is unusable")
        end_run(run_id, status)

    monkeypatch.setattr(tracking.runs, "end_run", fail_once)
    with pytest.raises(KeyboardInterrupt), tracking.run_status(run_id):
        raise KeyboardInterrupt
    assert statuses == ["KILLED", "KILLED"]
    assert tracking.client().get_run(run_id).info.status == "KILLED"


def test_runs_that_name_a_data_set_at_the_same_moment(store, monkeypatch):
    first, second = (tracking.create_run("some", name, {}) for name in ("first", "second"))
    client = tracking.client()
    log_inputs = client.log_inputs

    def beaten(run_id, inputs):
        monkeypatch.setattr(client, "log_inputs", log_inputs)
        tracking.log_dataset(first, "digits", "abc", "train", {})
        raise MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest")

    monkeypatch.setattr(client, "log_inputs", beaten)
    tracking.log_dataset(second, "digits", "abc", "train", {})
    for run_id in (first, second):
        (found,) = client.get_run(run_id).inputs.dataset_inputs
        assert (found.dataset.name, found.dataset.digest) == ("digits", "abc")


@pytest.mark.slow  # `make test-faults` sends signals at many moments
def test_sigterm_makes_the_run_killed(store, settings):
    args = (*settings("ae"), "--trainer.max_epochs=1000000")
    process = subprocess.Popen([sys.executable, "-m", "lit_ae.cli", "fit", *args], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: any(run.metrics for run in tracking.search("lit_ae")), process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (130, -signal.SIGINT)  # a shell calls both 130
    assert run_from_command_line().status == "KILLED"


def wait_for(condition, process, seconds=120):
    """Check the condition every tenth of a second until it holds; fail if the process ends first."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process has ended too soon"
        assert time.monotonic() < end
        time.sleep(0.1)


# -- what is logged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [251, 500, 3000])
def test_long_parameters_are_kept_whole(store, length):
    text = "".join(chr(97 + i % 26) for i in range(length))
    run_id = tracking.create_run("e", "a run", {})
    tracking.log_params(run_id, {"long": text, "short": 3, "none": None})
    assert tracking.get_run(run_id).params == {"long": text, "short": "3", "none": "None"}


def test_many_parameters_and_metrics_pass_the_limits_of_one_call(store):
    run_id = tracking.create_run("e", "a run", {})
    tracking.log_params(run_id, {f"p{i}": i for i in range(250)})
    tracking.log_metrics(run_id, {f"m{i}": i for i in range(1001)})
    run = tracking.get_run(run_id)
    assert len(run.params) == 250
    assert len(run.metrics) == 1001


def test_parameters_of_a_resumed_run_keep_their_first_value(store):
    run_id = tracking.create_run("e", "a run", {})
    tracking.log_params(run_id, {"epochs": 1})
    tracking.log_params(run_id, {"epochs": 2, "new": 3})
    assert tracking.get_run(run_id).params == {"epochs": "1", "new": "3"}


def test_config_and_data_set_of_a_fit_are_logged(store, lit_ae, settings):
    widths = str([16] * 80)  # over 250 characters as a parameter
    assert len(widths) > 250
    changes = (f"--model.encoder.widths={widths}", "--model.optimizer.lr=0.002", "--trainer.max_epochs=2")
    assert lit_ae("fit", *settings("ae"), *changes) == 0
    run = run_from_command_line()
    assert run.params["model.encoder.widths"] == widths
    assert run.params["model.optimizer.lr"] == "0.002"
    assert run.params["trainer.max_epochs"] == "2"
    config = yaml.safe_load(run.artifact("config.yaml").read_text())
    assert config["model"]["init_args"]["encoder"]["init_args"]["widths"] == [16] * 80
    assert config["trainer"]["max_epochs"] == 2
    (data,) = tracking.client().get_run(run.id).inputs.dataset_inputs
    from lit_ae.data.digits import Digits

    assert (data.dataset.name, data.dataset.digest) == ("digits", Digits(limit=60).digest())
    assert json.loads(data.dataset.profile) == {"train": 60, "val": 60, "test": 60}
    assert [tag.value for tag in data.tags] == ["train"]
    assert [epoch for epoch, _ in run.history("train/loss")] == [1, 2]


def test_rank_1_logs_nothing(store, monkeypatch):
    logger = RunLogger()
    logger.run_id = tracking.create_run("e", "a run", {})

    def log_everything():
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"p": 1})
        logger.log_json({}, "card.json")
        logger.log_figure(plt.figure(), "figure")

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log_everything()
    run = tracking.get_run(logger.run_id)
    assert (run.metrics, run.params) == ({}, {})
    assert tracking.client().list_artifacts(run.id) == []
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    log_everything()
    run = tracking.get_run(logger.run_id)
    assert (run.metrics, run.params) == ({"a": 1.0}, {"p": "1"})
    assert {file.path for file in tracking.client().list_artifacts(run.id)} == {"card.json", "figures", "vector"}


def test_tags_are_one_write_and_a_file_of_a_known_run_is_found_without_a_query(store, monkeypatch):
    run_id = tracking.create_run("e", "a run", {})
    tracking.log_text(run_id, "{}", "card.json")
    calls = []
    for name in ("log_batch", "set_tag"):
        one = getattr(tracking.client(), name)
        monkeypatch.setattr(
            tracking.client(), name, lambda *args, f=one, **kwargs: calls.append(f) or f(*args, **kwargs)
        )
    tracking.set_tags(run_id, {"a": "1", "b": "2"})
    assert len(calls) == 1
    run = tracking.get_run(run_id)
    assert (run.tags["a"], run.tags["b"]) == ("1", "2")
    monkeypatch.setattr(tracking.client(), "get_run", None)
    assert (run.artifact("card.json").read_text(), run.artifact("another.json")) == ("{}", None)


def test_logger_without_a_run_is_quiet():
    logger = RunLogger()
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_hyperparams({"p": 1})
    assert logger.version is None


def test_metrics_of_an_epoch_carry_its_number_from_1(store):
    logger = RunLogger()
    logger.run_id = tracking.create_run("e", "a run", {})
    for epoch in range(3):
        logger.log_metrics({"a": 10.0 * epoch, "epoch": float(epoch)}, step=77 * epoch)
    run = tracking.get_run(logger.run_id)
    assert run.history("a") == [(1, 0.0), (2, 10.0), (3, 20.0)]
    assert "epoch" not in run.metrics


def test_values_of_epochs_are_written_together_once_a_second_and_never_lost(store, monkeypatch):
    logger, writes = RunLogger(), []
    logger.run_id = tracking.create_run("e", "a run", {})
    write, now = tracking.write_all_metrics, iter(range(1000))
    monkeypatch.setattr(tracking, "write_all_metrics", lambda *args: writes.append(args[1]) or write(*args))
    monkeypatch.setattr("time.monotonic", lambda: 0.25 * next(now))  # in s; each write looks at the clock twice
    for epoch in range(9):
        logger.log_metrics({"val/loss": 1.0 + epoch, "epoch": epoch}, 10 * epoch)
        logger.log_metrics({"train/loss": 2.0 + epoch, "epoch": epoch}, 10 * epoch)
    logger.write_held()
    assert 2 < len(writes) < 9
    for value in (6.0, 5.0):  # two validations in one epoch, after which the training is stopped
        logger.log_metrics({"val/loss": value, "epoch": 9}, 90)
        time.sleep(0.002)  # MLflow takes the later of two values of one step, by ms
    for _ in range(2):
        logger.finalize("failed")
    run = tracking.get_run(logger.run_id)
    assert run.history("val/loss") == [(1 + e, 1.0 + e) for e in range(9)] + [(10, 5.0)]
    assert run.history("train/loss") == [(1 + e, 2.0 + e) for e in range(9)]
    logger.log_metrics({"test/mse": 0.5, "epoch": 9}, 90)
    assert tracking.get_run(logger.run_id).metrics["test/mse"] == 0.5  # scores do not wait


# -- what is read back ---------------------------------------------------------------------------------------------


def child(parent, model, seed, status="FINISHED", **tags):
    all_tags = {"kind": "run", "study": "s", "profile": "quick", "model": model, "seed": str(seed), **tags}
    run_id = tracking.create_run("s", f"{model} {seed}", all_tags, parent)
    if status != "RUNNING":
        tracking.end_run(run_id, status)
    return run_id


def test_study_runs_are_the_newest_finished_ones_of_the_newest_parent(store):
    parents = []
    for _ in range(2):
        parents.append(tracking.create_run("s", "s quick", {"kind": "study", "profile": "quick"}))
        time.sleep(0.005)  # MLflow's clock ticks in milliseconds
    other_profile = tracking.create_run("s", "s full", {"kind": "study", "profile": "full"})
    child(parents[0], "AE", 0)
    child(other_profile, "AE", 0)
    child(parents[1], "AE", 1)
    time.sleep(0.005)
    kept = child(parents[1], "AE", 1)
    also = child(parents[1], "AE", 0)
    child(parents[1], "AE", 2, kind="stale")
    for status in ("FAILED", "KILLED", "RUNNING"):
        time.sleep(0.005)
        child(parents[1], "AE", 0, status)
    runs = tracking.study_runs("s", "quick")
    assert [run.id for run in runs] == [also, kept]
    assert [(run.model, run.seed, run.status) for run in runs] == [("AE", 0, "FINISHED"), ("AE", 1, "FINISHED")]
    assert tracking.study_runs("s", "none") == []
    assert tracking.study_runs("no such study", "quick") == []
    assert len(tracking.children("s", parents[1])) == 7


def test_search_reads_more_than_one_page(store, monkeypatch):
    for number in range(7):
        tracking.create_run("many", f"run {number}", {"number": str(number)})
    client, pages = tracking.client(), []
    search_runs = client.search_runs

    def two_at_a_time(*args, **kwargs):
        pages.append(search_runs(*args, **kwargs, max_results=2))
        return pages[-1]

    monkeypatch.setattr(client, "search_runs", two_at_a_time)
    monkeypatch.setattr(sqlite_reads, "can_be_read", lambda: False)  # as of a server
    assert {run.tags["number"] for run in tracking.search("many")} == set("0123456")
    assert len(pages) == 4
    assert [run.tags["number"] for run in tracking.search("many", number="5")] == ["5"]


def test_an_sqlite_file_gives_what_mlflow_gives(store, monkeypatch):
    parent = tracking.create_run("both", "parent", {"kind": "study", "profile": "quick"})
    for seed, value in enumerate([0.1, math.nan, math.inf, -2.0]):
        child = tracking.create_run("both", "child", {"kind": "run", "model": "A's", "seed": str(seed)}, parent)
        tracking.log_metrics(child, {"test/mse": 7.0}, 1)
        tracking.log_metrics(child, {"test/mse": value, "val/loss": 3.0}, 2)
        tracking.log_params(child, {"model.beta": seed, "data": "digits"})
        tracking.end_run(child, "FINISHED" if seed else "FAILED")
    tracking.client().delete_run(child)
    tracking.create_run("other", "child", {"kind": "run", "model": "A's"})

    def read():
        asked = ({}, {"kind": "run"}, {"kind": "run", "model": "A's"}, {"seed": "1"}, {"kind": "none"})
        found = [tracking.search("both", **tags) for tags in asked]
        return [*found, tracking.children("both", parent), [tracking.study_parent("both", "quick")]]

    direct = read()
    assert [len(runs) for runs in direct] == [4, 3, 3, 1, 0, 3, 1]
    monkeypatch.setattr(sqlite_reads, "can_be_read", lambda: False)
    by_mlflow = read()
    assert list(map(repr, map(in_order, direct))) == list(map(repr, map(in_order, by_mlflow)))  # NaN is not NaN


def in_order(runs):
    """Each run as its fields, the entries of its mappings sorted."""
    return [
        {key: sorted(value.items()) if isinstance(value, dict) else value for key, value in vars(run).items()}
        for run in runs
    ]


def test_key_made_of_a_label_is_taken_by_mlflow(store):
    key = tracking.valid_key("paired/test/mse/Sparse (KL), β = 4-Deep AE, longer/p")
    assert key == "paired/test/mse/Sparse KL β  4-Deep AE longer/p"
    run_id = tracking.create_run("keys", "a run", {})
    tracking.log_metrics(run_id, {key: 0.5})
    assert tracking.get_run(run_id).metrics == {key: 0.5}


def test_names_that_mlflow_refuses_are_changed_and_told_once(store, capsys):
    logger = RunLogger()
    logger.run_id = tracking.create_run("keys", "a run", {})
    logger.log_hyperparams({"data.map.cat(1)": 1, "x//y": 2})
    for step in (1, 2):
        logger.log_metrics({"train/acc@1": step, "../" + 300 * "k": step}, step)
    logger.finalize("success")
    run = tracking.get_run(logger.run_id)
    assert run.params == {"data.map.cat1": "1", "x/y": "2"}
    assert run.metrics == {"train/acc1": 2.0, 250 * "k": 2.0}
    assert capsys.readouterr().err.count("'train/acc@1': it is logged as 'train/acc1'") == 1
    with pytest.raises(SettingError, match="'a@1' and 'a1' would both be called 'a1' in MLflow"):
        logger.log_metrics({"a@1": 1.0, "a1": 2.0})


def test_a_deleted_experiment_is_told_with_its_remedy(store):
    found = tracking.experiment_id("gone")
    tracking.client().delete_experiment(found)
    with pytest.raises(SettingError, match=rf"'gone' has been deleted: .*--experiment-id {found}`.*`mlflow gc`"):
        tracking.create_run("gone", "run", {})


def test_a_deleted_run_is_told_with_its_remedy(store, monkeypatch):
    run_id = tracking.create_run("e", "r", {})
    tracking.client().delete_run(run_id)
    for direct in (True, False):
        monkeypatch.setattr(sqlite_reads, "can_be_read", lambda direct=direct: direct)
        with pytest.raises(SettingError, match=f"{run_id} has been deleted: .*mlflow runs restore --run-id {run_id}"):
            tracking.get_run(run_id)


def test_infinite_values_are_read_as_they_were_logged(store, monkeypatch):
    run_id = tracking.create_run("e", "r", {})
    tracking.log_metrics(run_id, {"a": math.inf, "b": -math.inf, "c": 1e308})
    for direct in (True, False):
        monkeypatch.setattr(sqlite_reads, "can_be_read", lambda direct=direct: direct)
        run = tracking.get_run(run_id)
        assert run.metrics == {"a": math.inf, "b": -math.inf, "c": 1e308}
        assert run.history("b") == [(0, -math.inf)]


def test_runs_of_other_tools_are_read_and_left_alone(store):
    ids = [tracking.create_run("e", "r", {"owner": owner, "seed": "None"}) for owner in ("alice", "3", "{}")]
    tracking.end_abandoned("e")
    for run_id in ids:
        run = tracking.get_run(run_id)
        assert (run.status, run.seed) == ("RUNNING", -1)
        assert not tracking.is_alive(run.tags)
