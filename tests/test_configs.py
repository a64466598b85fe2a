"""Every model YAML through the command line: `fit`, then `test` in the same MLflow run."""

import json
import math

import pytest
import yaml
from conftest import DATA
from lightning.pytorch.cli import LightningCLI
from PIL import Image
from test_families import FAMILIES, UNLIKE

from lit_ae import tracking
from lit_ae.models import ReconstructionModule
from lit_ae.models.base import GenerativeModule, TrackedModule
from lit_ae.settings.files import config_folder
from lit_ae.training.lightning_cli import AutoencoderCLI  # it knows every family by name

TERMS = {"loss", "nll", "penalty", "mse"}
LIMIT = 60


def families(base=TrackedModule):
    """All family classes by their name without the module."""
    below = [family for child in base.__subclasses__() for family in families(child).values()]
    return {family.__name__: family for family in [*below, base]}


def family_of(name):
    content = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())
    return families()[content["model"]["class_path"].rsplit(".", 1)[-1]]


def the_run():
    """The only run of the experiment that the command line uses by default."""
    (run,) = tracking.search("lit_ae", kind="single")
    return run


def values(run, stage):
    """Metrics of a stage by the rest of their key."""
    return {key.split("/", 1)[1]: value for key, value in run.metrics.items() if key.startswith(f"{stage}/")}


def figures(run):
    return {path.stem for path in run.artifact("figures").iterdir()}


@pytest.mark.parametrize("name", UNLIKE)
def test_fit_then_test_of_every_model_is_one_finished_run(name, store, lit_ae, settings, scores):
    """The first YAML of every family on digits is scored as well; a list of all figures leaves their PDFs out."""
    scored = name in FAMILIES and name not in DATA
    pictures = ["loss", "reconstructions", "uncertainty", "calibration", "tsne", "embeddings"]
    pictures += [f"samples-{sampler}" for sampler in ("normal", "gaussian", "mixture", "gibbs")]
    shown = f"--figures={json.dumps(pictures)}"
    assert lit_ae("fit", *settings(name, LIMIT, seed=3), shown) == 0
    trained = the_run()
    assert trained.status == "FINISHED"
    assert trained.artifact("checkpoints/last.ckpt").is_file()
    assert not values(trained, "test")
    fitted = values(trained, "train"), values(trained, "val")

    assert lit_ae("test", *settings(name, LIMIT, seed=3), shown, *(("--config", scores) if scored else ())) == 0
    run = the_run()
    assert (run.id, run.status) == (trained.id, "FINISHED")
    assert values(run, "train") == fitted[0]
    assert fitted[1].items() <= values(run, "val").items()  # the test adds the validation split's standardised error
    family = family_of(name)
    data = DATA.get(name, "digits")
    expected = {"model": family.__name__, "data": data, "seed": "3", "kind": "single"}
    assert {key: run.tags[key] for key in expected} == expected
    assert run.tags["git_sha"]
    assert len(run.tags["config_hash"]) == 12
    assert run.params["model"] == family.__name__
    assert run.params["data.limit"] == str(LIMIT)
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert figures(run) >= {"loss"}
    test = values(run, "test")
    if issubclass(family, ReconstructionModule):
        assert all(values(run, stage).keys() >= TERMS for stage in ("train", "val", "test"))
        assert test["loss"] == pytest.approx(test["nll"] + test["penalty"], rel=1e-5)
    else:
        losses = {"generator_loss", "discriminator_loss"} if issubclass(family, GenerativeModule) else {"accuracy"}
        assert all(values(run, stage).keys() >= losses for stage in ("train", "val", "test"))
    if scored and issubclass(family, GenerativeModule):
        check_scores(run, issubclass(family, ReconstructionModule))


def check_scores(run, has_codes):
    """Every score and figure of configs/callbacks/scores.yaml but UMAP, with its protocol."""
    protocol = json.loads(run.artifact("protocol.json").read_text())
    assert protocol["reference"] == f"test split, {LIMIT} images"
    assert 0.3 < protocol["extractor_accuracy"] <= 1
    samplers = {"normal", "gaussian", "mixture"} if has_codes else {"normal"}
    test = values(run, "test")
    assert {key.split("/")[1] for key in test if key.startswith("fid/")} >= samplers  # an RBM adds its own
    assert {key.split("/")[1] for key in test if key.startswith("is/")} >= samplers
    assert figures(run) >= {f"samples-{sampler}" for sampler in samplers}
    if has_codes:
        clustering = {"silhouette", "ari", "nmi", "clustering_accuracy", "code_std"}
        assert test.keys() >= {"mse_standardised", "mse_standardised_floor", "uncertainty", *clustering}
        assert figures(run) >= {"reconstructions", "tsne"}
        assert {"clustering"} <= protocol.keys()
    for path in run.artifact("figures").iterdir():
        with Image.open(path) as image:
            assert len(set(image.convert("L").getdata())) > 10, f"{path.name} is blank"


# -- what holds for any model: shown on one --------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(shared_store, lit_ae, settings):
    """A stochastic autoencoder, fitted, then tested with all scores and figures as shipped."""
    assert lit_ae("fit", *settings("sae", LIMIT)) == 0
    shipped = config_folder() / "callbacks" / "scores.yaml"
    assert lit_ae("test", *settings("sae", LIMIT), "--config", shipped) == 0
    return the_run()


@pytest.fixture(scope="module")
def config_file(scored):
    """The logged settings of that run."""
    return scored.artifact("config.yaml")


def test_shipped_scores_make_every_figure_and_log_each_score_once(scored):
    samples = {f"samples-{sampler}" for sampler in ("normal", "gaussian", "mixture")}
    embeddings = {"tsne", "umap", "pca", "embeddings"}
    assert figures(scored) == {"loss", "reconstructions", "uncertainty", "calibration", *embeddings, *samples}
    assert scored.metrics["test/uncertainty"] > 0
    assert {len(scored.history(key)) for key in scored.metrics} == {1}


def test_same_seed_gives_bit_identical_metrics_and_another_does_not(scored, store, lit_ae, settings, scores, capsys):
    """Also with fewer figures, of which there is then no PDF; one that nothing draws is named."""
    for seed in (0, 1):
        shown = "--figures=[reconstructions,tsne,umpa]"
        assert lit_ae("fit", *settings("sae", LIMIT, seed), shown) == 0
        assert lit_ae("test", *settings("sae", LIMIT, seed), "--config", scores, shown) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "umpa" in line and "callbacks" in line]
    assert len(told) == 2  # once for each test
    assert all("names umpa, which" in line and "reconstructions, " in line for line in told)
    (again,) = tracking.search("lit_ae", seed="0")
    assert (figures(again), again.artifact("vector")) == ({"reconstructions", "tsne"}, None)
    (other,) = tracking.search("lit_ae", seed="1")
    assert again.metrics == scored.metrics
    assert again.tags["config_hash"] == scored.tags["config_hash"] != other.tags["config_hash"]
    assert other.metrics.keys() == scored.metrics.keys()
    assert not [key for key in scored.metrics if key.endswith("/mse") and other.metrics[key] == scored.metrics[key]]


def test_logged_config_alone_repeats_the_run(scored, config_file, store, lit_ae):
    config = yaml.safe_load(config_file.read_text())
    assert config["model"]["class_path"].rsplit(".", 1)[-1] == "SAE"
    assert config["model"]["init_args"]["encoder"]["init_args"]["widths"] == [256]
    assert config["data"]["init_args"]["limit"] == LIMIT
    assert config["seed_everything"] == 0
    assert lit_ae("fit", "--config", config_file) == 0
    again = the_run()
    assert again.tags["config_hash"] == scored.tags["config_hash"]
    assert again.params.items() <= scored.params.items()  # `test` has added its own
    assert len(again.params) > 40
    assert values(again, "train") == values(scored, "train")
    assert values(again, "val").items() <= values(scored, "val").items()


def test_settings_are_stored_as_lightning_would_store_them(settings, monkeypatch):
    """It would check them a second time, which takes as long as reading them. `test` has no setting `resume`."""
    monkeypatch.setattr("sys.argv", ["lit-ae"])
    monkeypatch.setattr(AutoencoderCLI, "_run_subcommand", lambda self, subcommand: None)
    cli = AutoencoderCLI(["fit", *map(str, settings("sae", LIMIT))])
    ours = yaml.safe_dump(cli.config_dump, sort_keys=False)
    del cli.config_dump
    LightningCLI._dump_config(cli)
    assert cli.config_dump.pop("resume") is False
    assert ours == yaml.safe_dump(cli.config_dump, sort_keys=False)


def test_machine_and_versions_are_logged(scored):
    environment = json.loads(scored.artifact("environment.json").read_text())
    assert {"python", "torch", "lightning", "mlflow", "lit_ae"} <= environment["versions"].keys()
    assert environment["hardware"]["threads"] == 1


def test_fit_goes_on_from_a_checkpoint_in_the_same_run(store, lit_ae, settings):
    assert lit_ae("fit", *settings("vae")) == 0
    before = the_run()
    checkpoint = before.artifact("checkpoints/last.ckpt")
    assert lit_ae("fit", *settings("vae"), "--ckpt_path", checkpoint, "--trainer.max_epochs=3") == 0
    run = the_run()
    assert (run.id, run.status) == (before.id, "FINISHED")
    history = run.history("val/loss")
    assert [epoch for epoch, _ in history] == [1, 2, 3]
    assert history[0][1] == before.metrics["val/loss"]
    assert history[2][1] < history[0][1]


def test_validate_and_predict_use_the_trained_weights_and_leave_the_run_finished(store, lit_ae, settings):
    assert lit_ae("fit", *settings("ae")) == 0
    fitted = the_run()
    for command in ("validate", "predict"):
        assert lit_ae(command, *settings("ae")) == 0
    run = the_run()
    assert (run.id, run.status) == (fitted.id, "FINISHED")
    assert [value for _, value in run.history("val/mse")] == pytest.approx([fitted.metrics["val/mse"]], rel=1e-6)


def test_scores_every_n_epochs_are_of_the_validation_split(store, lit_ae, settings, tmp_path):
    callbacks = [
        {"class_path": "Evaluation"},
        {"class_path": "ReconstructionGrid", "init_args": {"every_n_epochs": 2}},
        {"class_path": "Clustering", "init_args": {"every_n_epochs": 2}},
    ]
    config = tmp_path / "callbacks.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    assert lit_ae("fit", *settings("ae"), "--config", config, "--trainer.max_epochs=4") == 0
    run = the_run()
    assert [epoch for epoch, _ in run.history("val/nmi")] == [2, 4]
    assert len(run.history("val/loss")) == 4
    assert figures(run) == {"loss", "reconstructions-epoch0002", "reconstructions-epoch0004"}
    assert not values(run, "test")


def test_logger_false_trains_without_mlflow(store, lit_ae, settings):
    assert lit_ae("fit", *settings("ae"), "--trainer.logger=false") == 0
    assert tracking.search("lit_ae") == []
