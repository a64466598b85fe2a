"""Two gloo processes on the CPU give the scores of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lit_ae import tracking
from lit_ae.data.containers import Splits
from lit_ae.data.digits import Digits
from lit_ae.data.shapes import Shapes
from lit_ae.settings.files import config_folder

FORKED = ("--trainer.devices=2", "--trainer.strategy=ddp_fork")
SIZES = Splits(100, 31, 47)  # odd ones: a sampler that fills up would count a sample twice


class OddDigits(Digits):
    """An even training split, so that two halves are the whole; odd ones for evaluation."""

    def load(self):
        splits = super().load()
        return Splits(*(part.subset(torch.arange(n)) for part, n in zip(splits, SIZES, strict=True)))


class FewDigits(Digits):
    """So few that many scores cannot be had, some of them unlabelled."""

    def load(self):
        parts = [part.subset(torch.arange(n)) for part, n in zip(super().load(), (12, 5, 3), strict=True)]
        parts[2].y[0] = parts[0].y[0] = -1
        return Splits(*parts)


class OddShapes(Shapes):
    """The same of shapes, of which some factors are known, without one class in training."""

    def load(self):
        return Splits(*(part.subset(torch.arange(n)) for part, n in zip(super().load(), SIZES, strict=True)))


@pytest.fixture
def clean_process():
    """What starting processes leaves behind in the environment is taken back."""
    before, rank = dict(os.environ), rank_zero_only.rank
    yield
    os.environ.clear()
    os.environ.update(before)
    rank_zero_only.rank = rank
    assert not torch.distributed.is_initialized()


@pytest.fixture
def arguments(settings, tmp_path):
    """Options of a run on OddDigits; the whole training split is one batch over all processes."""

    def options(model, processes=1, data="OddDigits", **changes):
        path = tmp_path / f"odd-{processes}.yaml"
        changes["batch_size"] = SIZES.train // processes
        data = {"class_path": f"{__name__}.{data}", "init_args": changes}
        path.write_text(yaml.safe_dump({"data": data}))
        general = settings(model)
        quick = [option for option in general[4:] if not option.startswith("--data.limit")]
        return (*general[:2], "--config", path, *quick, *(FORKED if processes == 2 else ()))

    return options


def the_run(experiment="lit_ae"):
    (run,) = tracking.search(experiment)
    return run


def entries(run):
    """How often each metric has been logged."""
    return {key: len(tracking.client().get_metric_history(run.id, key)) for key in run.metrics}


def test_fit_and_test_in_two_processes_give_the_figures_of_one(store, lit_ae, arguments, scores, clean_process):
    epochs = "--trainer.max_epochs=3"
    assert lit_ae("fit", *arguments("ae"), epochs) == 0
    assert lit_ae("fit", *arguments("ae", 2), epochs, "--experiment=two") == 0
    one, two = the_run(), the_run("two")
    assert two.status == "FINISHED"
    assert {"train/loss", "train/mse", "val/loss", "val/mse"} <= two.metrics.keys()
    assert two.metrics == pytest.approx(one.metrics, rel=1e-5)
    assert set(entries(two).values()) == {3}, "each epoch is logged once"
    weights = [torch.load(run.artifact("checkpoints/last.ckpt"), weights_only=True)["state_dict"] for run in (one, two)]
    for key, value in weights[0].items():
        assert torch.allclose(value, weights[1][key], atol=1e-5), key

    same = ("--run_id", one.id, "--config", scores)
    assert lit_ae("test", *arguments("ae"), *same) == 0
    expected = {key: value for key, value in the_run().metrics.items() if key.startswith("test/")}
    kept = {name: tracking.sample_values(the_run(), name) for name in ("mse", "mse_standardised")}
    assert lit_ae("test", *arguments("ae", 2), *same) == 0
    for name, (values, digest) in kept.items():
        again, samples = tracking.sample_values(the_run(), name)
        assert (samples, again) == (digest, pytest.approx(values, rel=1e-4)), "in the split's order"
    found = {key: value for key, value in the_run().metrics.items() if key.startswith("test/")}
    assert {"test/loss", "test/fid/mixture", "test/is/normal", "test/nmi", "test/mse_standardised"} <= found.keys()
    assert found == pytest.approx(expected, rel=1e-5)
    assert {entries(the_run())[key] for key in found} == {2}, "once by one process, once by two"
    assert the_run().status == "FINISHED"


# Each score that the others do not have here: by class, with settings that make it quick.
SCORES = {
    "ReconstructionScores": {},
    "LinearProbe": {},
    "Clustering": {},
    "CodeScores": {},
    "Factors": {},
    "FactorCorrelation": {},
    "ValidSet": {"n": 50, "lowest_entropy": 0.8, "rounded": 5},
    "Posterior": {},
    "Sparsity": {},
    "GenerationScores": {"fid_sizes": 3},
    "Uncertainty": {"draws": 4},
    "LogLikelihood": {"k": 8},
    "Anomaly": {},
    "Interpolation": {},
    "ZeroedDimensions": {},
    "CodeDistributions": {},
    "Traversals": {},
    "InputProbe": {"components": [5]},
    "NoisyInputs": {},
    "Compression": {},
    "ActiveLearning": {"start": 10, "budget": 30, "repeats": 2},
}


@pytest.fixture
def every_score(tmp_path):
    samplers = [{"class_path": "Normal"}, {"class_path": "Mixture", "init_args": {"components": 3}}]
    callbacks = [{"class_path": "Evaluation", "init_args": {"samplers": samplers}}]
    callbacks += [{"class_path": name, "init_args": options} for name, options in SCORES.items()]
    path = tmp_path / "every.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    return path


@pytest.mark.slow  # the usual scores are compared by the test of fit and test above
def test_every_score_in_two_processes_is_that_of_one(store, lit_ae, arguments, every_score, clean_process):
    made = {"data": "OddShapes", "leave_out": 1}
    assert lit_ae("fit", *arguments("vae", **made), "--trainer.max_epochs=3") == 0
    found = []
    for processes in (1, 2):
        same = ("--run_id", the_run().id, "--config", every_score)
        assert lit_ae("test", *arguments("vae", processes, **made), *same) == 0
        drawn = {"test/loss", "test/nll"}  # of the noise that each process draws for its own samples
        found.append({k: v for k, v in the_run().metrics.items() if k.startswith("test/") and k not in drawn})
    expected = "ssim mse_noisy_input probe_auc total_correlation mig dci_completeness nn_distance/mixture active_units"
    expected += " kid/normal coverage/mixture train_distance_ratio/normal fid_infinity/normal log_likelihood"
    expected += " anomaly/kl/auroc calibration/pearson interpolation_psnr/0.4 zeroed_mse_max information_rate"
    assert {f"test/{name}" for name in expected.split()} <= found[0].keys()
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.slow
def test_two_processes_leave_out_what_one_does(store, lit_ae, arguments, every_score, clean_process):
    assert lit_ae("fit", *arguments("vae", data="FewDigits")) == 0
    found, reasons = [], []
    for processes in (1, 2):
        same = ("--run_id", the_run().id, "--config", every_score)
        assert lit_ae("test", *arguments("vae", processes, data="FewDigits"), *same) == 0
        run, drawn = the_run(), {"test/loss", "test/nll"}
        assert run.status == "FINISHED"
        found.append({k: v for k, v in run.metrics.items() if k.startswith("test/") and k not in drawn})
        reasons.append(json.loads(run.artifact("protocol.json").read_text())["left_out"])
    assert {"precision/normal", "Anomaly", "Factors", "fid_infinity/mixture"} <= reasons[0].keys()
    assert reasons[1] == reasons[0]
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.slow
def test_gan_in_two_processes_gives_the_scores_of_one(store, lit_ae, arguments, scores, clean_process):
    fit = arguments("gan", 2)
    assert lit_ae("fit", *fit[:-1], "--trainer.strategy=ddp_fork_find_unused_parameters_true") == 0
    fitted = the_run()
    assert fitted.status == "FINISHED"
    assert {"train/generator_loss", "train/discriminator_loss", "val/generator_loss"} <= fitted.metrics.keys()
    same = ("--run_id", fitted.id, "--config", scores)
    found = []
    for processes in (1, 2):
        assert lit_ae("test", *arguments("gan", processes), *same) == 0
        found.append(
            {key: value for key, value in the_run().metrics.items() if key.startswith(("test/fid", "test/is"))}
        )
    assert {"test/fid/normal", "test/is/normal", "test/is_std/normal"} <= found[0].keys()
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.slow
def test_command_line_starts_its_second_process_by_itself(store, lit_ae, arguments, scores):
    """The processes of `ddp` repeat the command; those of `ddp_fork` above are copies of this one."""
    assert lit_ae("fit", *arguments("sae")) == 0
    score = ("test", *arguments("sae"), "--run_id", the_run().id, "--config", scores)
    assert lit_ae(*score) == 0
    one = the_run()
    figures = {path.name: path.stat().st_mtime_ns for path in one.artifact("figures").iterdir()}
    command = [sys.executable, "-m", "lit_ae.cli", *score, "--config", config_folder() / "trainer" / "ddp.yaml"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([*command, "--trainer.devices=2"], env=environment, check=True, timeout=200)
    two = the_run()
    assert (two.id, two.status) == (one.id, "FINISHED")
    drawn = {"test/loss", "test/nll"}  # of the noise that each process draws for its own samples
    assert drawn < two.metrics.keys()
    exact = {key: value for key, value in one.metrics.items() if key not in drawn}
    assert {key: two.metrics[key] for key in exact} == pytest.approx(exact, rel=1e-5)
    assert two.metrics["test/nll"] == pytest.approx(one.metrics["test/nll"], rel=0.05)
    assert two.metrics["test/uncertainty"] > 0
    assert {entries(two)[key] for key in two.metrics if key.startswith("test/")} == {2}
    again = {path.name: path.stat().st_mtime_ns for path in two.artifact("figures").iterdir()}
    assert again.keys() == figures.keys()
    assert all(again[name] > figures[name] for name in figures if name != "loss.png")


@pytest.mark.slow
def test_training_in_two_processes_goes_on_to_the_bit(store, lit_ae, arguments, clean_process):
    """Each process draws its own noise, and goes on with its own random states."""

    def fit(epochs, experiment, *more):
        settings = (f"--trainer.max_epochs={epochs}", f"--experiment={experiment}")
        assert lit_ae("fit", *arguments("vae", 2), *settings, *more) == 0
        run = the_run(experiment)
        return run.id, run.checkpoint, torch.load(run.checkpoint, weights_only=True)

    _, _, whole = fit(3, "whole")
    run_id, checkpoint, _ = fit(2, "part")
    _, _, resumed = fit(3, "part", "--run_id", run_id, "--ckpt_path", checkpoint)
    assert len(whole["random_states"]) == 2
    for ours, theirs in zip(resumed["random_states"], whole["random_states"], strict=True):
        assert torch.equal(ours["torch"], theirs["torch"])
    assert not torch.equal(*(states["torch"] for states in whole["random_states"]))
    assert all(torch.equal(resumed["state_dict"][key], value) for key, value in whole["state_dict"].items())
