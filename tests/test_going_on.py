"""`fit --resume`, `fit --run_id` and `--ckpt_path last|best`: which run goes on, from where, and what it then tells."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback

import lit_ae as library
from lit_ae import tracking
from lit_ae.training.choice_of_run import Wanted

KILLED_IN_3 = f"--trainer.callbacks+={__name__}.Interrupted"


class Interrupted(Callback):
    """What Ctrl-C does, in the third epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


def the_runs():
    """By their start, the newest last."""
    return tracking.search("lit_ae")[::-1]


def weights(run):
    return library.load(run.id).state_dict()


def test_resumed_training_ends_as_an_uninterrupted_one_and_tells_of_the_whole(store, lit_ae, settings, tmp_path):
    fit = ("fit", *settings("vae"), "--trainer.max_epochs=4")
    assert lit_ae(*fit) == 0
    assert lit_ae(*fit, KILLED_IN_3) == 130
    assert lit_ae(*fit, "--resume=true") == 0
    whole, resumed = the_runs()
    assert resumed.status == "FINISHED"
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    for key in ("train/loss", "val/loss"):
        assert resumed.history(key) == whole.history(key)
        assert len(resumed.history(key)) == 4
    # nothing is unfinished any more, so that a further --resume starts a new run
    assert lit_ae(*fit, "--resume=true") == 0
    assert len(the_runs()) == 3


def test_values_of_the_epoch_in_which_a_training_failed_are_logged_once(store, lit_ae, settings, monkeypatch):
    """The validation of the second epoch is logged when its checkpoint cannot be written, and comes again."""
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=3", "--resume=true")
    saved = []

    def fsync(descriptor):
        saved.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if ".ckpt" in saved[-1] and sum(".ckpt" in path for path in saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("lit_ae.settings.whole_files.os.fsync", fsync)
        assert lit_ae(*fit) == 2
    assert lit_ae(*fit) == 0
    (run,) = the_runs()
    raw = {key: [m.step for m in tracking.client().get_metric_history(run.id, key)] for key in run.metrics}
    assert set(map(tuple, raw.values())) == {(1, 2, 3)}


def test_a_finished_run_goes_on_with_more_epochs_alone(store, lit_ae, settings, capsys, monkeypatch):
    fit = ("fit", *settings("ae"))
    assert lit_ae(*fit, "--trainer.max_epochs=2") == 0
    (run,) = the_runs()
    capsys.readouterr()
    assert lit_ae(*fit, "--trainer.max_epochs=2", "--run_id", run.id) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in (run.id, "after 2 epochs", "--trainer.max_epochs above 2"))
    drawn = {}
    monkeypatch.setattr("lit_ae.plots.curves", lambda series, *args: drawn.update(series))
    monkeypatch.setattr("lit_ae.tracking.logger.RunLogger.log_figure", lambda *args: None)
    assert lit_ae(*fit, "--trainer.max_epochs=3", "--run_id", run.id) == 0
    (again,) = the_runs()
    assert (again.id, again.status, len(again.history("val/loss"))) == (run.id, "FINISHED", 3)
    assert [epoch for epoch, _ in drawn["train/loss"]] == [1, 2, 3]
    assert again.params["trainer.max_epochs"] == "2"
    assert again.params["trainer.max_epochs/from_epoch_2"] == "3"
    stored = {
        name: yaml.safe_load(again.artifact(f"{name}.yaml").read_text()) for name in ("config", "config_until_epoch_2")
    }
    assert [stored[name]["trainer"]["max_epochs"] for name in stored] == [3, 2]


def test_settings_that_change_no_weight_find_the_run(store, lit_ae, settings, capsys):
    assert lit_ae("fit", *settings("vae")) == 0
    assert lit_ae("test", *settings("vae"), "--data.eval_batch_size=17", "--data.num_workers=1") == 0
    (run,) = the_runs()
    assert "test/mse" in run.metrics
    assert lit_ae("test", *settings("vae"), "--data.batch_size=17") == 2
    assert "no run in this store was trained with these settings" in capsys.readouterr().err


@pytest.mark.slow
def test_named_checkpoints(store, lit_ae, settings, tmp_path, capsys):
    plain = settings("ae")
    assert lit_ae("fit", *plain) == 0
    assert lit_ae("test", *plain, "--ckpt_path=last") == 0
    capsys.readouterr()
    assert lit_ae("test", *plain, "--ckpt_path=best") == 2
    assert "watched no value" in capsys.readouterr().err
    best = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "val/loss", "filename": "best"},
    }
    (tmp_path / "best.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [best]}}))
    watched = ("--config", tmp_path / "best.yaml", *settings("ae", seed=1))
    assert lit_ae("fit", *watched) == 0
    assert lit_ae("test", *watched, "--ckpt_path=best") == 0
    run = the_runs()[-1]
    assert run.tags["checkpoint"] == "best.ckpt"
    assert "test/mse" in run.metrics


def test_test_takes_the_newest_finished_run_that_has_a_checkpoint(store, lit_ae, settings, capsys):
    def scored():
        assert lit_ae("test", *settings("ae")) == 0
        found = [run.id for run in the_runs() if "test/mse" in run.metrics]
        return found

    assert lit_ae("fit", *settings("ae"), "--trainer.max_epochs=3", KILLED_IN_3) == 130
    assert lit_ae("fit", *settings("ae"), "--trainer.max_epochs=3", KILLED_IN_3) == 130
    older, newer = the_runs()
    shutil.rmtree(newer.artifact("checkpoints"))
    assert scored() == [older.id]
    assert lit_ae("fit", *settings("ae")) == 0
    assert lit_ae("fit", *settings("ae"), "--trainer.max_epochs=3", KILLED_IN_3) == 130
    assert scored() == [older.id, the_runs()[2].id]
    for run in the_runs():
        shutil.rmtree(run.artifact("checkpoints"), ignore_errors=True)
    capsys.readouterr()
    assert lit_ae("test", *settings("ae")) == 2
    assert "has no checkpoint" in capsys.readouterr().err


class InterruptedTest(Callback):
    """What Ctrl-C does, in a test."""

    def on_test_start(self, trainer, pl_module):
        raise KeyboardInterrupt


def test_a_test_leaves_the_status_that_the_training_has(store, lit_ae, settings):
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae(*fit, KILLED_IN_3) == 130
    (run,) = the_runs()
    assert lit_ae("test", *settings("ae"), "--trainer.max_epochs=3", "--run_id", run.id) == 0
    assert tracking.get_run(run.id).status == "KILLED"
    assert lit_ae(*fit, "--resume=true") == 0
    (run,) = the_runs()
    assert run.status == "FINISHED"
    interrupted = f"--trainer.callbacks+={__name__}.InterruptedTest"
    assert lit_ae("test", *settings("ae"), "--trainer.max_epochs=3", "--run_id", run.id, interrupted) == 130
    assert tracking.get_run(run.id).status == "FINISHED"


def test_a_training_goes_on_from_checkpoints_of_any_name(store, lit_ae, settings, tmp_path):
    own = tmp_path / "own.yaml"
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    callback["init_args"] = {"save_top_k": -1, "filename": "at{epoch}", "save_on_train_epoch_end": True}
    own.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    fit = ("fit", *settings("ae"), "--config", own, "--trainer.max_epochs=4")
    for on in (lambda run: "--resume=true", lambda run: f"--run_id={run.id}"):
        assert lit_ae(*fit, KILLED_IN_3) == 130
        run = the_runs()[-1]
        assert sorted(path.name for path in run.artifact("checkpoints").iterdir()) == [
            "atepoch=0.ckpt",
            "atepoch=1.ckpt",
        ]
        assert lit_ae(*fit, on(run)) == 0
        assert the_runs()[-1].id == run.id
        assert [m.step for m in tracking.client().get_metric_history(run.id, "train/loss")] == [1, 2, 3, 4]


def test_a_run_whose_process_is_gone_becomes_killed_and_can_go_on(store, lit_ae, settings):
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae(*fit, KILLED_IN_3) == 130
    (left,) = the_runs()
    gone, here = json.loads(left.tags["owner"]), tracking.owner_tags()
    tracking.set_tags(left.id, {"owner": json.dumps({**gone, "started": "1"})})  # as after kill -9
    tracking.reopen(left.id)
    alive = tracking.create_run("lit_ae", "of this process", here)
    assert lit_ae(*fit, "--resume=true") == 0
    assert {run.id: run.status for run in the_runs()} == {left.id: "FINISHED", alive: "RUNNING"}


def test_a_run_that_another_process_trains_is_left_to_it(store, lit_ae, settings, capsys, monkeypatch):
    fit = ("fit", *settings("ae"))
    assert lit_ae(*fit) == 0
    (run,) = the_runs()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", os.getppid)
        tracking.set_tags(run.id, tracking.owner_tags())
    tracking.reopen(run.id)
    (before,) = the_runs()
    checkpoint = before.artifact("checkpoints/last.ckpt")
    written = checkpoint.stat().st_mtime_ns
    for command in (
        ("test", *settings("ae")),
        ("predict", *settings("ae"), f"--run_id={run.id}"),
        ("test", *settings("ae"), f"--ckpt_path={checkpoint}"),
        ("fit", *settings("ae"), f"--run_id={run.id}", "--trainer.max_epochs=2"),
    ):
        capsys.readouterr()
        assert lit_ae(*command) == 2
        assert f"process {os.getppid()} on" in capsys.readouterr().err
        assert the_runs() == [before]
    assert checkpoint.stat().st_mtime_ns == written
    assert lit_ae(*fit) == 0  # a run of its own
    assert lit_ae("test", *settings("ae")) == 0
    first, second = the_runs()
    assert first == before
    assert "test/mse" in second.metrics
    wanted = [
        Wanted(subcommand, "lit_ae", first.tags["config_hash"], {}, None, None, resume)
        for subcommand, resume in (("test", False), ("fit", True))
    ]
    assert [one.find() for one in wanted] == [second.id, None]
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert [one.find() for one in wanted] == [first.id] * 2, "what the first of several processes has taken up"


def table(rows, name="table.csv", kinds="ab"):
    """A table whose first rows are always the same."""
    values = np.random.default_rng(0).random((rows, 4))
    lines = [",".join([*map(str, row), kinds[i % 2]]) for i, row in enumerate(values)]
    Path(name).write_text("\n".join(["p,q,r,s,label", *lines]))


def own_data(*more):
    return ("--data=Array", "--data.path=table.csv", *more)


def test_data_that_have_changed_are_not_taken_for_those_of_the_training(store, lit_ae, settings, capsys):
    """With a row more, samples of the training would be among those of the test."""
    model = [*settings("vae")[:2], "--model.likelihood.output=linear", "--trainer.enable_progress_bar=false"]
    table(40)
    assert lit_ae("fit", *model, *own_data(), "--trainer.max_epochs=1") == 0
    run = the_runs()[0]
    assert lit_ae("test", *model, *own_data(), "--trainer.max_epochs=1") == 0
    tested = the_runs()[0].metrics["test/loss"]
    table(41)
    capsys.readouterr()
    said = f"the data of array have changed since run {run.id} was trained"
    assert lit_ae("test", *model, *own_data(), "--trainer.max_epochs=1") != 0
    assert said in capsys.readouterr().err
    assert the_runs()[0].metrics["test/loss"] == tested
    assert lit_ae("fit", *model, *own_data(), "--trainer.max_epochs=2", f"--run_id={run.id}") != 0
    assert said in capsys.readouterr().err
    assert lit_ae("predict", *model, *own_data(), "--trainer.max_epochs=1") == 2
    assert said in capsys.readouterr().err
    with pytest.raises(library.SettingError, match=said):
        library.load_data(run.id)
    with pytest.raises(library.SettingError, match=r"the data of array have changed since .* was trained"):
        library.load_data(run.checkpoint.parent.parent)
    assert lit_ae("predict", *model, *own_data(), "--split=all", "--trainer.max_epochs=1") == 0


def test_a_run_takes_only_the_data_that_it_was_trained_on(store, lit_ae, settings, capsys):
    """Split otherwise, some samples of the training would be among those of the test."""
    fit = ("fit", *settings("ae"))
    assert lit_ae(*fit) == 0
    (before,) = the_runs()
    named = (*settings("ae"), f"--run_id={before.id}")
    for command in (
        ("test", *named, "--data.split_seed=1"),
        ("validate", *named, "--data.split_seed=1"),
        ("predict", *named, "--data.split_seed=1"),
        ("fit", *named, "--data.split_seed=1", "--trainer.max_epochs=2"),
        ("test", *named, "--data.limit=20"),
    ):
        capsys.readouterr()
        assert lit_ae(*command) == 2
        said = capsys.readouterr().err
        name, value = command[-1 if "--trainer.max_epochs=2" not in command else -2].removeprefix("--").split("=")
        assert f"{name} is {value} and was {before.params[name]}" in said
        assert "train a new run" in said
        assert the_runs() == [before]  # as it was, with its status
    loading = ("--data.batch_size=30", "--data.eval_batch_size=30")
    assert lit_ae("test", *named, *loading, "--trainer.limit_test_batches=1") == 0
    assert lit_ae("fit", *named, *loading, "--trainer.max_epochs=2") == 0
    assert [run.status for run in the_runs()] == ["FINISHED"]


def test_a_conditional_model_is_not_tested_on_other_classes(store, lit_ae, settings, capsys):
    """As many classes fit the weights, and would be taken for those of the training."""
    model = [*settings("conditional_vae")[:2], "--model.likelihood.output=linear", "--trainer.max_epochs=1"]
    table(40)
    assert lit_ae("fit", *model, *own_data()) == 0
    table(40, "other.csv", kinds="bc")
    capsys.readouterr()
    found = lit_ae("test", *model, "--data=Array", "--data.path=other.csv", f"--run_id={the_runs()[0].id}")
    assert found != 0
    assert "was trained on the classes a, b and the data have b, c" in capsys.readouterr().err


# -- what is written to a run ----------------------------------------------------------------------------------------


def best_first(tmp_path):
    """A config that keeps the checkpoint of the highest validation loss, which comes first, beside the last one."""
    path = tmp_path / "first.yaml"
    watched = {"monitor": "val/loss", "mode": "max", "filename": "best"}
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": watched}
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    return ("--config", path)


def test_the_newest_test_gives_a_run_its_values_also_of_an_earlier_epoch(store, lit_ae, settings, tmp_path):
    plain = (*best_first(tmp_path), *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae("fit", *plain) == 0
    assert lit_ae("test", *plain) == 0
    (run,) = the_runs()
    of_best = run.metrics["test/loss"]
    assert lit_ae("test", *plain, "--ckpt_path=last") == 0
    (run,) = the_runs()
    assert run.metrics["test/loss"] != of_best
    assert lit_ae("test", *plain) == 0
    (run,) = the_runs()
    assert run.metrics["test/loss"] == pytest.approx(of_best)


def test_a_checkpoint_of_another_run_is_not_scored_as_this_one(store, lit_ae, settings, tmp_path, capsys):
    assert lit_ae("fit", *settings("ae")) == 0
    assert lit_ae("fit", *settings("ae", seed=1)) == 0
    first, second = the_runs()
    path = f"--ckpt_path={second.checkpoint}"
    capsys.readouterr()
    assert lit_ae("test", *settings("ae"), f"--run_id={first.id}", path) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in (f"is of run {second.id}", f"--run_id is {first.id}", "leave one of them out"))
    assert "test/loss" not in the_runs()[0].metrics
    assert lit_ae("test", *settings("ae", seed=1), path) == 0
    assert "test/loss" in the_runs()[1].metrics


def test_a_checkpoint_of_another_store_is_named(store, lit_ae, settings, tmp_path, capsys, monkeypatch):
    assert lit_ae("fit", *settings("ae")) == 0
    (run,) = the_runs()
    path = run.checkpoint.resolve()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    capsys.readouterr()
    assert lit_ae("test", *settings("ae"), f"--ckpt_path={path}") == 2
    error = capsys.readouterr().err
    assert f"--ckpt_path {path} is of run {run.id}" in error
    assert "--trainer.logger=false" in error
    assert lit_ae("test", *settings("ae"), f"--ckpt_path={path}", "--trainer.logger=false") == 0


def test_other_settings_of_the_model_are_refused(store, lit_ae, settings, capsys):
    fit = (*settings("vae"), "--model.beta=4", "--model.optimizer=Adam", "--model.optimizer.lr=0.01")
    assert lit_ae("fit", *fit) == 0
    (run,) = the_runs()
    named = f"--run_id={run.id}"
    for changed, said in (
        (settings("vae"), "model.beta is 1.0 and was 4.0"),
        ((*fit, "--model.likelihood=Bernoulli"), "model.likelihood is Bernoulli and was Gaussian"),
        (
            (*fit, "--model.encoder=MLPEncoder", "--model.encoder.activation=tanh"),
            "model.encoder.activation is tanh and was relu",
        ),
    ):
        for command in ("test", "validate", "predict"):
            capsys.readouterr()
            assert lit_ae(command, *changed, named) == 2
            assert f"the weights were trained with other settings: {said}" in capsys.readouterr().err
    assert the_runs() == [run]
    assert lit_ae("test", *settings("vae"), "--model.beta=4", named) == 0  # the optimiser is of training alone
    assert lit_ae("fit", *settings("vae"), "--trainer.max_epochs=2", "--model.beta=2", named) == 0
    capsys.readouterr()
    assert lit_ae("test", *fit) == 2
    assert "no run in this store was trained with these settings" in capsys.readouterr().err
    assert lit_ae("test", *settings("vae"), "--model.beta=2") == 0


def test_a_limited_validation_leaves_that_of_the_whole_split(store, lit_ae, settings, capsys):
    assert lit_ae("fit", *settings("ae")) == 0
    (before,) = the_runs()
    limited = ("--data.eval_batch_size=7", "--trainer.limit_val_batches=1")
    capsys.readouterr()
    assert lit_ae("validate", *settings("ae"), *limited) == 0
    assert "trainer.limit_val_batches leaves samples out: metrics are logged as val_limited/" in capsys.readouterr().out
    (after,) = the_runs()
    assert after.metrics["val/loss"] == before.metrics["val/loss"]
    assert after.metrics["val_limited/loss"] != before.metrics["val/loss"]


def test_the_chosen_run_is_named_and_its_config_is_that_of_a_test(store, lit_ae, settings, capsys):
    assert lit_ae("fit", *settings("ae")) == 0
    (run,) = the_runs()
    capsys.readouterr()
    assert lit_ae("test", "--config", run.artifact("config.yaml")) == 0
    assert f"test: run {run.id}, the newest with this model, these data and this seed" in capsys.readouterr().out
    assert "test/loss" in the_runs()[0].metrics


def test_a_file_is_the_same_by_any_path(store, lit_ae, settings, tmp_path):
    table(40)
    model = [*settings("vae")[:2], "--model.likelihood.output=linear", "--trainer.enable_progress_bar=false"]
    assert lit_ae("fit", *model, *own_data(), "--trainer.max_epochs=1") == 0
    assert lit_ae("test", *model, "--data=Array", f"--data.path={Path('table.csv').resolve()}") == 0
    assert "test/loss" in the_runs()[0].metrics


def test_without_a_run_the_model_of_another_training_stays(store, lit_ae, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for beta in (1, 7):
        assert lit_ae("fit", *settings("vae"), "--trainer.logger=false", f"--model.beta={beta}") == 0
    found = {library.load(path).beta for path in Path("checkpoints").glob("*.ckpt")}
    assert found == {1, 7}
    assert lit_ae("fit", *settings("vae"), "--trainer.logger=false", "--trainer.enable_checkpointing=false") == 0
    assert len(list(Path("checkpoints").glob("*.ckpt"))) == 2


def test_a_validation_is_of_the_epoch_of_its_weights(store, lit_ae, settings, tmp_path):
    plain = (*best_first(tmp_path), *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae("fit", *plain) == 0
    before = the_runs()[0].history("val/loss")
    assert lit_ae("validate", *plain) == 0
    after = the_runs()[0].history("val/loss")
    assert [epoch for epoch, _ in after] == [1, 2, 3]
    assert [value for _, value in after] == pytest.approx([value for _, value in before])
