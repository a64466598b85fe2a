"""Who does a run: engines and their order, runs that go on elsewhere, runs one by one, what a study's runs share."""

import dataclasses
import json
import shlex
import sys
import types
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback

from lit_ae import tracking
from lit_ae.console import output
from lit_ae.errors import SettingError
from lit_ae.studies import attempt, parent, runner
from lit_ae.studies.executors.ray import RayExecutor
from lit_ae.studies.jobs import Job
from lit_ae.studies.load import load_study
from lit_ae.studies.order import Durations, next_job
from lit_ae.studies.plan import reconcile
from lit_ae.studies.progress import Bar
from lit_ae.studies.run_job import JobSpec
from lit_ae.studies.spec import Comparison
from lit_ae.studies.status import run_states
from lit_ae.tracking import owner

ARGS = ["--data.limit=40", "--trainer.max_epochs=3", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
STOPS = f"--trainer.callbacks+={__name__}.StopsOnce"


class StopsOnce(Callback):
    """Ends the training in its second epoch as Ctrl-C does, unless the file `stopped` exists."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1 and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt


def write_study(models, seeds=(0, 1), scores=("Evaluation",)):
    """small.yaml in the current folder, loaded."""
    callbacks = [{"class_path": name} for name in scores]
    Path("callbacks.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    Path("small.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "small",
                "title": "A small study",
                "question": "Does it run?",
                "scores": [str(Path("callbacks.yaml").resolve())],
                "profiles": {"quick": {"data": "digits", "seeds": list(seeds), "args": ARGS}},
                "models": models,
                "columns": [{"metric": "test/mse", "label": "MSE", "format": ".6f"}],
            },
            sort_keys=False,
        )
    )
    study = load_study(Path("small.yaml"))
    return study, study.profile("quick")


def made_run(job, parent_id, status="RUNNING", **tags):
    """A run of a job that nothing has been done for."""
    own = {"kind": "run", "model": job.model, "seed": str(job.seed), "fit_hash": job.fit_hash, "study": "small"}
    run_id = tracking.create_run("small", "made", {**own, "config_hash": job.config_hash, **tags}, parent_id)
    if status != "RUNNING":
        tracking.end_run(run_id, status)
    return run_id


def elsewhere(age=0.0):
    """The tags of a run whose owner is on another machine and last gave a sign of life that many seconds ago."""
    tags = owner.owner_tags()
    other = {**json.loads(tags["owner"]), "host": "far-away"}
    return {"owner": json.dumps(other), "heartbeat": f"{float(tags['heartbeat']) - age:.0f}"}


# -- the order -----------------------------------------------------------------------------------------------------


def job(model, seed):
    return Job(model, seed, "digits", (), "fit", "settings", "config")


def order(seconds, workers):
    """Labels and seeds in the order in which they begin, when each begins as soon as the one before has begun."""
    todo = [(job(model, seed), taken) for seed in (0, 1) for model, taken in seconds.items()]
    begun = []
    while todo:
        _, found = next_job({0: todo}, sum(taken for _, taken in todo), workers)
        todo = [pair for pair in todo if pair[0] is not found]
        begun.append(f"{found.model}{found.seed}")
    return begun


def test_longest_job_of_the_first_seed_begins_first():
    assert order({"A": 10, "B": 30, "C": 20}, 1) == ["B0", "C0", "A0", "B1", "C1", "A1"]
    assert order({"A": 10, "B": 10, "C": 10}, 1) == ["A0", "B0", "C0", "A1", "B1", "C1"]


def test_a_job_that_would_run_alone_at_the_end_begins_at_once():
    assert order({"A": 1, "long": 100, "C": 1}, 2)[:2] == ["long0", "long1"]
    assert order({"A": 10, "B": 12, "C": 10}, 2)[:3] == ["B0", "A0", "C0"], "no job is that long: seed by seed"


def test_an_earlier_study_is_first_unless_a_later_one_would_hold_up_the_end():
    first, long = [(job("A", 0), 10.0), (job("B", 0), 10.0)], [(job("long", 0), 100.0)]
    assert next_job({0: first, 1: long}, 120, 2) == (1, long[0][0])
    assert next_job({0: first, 1: long}, 120, 1) == (0, first[0][0])
    assert next_job({0: first, 1: []}, 20, 2) == (0, first[0][0])
    assert next_job({0: [], 1: []}, 0, 2) is None


def test_what_a_row_is_expected_to_take():
    durations = Durations({"A": 1.0, "B": 3.0})
    assert [durations.expected(row) for row in "AB"] == [60, 180]
    durations.add("A", 10)
    durations.add("A", 20)
    assert [durations.expected(row) for row in "AB"] == [15, 45]
    durations.add("B", 7)
    assert durations.expected("B") == 7
    other = Durations({"C": 2.0}, of_cost_1=durations.of_cost_1)  # of another study in the same command
    assert other.expected("C") == pytest.approx(2 * (10 + 20 + 7 / 3) / 3)
    other.add("C", 8)
    assert other.expected("C") == 8


# -- the engines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--address", "auto"], "add --engine ray"),
        (["--gpus-per-run", "0.5"], "add --engine ray"),
        (["--engine", "ray", "--cpus-per-run", "0"], "more than 0 cores"),
        (["--engine", "ray", "--workers", "0"], "--workers is 0"),
        (["--engine", "ray"], "pip install 'lit_ae[ray]'"),
    ],
)
def test_engine_options_that_cannot_work(store, lit_ae, capsys, monkeypatch, options, said):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    write_study({"AE": {"config": "ae"}})
    assert lit_ae("study", "run", "small.yaml", *options) == 2
    assert said in capsys.readouterr().err


def test_ray_on_several_nodes_needs_a_server(store, monkeypatch):
    nodes = [{"Alive": True}, {"Alive": True}, {"Alive": False}]
    found = {"CPU": 4.0, "GPU": 1.0}
    remote = lambda **options: lambda function: options  # noqa: E731
    ray = types.SimpleNamespace(nodes=lambda: nodes, cluster_resources=lambda: found, remote=remote)
    monkeypatch.setitem(sys.modules, "ray", ray)
    executor = RayExecutor("auto", 1, 0.25)
    assert (executor.size, executor.threads) == (4, 1)
    with pytest.raises(SettingError, match=r"2 nodes.*mlflow server .*MLFLOW_TRACKING_URI=http") as refused:
        executor.start(4)
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingError, match="no room for a run with 8 cores"):
        RayExecutor("auto", 8).start(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    executor.start(4)
    assert executor._task["num_gpus"] == 0.25
    assert executor._task["max_retries"] > 0
    assert RayExecutor("auto", 1, size=3).size == 3


# -- who is working on a run ---------------------------------------------------------------------------------------


def test_owner_of_this_machine_is_asked_by_its_process_and_another_by_its_heartbeat(monkeypatch):
    own = owner.owner_tags()
    assert owner.is_alive({**own, "heartbeat": "0"}), "the process is there, whatever its last sign of life"
    content = json.loads(own["owner"])
    for changed in ({"pid": 2**22 + 1}, {"started": "1"}, {"pid": 1}):  # gone, its number used again
        assert not owner.is_alive({**own, "owner": json.dumps({**content, **changed})})
    host, _, start = content["host"].rpartition(" ")  # of a copy of this machine, which has been started by itself
    if (known := Path("/proc/sys/kernel/random/boot_id")).exists():
        assert start == known.read_text().strip()
    copy = {**content, "host": f"{host} 1f0c", "pid": 2**22 + 1}
    assert owner.is_alive({**own, "owner": json.dumps(copy)})
    assert owner.is_alive(elsewhere(age=owner.STALE - 60))
    assert not owner.is_alive(elsewhere(age=owner.STALE + 60))
    assert not owner.is_alive({})


def test_signs_of_life_are_written_and_end(store, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT", 0.05)
    run_id = tracking.create_run("small", "made", {})
    beats = []
    write = owner.set_tags
    monkeypatch.setattr(owner, "set_tags", lambda run, tags: (beats.append(tags), write(run, tags)))
    with tracking.owned(run_id):
        while len(beats) < 3:
            pass
        assert tracking.is_own(tracking.get_run(run_id).tags)
    n = len(beats)
    assert {frozenset(tags) for tags in beats[1:]} == {frozenset({"heartbeat"})}
    import time

    time.sleep(0.2)
    assert len(beats) == n


def test_a_run_that_is_alive_elsewhere_is_left_to_its_process(store):
    study, profile = write_study({"AE": {"config": "ae"}, "SAE": {"config": "sae"}}, seeds=[0])
    ae, sae = reconcile(study, profile, parent.open_parent(study, profile)).todo
    parent_id = tracking.study_parent("small", "quick").id
    alive, dead, old = (
        made_run(ae, parent_id, **elsewhere()),
        made_run(sae, parent_id, **elsewhere(age=owner.STALE + 60)),
        made_run(dataclasses.replace(ae, config_hash="other"), parent_id, **elsewhere()),
    )
    plan = reconcile(study, profile, parent_id)
    assert plan.elsewhere == {alive: ae}
    assert plan.todo == [sae]
    status = {run_id: tracking.get_run(run_id).status for run_id in (alive, dead, old)}
    assert status == {alive: "RUNNING", dead: "KILLED", old: "RUNNING"}


@pytest.mark.parametrize("stops_at", [1, 2])
def test_old_scores_never_count_as_those_of_new_settings(store, monkeypatch, stops_at):
    """Wherever the process that begins to score a run anew is stopped."""
    study, profile = write_study({"AE": {"config": "ae"}}, seeds=[0])
    parent_id = parent.open_parent(study, profile)
    (ae,) = reconcile(study, profile, parent_id).todo
    run_id = made_run(dataclasses.replace(ae, config_hash="earlier"), parent_id, "FINISHED", trained="true")
    tracking.log_text(run_id, "weights", "checkpoints/last.ckpt")
    monkeypatch.setattr(tracking, "is_whole", Path.is_file)
    plan = reconcile(study, profile, parent_id)
    assert (plan.todo, list(plan.trained.values())) == ([ae], [run_id])
    writes = []

    def stopped(write):
        def call(*args):
            writes.append(write)
            if len(writes) == stops_at:
                raise KeyboardInterrupt
            write(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("set_tags", "reopen"):
            patch.setattr(tracking, name, stopped(getattr(tracking, name)))
        with pytest.raises(KeyboardInterrupt):
            attempt.begin(study, profile, plan, ae, parent_id, "32-true", 1)
    assert reconcile(study, profile, parent_id).todo == [ae]


def test_a_run_whose_process_is_gone_is_not_called_running(store):
    study, profile = write_study({"AE": {"config": "ae"}, "SAE": {"config": "sae"}}, seeds=[0])
    parent_id = parent.open_parent(study, profile)
    ae, sae = reconcile(study, profile, parent_id).todo
    made_run(ae, parent_id, **elsewhere())
    made_run(sae, parent_id, **elsewhere(age=owner.STALE + 60))
    assert {state["model"]: state["status"] for state in run_states(study, profile)} == {
        "AE": "RUNNING",
        "SAE": "KILLED",
    }


class NoBar:
    """Takes note of what would be printed."""

    def __init__(self):
        self.said = []

    def tell(self, study, job, outcome, seconds=0):
        self.said.append((job.model, outcome))


def test_runs_of_other_processes_are_collected_or_done_again(store):
    study, profile = write_study(
        {"AE": {"config": "ae"}, "SAE": {"config": "sae"}, "VAE": {"config": "vae"}}, seeds=[0]
    )
    parent_id = parent.open_parent(study, profile)
    ae, sae, vae = reconcile(study, profile, parent_id).todo
    runs = [made_run(each, parent_id, **elsewhere()) for each in (ae, sae, vae)]
    plan = reconcile(study, profile, parent_id)
    assert not plan.todo
    tracking.end_run(runs[0], "FINISHED")
    tracking.set_tags(runs[1], elsewhere(age=owner.STALE + 60))
    bar, one = NoBar(), types.SimpleNamespace(study=study, plan=plan)
    runner._look_elsewhere([one], bar)
    assert bar.said == [("AE", "done by another process")]
    assert plan.trained["AE", 0, ae.fit_hash] == runs[0]
    assert plan.todo == [sae]
    assert tracking.get_run(runs[1]).status == "KILLED"
    assert list(plan.elsewhere) == [runs[2]]


def test_time_left_counts_what_the_other_workers_have_done_so_far(monkeypatch, capsys):
    """Four jobs of 40 s on two workers: when the first has ended, and the second has run for 38 s."""
    clock = [0.0]
    monkeypatch.setattr(output(), "get_time", lambda: clock[0])
    study, job = types.SimpleNamespace(name="s"), types.SimpleNamespace(model="AE", seed=0)
    with Bar(types.SimpleNamespace(size=2, threads=1), 4, worked=lambda: 38.0, left=lambda: 82.0) as bar:
        clock[0] = 40.0
        bar.tell(study, job, "done", seconds=40)
    assert "s: AE, seed 0: done; about 43 s left" in capsys.readouterr().out


def test_a_study_that_is_run_on_another_machine_is_refused(store, monkeypatch):
    study, profile = write_study({"AE": {"config": "ae"}})
    with parent.lease(study, profile) as parent_id:
        assert tracking.is_own(tracking.get_run(parent_id).tags)
    tracking.set_tags(parent_id, elsewhere())
    with (
        pytest.raises(SettingError, match=r"is being run by process \d+ on far-away: wait"),
        parent.lease(study, profile),
    ):
        pass
    tracking.set_tags(parent_id, elsewhere(age=owner.STALE + 60))
    with parent.lease(study, profile):
        pass


def test_of_two_claims_at_the_same_moment_the_last_one_counts(store, monkeypatch):
    study, profile = write_study({"AE": {"config": "ae"}})
    monkeypatch.setattr(parent.tracking, "store_uri", lambda: "http://server")  # where no file is locked

    def other_claims(seconds):
        tracking.set_tags(tracking.study_parent("small", "quick").id, elsewhere())

    monkeypatch.setattr(parent.time, "sleep", other_claims)
    with pytest.raises(SettingError, match="far-away"), parent.lease(study, profile):
        pass


# -- runs as plain data, one by one ------------------------------------------------------------------------------


def test_what_a_process_is_told_is_plain_data_without_paths_of_the_driver(store):
    study, profile = write_study({"AE": {"config": "ae"}})
    parent_id = parent.open_parent(study, profile)
    plan = reconcile(study, profile, parent_id)
    spec = attempt.begin(study, profile, plan, plan.todo[0], parent_id, "32-true", 1)
    told = json.loads(json.dumps(dataclasses.asdict(spec)))
    configs = tuple((name, text) for name, text in told.pop("configs"))
    assert JobSpec(**{**told, "configs": configs, "args": tuple(told["args"])}) == spec
    assert [name for name, _ in configs] == ["precision.yaml", "ae.yaml", "digits.yaml", "callbacks.yaml"]
    assert not [arg for arg in spec.args if str(Path.cwd()) in arg]


def test_jobs_as_commands(store, lit_ae, capsys):
    rows = {
        "A B": {"config": "ae"},
        "C": {"config": "classifier", "start": "A B"},
        "long": {"config": "sae", "cost": 9},
    }
    write_study(rows)
    assert lit_ae("study", "jobs", "small.yaml") == 0
    told = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert all(words[:6] == ["lit-ae", "study", "job", "small.yaml", "--profile", "quick"] for words in told)
    assert [(words[7], words[9]) for words in told] == [
        *(("long", "0"), ("A B", "0"), ("long", "1"), ("A B", "1"), ("C", "0"), ("C", "1")),
    ]
    assert lit_ae("study", "jobs", "small.yaml", "--format", "slurm") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    (start,) = [line.partition("=")[0] for line in lines if "'A B' --seed 1" in line.replace("'\"'\"'", "'")]
    (after,) = [line for line in lines if "--dependency" in line and "--seed 1" in line]
    assert f"--dependency=afterok:${start} " in after
    assert "--model C" in after
    assert lines.index(after) > [line.partition("=")[0] for line in lines].index(start)


def test_a_chain_of_starts_stands_in_its_order(store, lit_ae, capsys):
    """However long each run takes."""
    rows = {"A": {"config": "vae"}, "B": {"config": "iwae", "start": "A"}, "C": {"config": "iwae", "start": "B"}}
    rows["C"]["cost"] = 9
    write_study(rows, seeds=[0])
    assert lit_ae("study", "jobs", "small.yaml", "--format", "slurm") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("--dependency=afterok:")[2].partition(" ")[0] for line in lines] == ["", "$run0", "$run1"]


def test_more_comparisons_than_a_tag_holds_are_left_to_the_report(store):
    study, profile = write_study({"A": {"config": "ae"}, "B": {"config": "vae"}})
    few = [Comparison("test/mse", "A", "B")] * 3
    run = parent.open_parent(dataclasses.replace(study, comparisons=few), profile)
    assert len(json.loads(tracking.get_run(run).tags["comparisons"])) == 3
    many = dataclasses.replace(study, comparisons=few * 100)
    assert tracking.get_run(parent.open_parent(many, profile)).tags["comparisons"] == "[]"


def test_runs_that_have_ended_keep_their_status_when_a_command_is_stopped(store):
    """Ctrl-C while a report is written: a run of the next study may have ended since."""
    study, profile = write_study({"A": {"config": "ae"}, "B": {"config": "vae"}}, seeds=[0])

    class Engine:
        several_machines, size, threads = False, 2, 1

        def start(self, jobs):
            self.futures = []

        def submit(self, spec):
            future = Future()
            self.futures.append(future)
            if len(self.futures) == 1:
                tracking.end_run(spec.run_id, "FINISHED")
                future.set_result("")
            return future

        def outcome(self, future):
            raise KeyboardInterrupt

        def cancel(self, futures):
            self.cancelled = list(futures)

    engine = Engine()
    with pytest.raises(KeyboardInterrupt):
        list(runner.run_studies([(study, profile)], engine))
    assert engine.cancelled == engine.futures[1:]
    assert sorted(run.status for run in tracking.search("small", kind="run")) == ["FINISHED", "KILLED"]


def test_runs_done_one_by_one_are_those_of_the_study(store, lit_ae, capsys):
    """One that is stopped goes on from its checkpoint, and ends where one that was not stopped ends."""
    write_study({"AE": {"config": "ae"}, "stops": {"config": "ae", "args": [STOPS]}}, seeds=[0])
    one = ("study", "job", "small.yaml", "--seed", "0", "--model")
    assert lit_ae(*one, "stops") == 1
    (stopped,) = tracking.children("small", tracking.study_parent("small", "quick").id)
    assert stopped.status == "KILLED"
    assert lit_ae(*one, "stops") == 0
    assert lit_ae(*one, "AE") == 0
    capsys.readouterr()
    assert lit_ae(*one, "AE") == 0
    assert "AE, seed 0: is done already" in capsys.readouterr().out
    runs = {run.model: run for run in tracking.study_runs("small", "quick")}
    assert runs["stops"].id == stopped.id
    assert runs["stops"].metrics["test/mse"] == runs["AE"].metrics["test/mse"]
    assert runs["stops"].history("train/loss") == runs["AE"].history("train/loss")
    assert len(runs["AE"].history("train/loss")) == 3
    assert tracking.study_parent("small", "quick").status == "FINISHED"
    assert lit_ae("report", "small.yaml", "--reports", "reports") == 0
    assert lit_ae("study", "run", "small.yaml", "--reports", "reports") == 0
    assert "2 of 2 runs are done, 0 to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "AEE", "--seed", "0"], "no row 'AEE': did you mean 'AE'"),
        (["--model", "AE", "--seed", "7"], "--seed is 7: row AE of profile quick has the seeds 0, 1"),
        (["--model", "C", "--seed", "0"], "initialised from AE, which has no trained run of seed 0: do that one first"),
    ],
)
def test_single_runs_that_cannot_be_done(store, lit_ae, capsys, options, said):
    write_study({"AE": {"config": "ae"}, "C": {"config": "classifier", "start": "AE"}})
    assert lit_ae("study", "job", "small.yaml", *options) == 2
    assert said in capsys.readouterr().err.replace(" - ", ": ")


# -- what the runs of a study share ------------------------------------------------------------------------------


def test_a_file_is_made_by_one_run_of_a_study_and_used_by_all(store, tmp_path):
    parent_id = tracking.create_run("small", "parent", {})
    a, b = (tracking.create_run("small", name, {}, parent_id) for name in "ab")
    alone = tracking.create_run("small", "alone", {})

    def making(text):
        def make():
            path = tmp_path / text / "classifier.pt"
            path.parent.mkdir()
            path.write_text(text)
            return path

        return make

    def fails():
        raise SettingError("no labels")

    with pytest.raises(SettingError, match="no labels"):
        tracking.shared_with_study(a, "classifier.pt", fails)
    tracking.set_tags(a, owner.owner_tags())
    made = tracking.shared_with_study(b, "classifier.pt", making("of b"))
    assert made.read_text() == "of b", "it does not wait for a run that could not make it"
    again = tracking.shared_with_study(a, "classifier.pt", lambda: pytest.fail("it is there"))
    assert again.read_text() == "of b"
    assert tracking.shared_with_study(alone, "classifier.pt", making("alone")).read_text() == "alone"


def test_a_run_waits_for_the_one_that_makes_the_file_unless_it_has_died(store, tmp_path, monkeypatch):
    from lit_ae.tracking import shared

    parent_id = tracking.create_run("small", "parent", {"shared.x": "?"})
    a, b = (tracking.create_run("small", name, elsewhere(), parent_id) for name in "ab")
    tracking.set_tags(parent_id, {"shared.x": a})
    (tmp_path / "x").write_text("of b")
    waits = []

    def a_dies(seconds):
        waits.append(seconds)
        tracking.end_run(a, "KILLED")

    monkeypatch.setattr(shared.time, "sleep", a_dies)
    assert tracking.shared_with_study(b, "x", lambda: tmp_path / "x").read_text() == "of b"
    assert len(waits) == 1
