"""Training runs from the command line: limited tests, chosen scores, runs of older code, checkpoints that load."""

import json
import re

import pytest
import torch
import yaml

from lit_ae import models, tracking
from lit_ae.data.digits import Digits

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
    protocol = json.loads(before.artifact("protocol.json").read_text())
    history = {
        key: len(tracking.client().get_metric_history(before.id, f"test/{key}")) for key in ("ari", "active_units")
    }
    assert lit_ae("test", *scored, "--only_scores=[Clustering]") == 0
    after = the_run()
    counts = {key: len(tracking.client().get_metric_history(after.id, f"test/{key}")) for key in history}
    assert counts == {"ari": history["ari"] + 1, "active_units": history["active_units"]}
    assert json.loads(after.artifact("protocol.json").read_text()) == protocol
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
        assert torch.equal(first.embed(part.x, part.y), second.embed(part.x, part.y))
    assert torch.equal(first.sample(3), second.sample(3))
