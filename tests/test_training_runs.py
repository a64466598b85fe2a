"""Training runs from the command line: limited tests, chosen scores, runs of older code, checkpoints that load."""

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
import yaml

from lit_ae import load, models, tracking
from lit_ae.data.digits import Digits
from lit_ae.models.capabilities import Conditional
from lit_ae.training.lightning_cli import AutoencoderCLI

SCORES = ["Evaluation", "Clustering", "Posterior", "ReconstructionGrid"]


@pytest.fixture
def scored(store, lit_ae, settings, tmp_path):
    """Settings of an AE on 60 digits that is trained and fully scored."""
    path = tmp_path / "scores.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": [{"class_path": name} for name in SCORES]}}))
    options = (*settings("ae"), "--config", str(path), "--data.eval_batch_size=20")
    assert lit_ae("fit", *options) == 0
    assert lit_ae("test", *options) == 0
    return options


def the_run():
    (run,) = tracking.search("lit_ae", kind="single")
    return run


def test_limited_scores_never_overwrite_full_ones(scored, lit_ae, capsys):
    full = the_run()
    figures = {path.name: path.read_bytes() for path in full.artifact("figures").iterdir()}
    protocol = full.artifact("protocol.json").read_text()
    assert json.loads(full.tags["score_versions"]) == {
        "Clustering": 1,
        "Evaluation": 2,
        "Posterior": 1,
        "ReconstructionGrid": 1,
    }
    assert lit_ae("test", *scored, "--trainer.limit_test_batches=1") == 0
    assert "leaves samples out: metrics are logged as test_limited/" in capsys.readouterr().out
    limited = the_run()
    assert {key: limited.metrics[key] for key in full.metrics} == full.metrics
    for key in ("mse", "ari", "active_units"):
        assert f"test_limited/{key}" in limited.metrics
    assert limited.metrics["test_limited/mse"] != full.metrics["test/mse"]
    assert all((limited.artifact("figures") / name).read_bytes() == content for name, content in figures.items())
    assert limited.artifact("figures/limited-reconstructions.png")
    assert limited.artifact("protocol.json").read_text() == protocol
    assert "on 20 mean codes" in json.loads(limited.artifact("protocol-limited.json").read_text())["clustering"]
    assert limited.tags["score_versions"] == full.tags["score_versions"]


def test_a_limit_that_leaves_nothing_out_is_none(scored, lit_ae):
    assert lit_ae("test", *scored, "--trainer.limit_test_batches=3") == 0
    assert not [key for key in the_run().metrics if key.startswith("test_limited/")]


def test_only_the_scores_that_are_named_run(scored, lit_ae, capsys):
    before = the_run()
    reasons = {"Figures": "no image", "Clustering": "no label", "ari": "it is not defined"}
    tracking.add_protocol(before.id, {"left_out": reasons}, "protocol.json")
    protocol = json.loads(before.artifact("protocol.json").read_text())
    history = {
        key: len(tracking.client().get_metric_history(before.id, f"test/{key}")) for key in ("ari", "active_units")
    }
    assert lit_ae("test", *scored, "--only_scores=[Clustering]") == 0
    after = the_run()
    counts = {key: len(tracking.client().get_metric_history(after.id, f"test/{key}")) for key in history}
    assert counts == {"ari": history["ari"] + 1, "active_units": history["active_units"]}
    kept = {"left_out": {"Figures": "no image"}}  # the reasons of what was not scored now
    assert json.loads(after.artifact("protocol.json").read_text()) == protocol | kept
    capsys.readouterr()
    assert lit_ae("test", *scored, "--only_scores=[Clusterin]") == 2
    assert "--only_scores names 'Clusterin': did you mean 'Clustering'?" in capsys.readouterr().err


def test_runs_of_the_code_before_modules_moved_are_found(store, lit_ae, settings):
    options = settings("sae")
    assert lit_ae("fit", *options) == 0
    run = the_run()
    config = run.artifact("config.yaml").read_text()
    old = {"SAE": "lit_ae.models.stochastic.SAE", "Gaussian": "lit_ae.likelihoods.Gaussian"}
    for name, path in old.items():
        config, count = re.subn(rf"class_path: lit_ae\.[\w.]*\b{name}\n", f"class_path: {path}\n", config)
        assert count == 1
    tracking.log_text(run.id, config, "config.yaml")
    tracking.set_tags(run.id, {"config_hash": "of older code", "model": "a label in a study"})
    assert lit_ae("test", *options) == 0
    assert "test/mse" in the_run().metrics
    assert lit_ae("test", *options, "--model.sigma=0.4") == 2, "other settings are another run"


@pytest.mark.parametrize("name", ["vae", "conditional_vae", "dcgan", "beta_tcvae"])
def test_checkpoints_of_the_command_line_load_without_its_settings(name, store, lit_ae, settings):
    assert lit_ae("fit", *settings(name)) == 0
    run = the_run()
    path = run.artifact("checkpoints/last.ckpt")
    family = getattr(models, run.model)
    first, second = (family.load_from_checkpoint(path).eval() for _ in range(2))
    weights = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(weights[key], value) for key, value in first.state_dict().items())
    if hasattr(first, "encode"):
        part = Digits(limit=5).split("test")
        y = part.y if isinstance(first, Conditional) else None
        assert torch.equal(first.embed(part.x, y), second.embed(part.x, y))
    assert torch.equal(first.sample(3), second.sample(3))


# -- what is scored is what is kept -------------------------------------------------------------------------------


BEST = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"monitor": "val/loss"}}
STOP = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 2}}
AWAY = {**BEST, "init_args": {**BEST["init_args"], "dirpath": "elsewhere", "filename": "best"}}
EMA = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.8}}
SWA = {
    "class_path": "lightning.pytorch.callbacks.StochasticWeightAveraging",
    "init_args": {"swa_lrs": 0.01, "swa_epoch_start": 2},
}
KEEP = [{**BEST, "init_args": {**BEST["init_args"], "save_top_k": -1}}]
# By name: the additional callbacks, and what the run says about its weights; the learning rate makes the loss rise
WEIGHTS = {
    "last": ([], r"last checkpoint \(epoch 6, step 6\)"),
    "best": ([BEST], r"best checkpoint by val/loss \(epoch [1-5], step [1-5]\)"),
    "early stopping's best": ([STOP, BEST], r"best checkpoint by val/loss \(epoch [1-4], step [1-4]\)"),
    "best, kept elsewhere": ([AWAY], r"best checkpoint by val/loss \(epoch [1-5], step [1-5]\)"),
    "EMA": ([EMA], r"averaged weights \(EMAWeightAveraging\) of the last checkpoint \(epoch 6, step 6\)"),
    "SWA": ([SWA], r"averaged weights \(StochasticWeightAveraging\) of the last checkpoint \(epoch 6, step 6\)"),
    "EMA's best": ([EMA, BEST], r"averaged weights \(EMAWeightAveraging\) of the best checkpoint by val/loss .*"),
}


ALWAYS = ("last", "early stopping's best", "EMA", "SWA")


@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in ALWAYS else pytest.mark.slow) for c in WEIGHTS])
def test_scores_at_once_and_later_are_of_the_weights_that_are_kept(case, store, lit_ae, settings, tmp_path):
    callbacks, expected = WEIGHTS[case]
    path = tmp_path / "callbacks.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    options = [str(o) for o in (*settings("ae"), "--config", path, "--trainer.max_epochs=6")]
    options.append("--model.optimizer.lr=0.05")
    AutoencoderCLI(["fit", *options], then_test=True)
    at_once = the_run()
    protocol = json.loads(at_once.artifact("protocol.json").read_text())
    assert re.fullmatch(expected, at_once.tags["scored_weights"])
    assert protocol["weights"] == at_once.tags["scored_weights"].rsplit(" (epoch", 1)[0]

    assert lit_ae("test", *options, "--run_id", at_once.id) == 0
    later = the_run()
    scores = {key: value for key, value in at_once.metrics.items() if key.startswith("test/")}
    assert {"test/loss", "test/mse"} <= scores.keys()
    assert {key: later.metrics[key] for key in scores} == scores
    assert json.loads(later.artifact("protocol.json").read_text()) == protocol
    assert later.tags["scored_weights"] == at_once.tags["scored_weights"]

    module, data = load(at_once.id), Digits(limit=60)
    x = data.split("test").x / 255
    with torch.no_grad():
        assert (module(x) - x).square().mean().item() == pytest.approx(scores["test/mse"], rel=1e-4)


def test_test_of_another_checkpoint_says_so(store, lit_ae, settings, tmp_path):
    options = settings("ae")
    assert lit_ae("fit", *options) == 0
    other = shutil.copy(the_run().checkpoint, tmp_path / "other.ckpt")
    assert lit_ae("test", *options, "--ckpt_path", other) == 0
    assert json.loads(the_run().artifact("protocol.json").read_text())["weights"] == "checkpoint other.ckpt"


def test_average_of_no_step_is_refused(store, lit_ae, settings, tmp_path, capsys):
    never = {**EMA, "init_args": {"update_starting_at_step": 100}}
    path = tmp_path / "callbacks.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": [never]}}))
    assert lit_ae("fit", *settings("ae"), "--config", path) == 2
    assert "EMAWeightAveraging has not averaged any weights in 1 steps" in capsys.readouterr().err


@pytest.mark.parametrize("callback", [pytest.param(EMA, id="EMA"), pytest.param(SWA, id="SWA", marks=pytest.mark.slow)])
def test_training_goes_on_from_the_weights_behind_their_average(callback, store, lit_ae, settings, tmp_path):
    path = tmp_path / "callbacks.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback, *KEEP]}}))
    options = [*settings("ae"), "--config", path, "--trainer.max_epochs=6"]
    assert lit_ae("fit", *options) == 0
    folder = the_run().checkpoint.parent
    ends = [torch.load(folder / "epoch=5-step=6.ckpt", weights_only=True)]
    assert lit_ae("fit", *options, "--run_id", the_run().id, "--ckpt_path", folder / "epoch=3-step=4.ckpt") == 0
    ends.append(torch.load(folder / "epoch=5-step=6.ckpt", weights_only=True))
    for name in ("state_dict", "current_model_state"):
        assert all(torch.equal(ends[1][name][key], value) for key, value in ends[0][name].items())
    assert any(not torch.equal(ends[0]["state_dict"][k], v) for k, v in ends[0]["current_model_state"].items())


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "within"), [(None, False), (1, False), (1, True)])
@pytest.mark.parametrize("model", ["sae", "vae", "gan", "dec"])
def test_run_that_is_killed_and_goes_on_is_one_run(model, steps, within, store, lit_ae, settings, tmp_path):
    """By `kill -9` of its process at any moment after the first checkpoint, which is of an epoch's end or within it."""
    path = tmp_path / "callbacks.yaml"
    saves = {"filename": "within", "every_n_train_steps": 10, "enable_version_counter": False}
    extra = [{**BEST, "init_args": saves}] if within else []
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": extra}}))
    options = [str(o) for o in (*settings(model, limit=500), "--config", path, "--data.batch_size=16")]
    options += ["--trainer.max_epochs=12", *([f"--steps_per_call={steps}"] if steps else [])]
    assert lit_ae("fit", *options, "--experiment=whole") == 0
    (whole,) = tracking.search("whole", kind="single")

    process = subprocess.Popen([sys.executable, "-m", "lit_ae.cli", "fit", *options])
    try:
        name, end = ("within" if within else "last"), time.monotonic() + 300
        files = f"artifacts/*/artifacts/checkpoints/{name}.ckpt"
        while not (saved := [path for path in store.glob(files) if whole.id not in path.parts]):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    (killed,), (checkpoint,) = tracking.search("lit_ae", kind="single"), saved
    assert torch.load(checkpoint, weights_only=True)["epoch"] < 11
    assert lit_ae("fit", *options, "--run_id", killed.id, "--ckpt_path", checkpoint) == 0

    contents = [torch.load(run.artifact("checkpoints/last.ckpt"), weights_only=True) for run in (whole, the_run())]
    for part in ("state_dict", "optimizer_states", "random_states"):
        first, second = (dict(flat(content[part])) for content in contents)
        assert first.keys() == second.keys()
        assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []
    for key in ("train/loss", "val/loss", "train/generator_loss"):
        assert the_run().history(key) == whole.history(key)


def flat(content, prefix=""):
    """(name, tensor) of all numbers within."""
    if isinstance(content, torch.Tensor | int | float):
        yield prefix, torch.as_tensor(content)
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from flat(value, f"{prefix}/{key}")
