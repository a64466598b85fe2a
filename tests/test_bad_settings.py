"""Bad values of every setting: refused in one line that names the setting, exit status 2, and no run is left behind."""

import importlib
import inspect
import math
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from lightning.pytorch import Callback
from PIL import Image

from lit_ae import callbacks, tracking
from lit_ae.callbacks.figures.latent_plot import LatentPlot
from lit_ae.callbacks.figures.traversals import Traversals
from lit_ae.errors import SettingError
from lit_ae.models import AE
from lit_ae.settings.files import config_folder
from lit_ae.settings.memory import require_memory
from lit_ae.training.bounds import check_bounds

MODEL = ("--config", str(config_folder() / "model" / "vae.yaml"))
DATA = ("--config", str(config_folder() / "data" / "digits.yaml"))
HUGE = "1000000000000000000000"  # more than any whole number may be; a float may be that large
VALUES = ("abc", "0", "-1", ".nan", ".inf", "", HUGE)

# Setting -> the values of VALUES that it may have; every other one has to be refused.
OF_THE_DATA = {"Traversals.sample", "Traversals.dimensions"}  # places, which are checked once the data are there
FREE_TEXT = {"abc", "0", "-1", ".nan", ".inf", HUGE}
SETTINGS = {
    "seed_everything": {"0"},
    "experiment": FREE_TEXT,
    "steps_per_call": set(),
    "trainer.max_epochs": set(),  # -1 alone would never end
    "trainer.min_epochs": {"0"},
    "trainer.max_steps": {"-1"},
    "trainer.min_steps": {"0"},
    "trainer.max_time": set(),
    "trainer.limit_train_batches": set(),
    "trainer.limit_val_batches": {"0"},
    "trainer.overfit_batches": {"0"},
    "trainer.val_check_interval": set(),
    "trainer.check_val_every_n_epoch": set(),
    "trainer.accumulate_grad_batches": set(),
    "trainer.log_every_n_steps": {"0"},
    "trainer.gradient_clip_val": {"0"},
    "trainer.gradient_clip_algorithm": set(),
    "trainer.num_nodes": set(),
    "trainer.devices": {"-1"},
    "trainer.accelerator": set(),
    "trainer.strategy": set(),
    "trainer.precision": set(),
    "trainer.deterministic": {"0"},
    "trainer.detect_anomaly": {"0"},
    "model.latent_dim": set(),
    "model.beta": {"0", HUGE},
    "model.optimizer.lr": {HUGE},
    "model.optimizer.eps": {HUGE},
    "model.optimizer.weight_decay": {"0", HUGE},
    "model.encoder.widths": set(),
    "model.encoder.dropout": {"0"},
    "model.encoder.activation": set(),
    "model.encoder.norm": set(),
    "model.encoder.initialisation": set(),
    "model.decoder.widths": set(),
    "model.likelihood": set(),
    "model.likelihood.pixels": set(),
    "data.batch_size": set(),
    "data.eval_batch_size": set(),
    "data.split_seed": {"0", "-1"},
    "data.num_workers": {"0"},
    "data.limit": set(),
    "data.labels_per_class": set(),
    "data.leave_out": {"0"},
    "data.binarise": {"0"},
}
CASES = [(name, value) for name, allowed in SETTINGS.items() for value in VALUES if value not in allowed]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), CASES)
def test_every_bad_value_is_one_line(name, value, store, lit_ae, capsys):
    status = lit_ae("fit", *MODEL, *DATA, "--data.limit=40", "--trainer.accelerator=cpu", f"--{name}={value}")
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert (status, len(error)) == (2, 1)
    assert name.rpartition(".")[2] in error[0]
    assert "Traceback" not in error[0]
    assert len(error[0]) < 400
    assert tracking.search("lit_ae") == []


def test_there_are_200_cases():
    assert len(CASES) >= 200


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith(("trainer.", "model.opt"))])
def test_numbers_that_are_not_finite(name):
    *path, last = name.split(".")
    for value in (math.nan, math.inf):
        config = {last: value}
        for part in reversed(path):
            config = {part: config}
        with pytest.raises(SettingError, match=name.replace(".", r"\.")):
            check_bounds(config)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_of_callbacks_that_are_not_finite(value):
    callback = {"class_path": "lit_ae.callbacks.figures.traversals.Traversals", "init_args": {"limit": value}}
    with pytest.raises(SettingError, match=r"Traversals\.limit is (nan|inf): it must be a finite number"):
        check_bounds({"trainer": {"callbacks": [callback]}})


def test_settings_of_figures_that_cannot_be_drawn():
    for make in (lambda: Traversals(dimensions=[]), lambda: Traversals(limit=-1), lambda: LatentPlot(perplexity=0)):
        with pytest.raises(SettingError, match=r"at least|dimensions is empty"):
            make()


def own_callbacks():
    """Every callback of the package that can be made without arguments."""
    found = {}
    for module in pkgutil.walk_packages(callbacks.__path__, f"{callbacks.__name__}."):
        for name, cls in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(cls) and issubclass(cls, Callback) and cls.__module__ == module.name:
                found[name] = cls
    del found["ReportTrial"], found["LastCheckpoint"]  # made by the search; Lightning's own settings
    return found


@pytest.mark.parametrize("cls", own_callbacks().values(), ids=own_callbacks())
def test_numbers_of_scores_that_cannot_be_meant_are_refused(cls):
    """A whole number counts something, so that it is at least 1; where the default is 0, 0 means none."""
    for setting in inspect.signature(cls).parameters.values():
        name = f"{cls.__name__}.{setting.name}"
        if name in OF_THE_DATA or not re.match(r"int\b|list\[int\]", str(setting.annotation).removeprefix("<class '")):
            continue
        for value in [-1] if setting.default == 0 or name == "GenerationScores.train_images" else [-1, 0]:
            given = [value] if "list" in str(setting.annotation) else value
            with pytest.raises(SettingError, match=rf"{cls.__name__}"):
                cls(**{setting.name: given})


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--seed_everything=-1"], ["seed_everything is -1", "from 0 to 4294967295"]),
        (["--seed_everything=99999999999"], ["seed_everything", "from 0 to 4294967295"]),
        (["--seed_everything=false"], ["seed_everything is false", "whole number"]),
        ([f"--experiment={'x' * 600}"], ["--experiment is 600 characters long"]),
        (["--experiment="], ["--experiment is empty"]),
        (["--run_id="], ["--run_id is empty"]),
        (["--model.latent_dim=1000000000"], ["weights would take", "GiB", "model.latent_dim"]),
        (["--trainer.max_epochs=0"], ["trainer.max_epochs is 0", "at least 1"]),
        (["--trainer.gradient_clip_val=-1"], ["trainer.gradient_clip_val is -1", "at least 0"]),
        (["--model.optimizer.lr=0"], ["model.optimizer.lr is 0", "above 0"]),
        (["--model.lr_scheduler=torch.optim.lr_scheduler.StepLR", "--model.lr_scheduler.step_size=0"], ["step_size"]),
        (["--model.lr_scheduler=ReduceLROnPlateau"], ["ReduceLROnPlateau needs monitor", "--model.lr_scheduler.NAME"]),
        (
            ["--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateFinder"],
            ["LearningRateFinder", "optimizer.lr"],
        ),
    ],
)
def test_what_was_a_traceback_or_accepted(args, parts, store, lit_ae, capsys):
    assert lit_ae("fit", *MODEL, *DATA, "--data.limit=40", "--trainer.accelerator=cpu", *args) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    for part in ("error: ", *parts):
        assert part in error
    assert tracking.search("lit_ae") == []


def test_early_stopping_on_a_value_that_is_not_logged(store, lit_ae, settings, tmp_path, capsys):
    stop = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/los"}}
    (tmp_path / "stop.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [stop]}}))
    assert lit_ae("fit", *settings("ae"), "--config", tmp_path / "stop.yaml") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: trainer.callbacks: ")
    assert "val/los" in error
    assert "val/loss" in error


def test_a_batch_of_one_under_batch_norm(store, lit_ae, settings, capsys):
    arguments = (*settings("batch_norm_ae", limit=33), "--data.batch_size=32")
    assert lit_ae("fit", *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(part in error for part in ("data.batch_size is 32", "33 training samples", "set it to 33"))
    assert lit_ae("fit", *arguments, "--data.batch_size=33") == 0


def test_steps_that_are_asked_for_are_made(store, lit_ae, settings):
    arguments = [a for a in settings("ae", limit=64) if not a.startswith("--trainer.max_epochs")]
    assert lit_ae("fit", *arguments, "--trainer.max_steps=25") == 0
    (run,) = tracking.search("lit_ae")
    assert max(epoch for epoch, _ in run.history("val/loss")) == 25  # one step each, and 20 epochs are the default


def test_a_schedule_that_counts_steps(store, lit_ae, settings):
    one = "--model.lr_scheduler=torch.optim.lr_scheduler.OneCycleLR"
    options = ("--model.lr_scheduler.max_lr=0.01", "--model.lr_scheduler.total_steps=12", "--data.batch_size=16")
    assert lit_ae("fit", *settings("ae", limit=64), one, *options, "--trainer.max_epochs=3") == 0
    (run,) = tracking.search("lit_ae")
    import torch

    stored = torch.load(run.checkpoint, weights_only=True)["lr_schedulers"][0]
    assert stored["last_epoch"] == 12  # 4 steps in each of 3 epochs


def test_a_key_that_stands_twice(store, lit_ae, settings, capsys):
    Path("twice.yaml").write_text("trainer:\n  max_epochs: 1\n  max_epochs: 2\n")
    assert lit_ae("fit", *settings("ae"), "--config", "twice.yaml") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(part in error for part in ("twice.yaml", "line 3", "'max_epochs'", "twice"))


def test_a_file_name_that_only_shares_its_ending_is_not_proposed(store, lit_ae, settings, capsys):
    Path("unk.yaml").write_text("{}")
    assert lit_ae("fit", *settings("ae"), "--config", "nofile.yaml") == 2
    assert "did you mean" not in capsys.readouterr().err


def test_sizes_are_bounded_before_the_memory_is_taken(tmp_path, lit_ae, store, capsys):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    data = ("--data=Array", f"--data.path={tmp_path}", "--data.size=[100000,100000]")
    assert lit_ae("fit", *MODEL, *data) == 2
    assert "--data.size [100000, 100000] would take" in capsys.readouterr().err
    with pytest.raises(SettingError, match="GiB are free"):
        require_memory(2**60, "this", "take less")
    require_memory(1, "this", "take less")


def test_a_loss_that_is_not_finite_before_the_first_step_does_not_blame_the_learning_rate():
    model = AE(input_shape=(4,), latent_dim=2)
    model.trainer = SimpleNamespace(global_step=0, current_epoch=0)
    with pytest.raises(FloatingPointError, match="no step has been made yet"):
        model._stop("train/loss not finite")
    model.trainer.global_step = 1
    with pytest.raises(FloatingPointError, match="learning rate"):
        model._stop("train/loss not finite")
