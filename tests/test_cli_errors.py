"""Bad input: one line on stderr that names the setting and the remedy, no traceback, and an exit status above 0."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import yaml

from lit_ae import tracking
from lit_ae.data import ArrayDataset, BaseDataModule, Splits, download
from lit_ae.models import AE
from lit_ae.settings.files import config_folder
from lit_ae.training.parser_messages import explain

CONFIGS = config_folder()
MODEL = ("--config", str(CONFIGS / "model" / "ae.yaml"))
DATA = ("--config", str(CONFIGS / "data" / "digits.yaml"))
UNTRACKED = "--trainer.logger=false"


class Flat(BaseDataModule):
    """Vectors, which are not images."""

    name = "flat"
    input_shape = (6,)
    num_classes = 0

    def load(self):
        part = ArrayDataset(torch.rand(8, 6), torch.full((8,), -1))
        return Splits(part, part, part)


class Faulty(AE):
    """Has a fault in its own code, which no setting causes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 1 // 0


class Picky(AE):
    """Raises what looks like a bad argument, but in its own code, which is a fault as well."""

    def configure_optimizers(self):
        raise ValueError("a fault in here")


@pytest.fixture
def failing(lit_ae, capfd, tmp_path, monkeypatch):
    """Runs a bad command line (in an empty folder, unless `store` set another) and gives its one line."""
    if Path.cwd() != tmp_path:
        monkeypatch.chdir(tmp_path)

    def run(*args, status=2):
        capfd.readouterr()
        assert lit_ae(*args) == status
        err = capfd.readouterr().err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert err.endswith(f"{lines[0]}\n")
        assert "Traceback" not in err
        assert "usage:" not in err
        assert "Union" not in err
        return lines[0]

    return run


def written(name, content):
    """A file in the current folder."""
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    return name


def callback(class_path, **init_args):
    return {"trainer": {"callbacks+": [{"class_path": class_path, "init_args": init_args}]}}


def statuses():
    runs = tracking.search("lit_ae")
    return {run.id: run.status for run in runs}


# -- settings on the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        # names of classes
        (["--model=VEA", *DATA], ["model", "'VEA'", "did you mean 'VAE'"]),
        (["--model=lit_ae.models.VEA", *DATA], ["model", "'VEA'", "did you mean 'VAE'"]),
        (["--model=3", *DATA], ["model", "'3'", "choose one of AE, BetaTCVAE, "]),
        (["--model=", *DATA], ["model is ''", "AE"]),
        (
            ["--model=sphere_ae.SphereAE", *DATA],
            ["model: the module sphere_ae of a class_path was not found", "set PYTHONPATH"],
        ),
        ([*MODEL, "--data=Digit"], ["data", "'Digit'", "did you mean 'Digits'"]),
        ([*MODEL, "--data=Qqqqq"], ["data", "'Qqqqq'", "choose one of Array, CIFAR10, Digits, FashionMNIST"]),
        ([*MODEL, *DATA, "--model.encoder=MPLEncoder"], ["model.encoder", "did you mean 'MLPEncoder'"]),
        ([*MODEL, *DATA, "--model.likelihood=Gausian"], ["model.likelihood", "did you mean 'Gaussian'"]),
        ([*MODEL, *DATA, "--model.optimizer=torch.optim.Adamm"], ["model.optimizer", "did you mean 'Adam'"]),
        ([*MODEL, *DATA, "--trainer.callbacks+=Uncertain"], ["trainer.callbacks", "did you mean 'Uncertainty'"]),
        (
            [*MODEL, *DATA, "--trainer.callbacks+=Qqqqq"],
            [
                "trainer.callbacks",
                "choose one of ActiveLearning, Anomaly, ClassSamples",
                "in a file of lit_ae/callbacks",
            ],
        ),
        # names of settings
        ([*MODEL, *DATA, "--model.latentdim=3"], ["model.latentdim", "AE", "did you mean 'latent_dim'"]),
        ([*MODEL, *DATA, "--data.batchsize=3"], ["data.batchsize", "Digits", "did you mean 'batch_size'"]),
        ([*MODEL, *DATA, "--model.encoder.width=[3]"], ["model.encoder.width", "did you mean 'widths'"]),
        ([*MODEL, *DATA, "--model.optimizer.rl=0.1"], ["model.optimizer.rl", "Adam", "did you mean 'lr'"]),
        ([*MODEL, *DATA, "--trainer.maxepochs=3"], ["--trainer.maxepochs", "did you mean '--trainer.max_epochs'"]),
        ([*MODEL, *DATA, "--latentdim=3"], ["--latentdim", "did you mean '--model.latent_dim'"]),
        ([*MODEL, *DATA, "--xyzzy=3"], ["--xyzzy", "`lit-ae fit --help`"]),
        (["--confg", "x.yaml"], ["--confg", "did you mean '--config'"]),
        ([*MODEL, *DATA, "stray"], ["'stray'", "--NAME=VALUE"]),
        ([*MODEL, *DATA, "--trainer.max_epochs"], ["--trainer.max_epochs needs a value"]),
        # types
        ([*MODEL, *DATA, "--model.latent_dim=abc"], ["model.latent_dim is 'abc'", "a whole number"]),
        ([*MODEL, *DATA, "--model.latent_dim=1.5"], ["model.latent_dim is '1.5'", "a whole number"]),
        ([*MODEL, *DATA, "--trainer.max_epochs=x"], ["trainer.max_epochs is 'x'", "a whole number"]),
        ([*MODEL, *DATA, "--data.limit=x"], ["data.limit is 'x'", "a whole number"]),
        ([*MODEL, *DATA, "--model.optimizer.lr=abc"], ["model.optimizer.lr is 'abc'", "a number"]),
        ([*MODEL, *DATA, "--model.encoder.widths=[a]"], ["model.encoder.widths is 'a'", "a whole number"]),
        ([*MODEL, *DATA, "--model.encoder.widths=3"], ["model.encoder.widths is '3'", "a list"]),
        ([*MODEL, *DATA, "--model.encoder.activation=rleu"], ["model.encoder.activation", "did you mean 'relu'"]),
        ([*MODEL, *DATA, "--trainer.precision=17"], ["trainer.precision is '17'", "did you mean '16'"]),
        # values that the classes themselves refuse
        ([*MODEL, *DATA, "--model.latent_dim=0"], ["model.latent_dim is 0", "at least 1"]),
        ([*MODEL, *DATA, "--data.batch_size=0"], ["data.batch_size is 0", "at least 1"]),
        ([*MODEL, *DATA, "--model.encoder.dropout=2"], ["dropout probability", "between 0 and 1"]),
        ([*MODEL, *DATA, "--trainer.accelerator=tpux"], ["trainer", "accelerator='tpux'", "cpu"]),
        ([*MODEL, *DATA, "--trainer.max_epochs=-5"], ["max_epochs", "-5"]),
        (["--config", str(CONFIGS / "model" / "conv_ae.yaml"), "--data=Flat"], ["ConvDecoder", "(6,)", "MLPEncoder"]),
        # what is missing
        ([*DATA], ["no model is given", "--config", "vae"]),
        ([*MODEL], ["no data is given", "--config", "digits"]),
        ([*MODEL, "--data=Array"], ["data", "Array needs path", "--data.NAME=VALUE"]),
    ],
)
def test_settings(failing, args, parts):
    line = failing("fit", *args)
    for part in parts:
        assert part in line
    assert len(line) < 350


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["nonsense"], ["'nonsense'", "fit, validate, test, predict, study, report"]),
        (["fitt"], ["'fitt'", "did you mean 'fit'"]),
        (["study"], ["run|status", "lit-ae study --help"]),
        (["study", "rnu", "x.yaml"], ["'rnu'", "'run', 'status'"]),
        (["study", "run"], ["required: EXPERIMENT;", "lit-ae study run --help"]),
        (["study", "run", "x.yaml", "--workers=x"], ["--workers", "'x'"]),
        (["report", "x.yaml", "--colour=red"], ["--colour=red", "lit-ae report --help"]),
    ],
)
def test_commands(failing, argv, parts):
    line = failing(*argv)
    for part in parts:
        assert part in line


def test_a_message_of_another_form_becomes_one_line():
    assert explain("ambiguous option:\n  --a could\n  match --ab") == "ambiguous option: --a could match --ab"


# -- config files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"model: [1,\n  b: {", ["not YAML, line 2"]),
        (b"\xff\xfe\x00\x80", ["not YAML"]),
        (b"a: \x00", ["not YAML"]),
        (b"- a\n- b\n", ["list", "KEY: VALUE"]),
        (b"hello\n", ["str", "KEY: VALUE"]),
        (b"", ["is empty"]),
    ],
)
def test_config_file_that_holds_no_settings(failing, content, parts):
    line = failing("fit", *MODEL, *DATA, f"--config={written('x.yaml', content)}")
    for part in ["--config x.yaml", *parts]:
        assert part in line


def test_config_file_that_is_missing(failing):
    written("vae.yaml", {})
    line = failing("fit", *DATA, "--config", "vea.yaml")
    assert "--config vea.yaml cannot be read (No such file or directory): did you mean 'vae.yaml'?" in line
    assert "--config nowhere/x.yaml cannot be read" in failing("fit", *DATA, "-c", "nowhere/x.yaml")


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"modle": {"class_path": "AE"}}, ["modle", "did you mean 'model'"]),
        ({"trainer": {"max_epochz": 3}}, ["trainer.max_epochz", "did you mean 'trainer.max_epochs'"]),
        ({"model": {"class_path": "VEA"}}, ["model", "'VEA'", "did you mean 'VAE'"]),
        (callback("Clusterin"), ["trainer.callbacks", "'Clusterin'", "did you mean 'Clustering'"]),
        (callback("Uncertainty", drws=3), ["trainer.callbacks.drws", "Uncertainty", "did you mean 'draws'"]),
        (callback("GenerationScores", extractor="lnet"), ["callbacks.extractor is 'lnet'", "did you mean 'lenet'"]),
        (callback("Evaluation", samplers=[{"class_path": "Mixtur"}]), ["samplers", "did you mean 'Mixture'"]),
        (
            callback("Evaluation", samplers=[{"class_path": "Mixture", "init_args": {"components": 0}}]),
            ["components", "is 0"],
        ),
        (callback("lightning.pytorch.callbacks.ModelCheckpoint", save_top_k=-4), ["save_top_k=-4"]),
    ],
)
def test_settings_in_a_config_file(failing, settings, parts):
    line = failing("fit", *MODEL, *DATA, "--config", written("x.yaml", settings))
    for part in parts:
        assert part in line


# -- data -----------------------------------------------------------------------------------------------------------


def test_data_file_with_a_wrong_checksum(failing):
    folder = Path("MNIST/raw")
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for what in ("images-idx3", "labels-idx1"):
            (folder / f"{part}-{what}-ubyte").write_bytes(b"no digits")
    line = failing("fit", *MODEL, "--data=MNIST", "--data.root=.", UNTRACKED)
    assert "train-images-idx3-ubyte has a wrong checksum" in line
    assert "--data.root" in line


def test_data_that_are_missing_without_a_network(failing, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(download, "urlopen", refuse)
    line = failing("fit", *MODEL, "--data=FashionMNIST", "--data.root=here", UNTRACKED)
    for part in ("train-images-idx3-ubyte", "here/FashionMNIST/raw", "no network", "LIT_AE_DATA"):
        assert part in line


# -- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(shared_store, lit_ae, settings):
    """A checkpoint of an AE whose run has finished."""
    assert lit_ae("fit", *settings("ae")) == 0
    (checkpoint,) = shared_store.glob("artifacts/*/artifacts/checkpoints/*.ckpt")
    return checkpoint


@pytest.fixture
def failing_test(failing, trained, shared_store, settings, monkeypatch):
    """As `failing`, for `lit-ae test` beside that run, which must stay as it was."""
    monkeypatch.chdir(shared_store.parent)
    before = statuses()
    assert set(before.values()) == {"FINISHED"}
    yield lambda *args, model="ae", command="test": failing(command, *settings(model), *args)
    assert statuses() == before


def test_checkpoint_of_another_family(failing_test, trained):
    line = failing_test(f"--ckpt_path={trained}", model="vae")
    for part in ("ckpt_path", "AE", "VAE", "config"):
        assert part in line
    (run,) = tracking.search("lit_ae")
    assert run.params["model"] == "AE"
    assert "model.beta" not in run.params


def test_checkpoint_of_other_settings(failing_test, trained):
    line = failing_test(f"--ckpt_path={trained}", "--model.latent_dim=7")
    for part in ("ckpt_path", "(256, 7)", "(256, 100)", "config"):
        assert part in line


@pytest.mark.parametrize("command", ["fit", "test"])
def test_checkpoint_that_cannot_be_read(failing_test, trained, tmp_path, command):
    content = trained.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(content[: len(content) // 2])
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.ckpt")
    torch.save({"state_dict": {}, "code": Path("a")}, tmp_path / "code.ckpt")
    for name, part in (
        ("cut", "damaged"),
        ("other", "no checkpoint of a training run"),
        ("code", "UnpicklingError"),
        ("none", "is not a file"),
    ):
        line = failing_test(f"--ckpt_path={tmp_path / name}.ckpt", command=command)
        assert "ckpt_path" in line
        assert f"{name}.ckpt" in line
        assert part in line


def test_no_weights_to_test(failing):
    assert "--ckpt_path" in failing("test", *MODEL, *DATA, UNTRACKED)


@pytest.mark.parametrize("setting", ["--run_id=deadbeef", "--run_name=r", "--resume=true", "--figures=[tsne]"])
def test_settings_of_a_run_are_refused_without_one(failing, setting):
    line = failing("fit", *MODEL, *DATA, UNTRACKED, setting)
    assert f"{setting.partition('=')[0]} needs an MLflow run" in line
    assert "trainer.logger" in line


def test_run_that_does_not_exist(failing_test):
    assert "run_id 'deadbeef'" in failing_test("--run_id=deadbeef")
    assert "lit-ae fit" in failing_test("--model.latent_dim=9")


# -- the store ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(settings):
    return ("fit", *settings("ae"))


@pytest.mark.parametrize("make", ["file", "folder", "junk"])
def test_store_that_cannot_be_written(failing, small, make):
    if make == "file":
        Path("mlruns").touch()
    elif make == "folder":
        Path("mlruns/mlflow.db").mkdir(parents=True)
    else:
        Path("mlruns").mkdir()
        Path("mlruns/mlflow.db").write_text("this is no database")
    for command in (small, ("study", "run", written("x.yaml", STUDY)), ("report", "x.yaml")):
        line = failing(*command)
        assert "mlruns/mlflow.db" in line
        assert "MLFLOW_TRACKING_URI" in line


def test_read_only_database(failing, small, empty_store, monkeypatch):
    path = empty_store / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{path}?mode=ro&uri=true")
    line = failing(*small)
    assert str(path) in line
    assert "readonly" in line


def test_database_that_fails_later(failing, small, empty_store, monkeypatch):
    """As when the disk has become full; the log that MLflow itself writes of it is not checked."""
    path = empty_store / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{path}?mode=ro&uri=true&later=1")
    monkeypatch.setattr("lit_ae.tracking.store_check.check_store", lambda uri: None)
    monkeypatch.setattr("mlflow.store.db.utils._logger.exception", lambda *args, **kwargs: None)
    monkeypatch.setattr("mlflow.store.db.utils._logger.error", lambda *args, **kwargs: None)
    assert "the MLflow store failed (attempt to write a readonly database)" in failing(*small)


def test_artifacts_that_cannot_be_written(failing, small, store):
    (store / "artifacts").touch()
    assert f"{store}/artifacts" in failing(*small)


def test_server_that_does_not_answer(failing, small, monkeypatch):
    with socket.socket() as bound:  # nobody listens on this port
        bound.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert re.search(rf"MLFLOW_TRACKING_URI {uri} .*refused", failing(*small))


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/x", "nonsense://x"])
def test_store_that_mlflow_does_not_take(failing, small, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    line = failing(*small)
    assert uri in line
    assert "sqlite:///" in line


# -- studies --------------------------------------------------------------------------------------------------------

STUDY = {
    "name": "tiny",
    "title": "Tiny",
    "question": "None?",
    "profiles": {"quick": {"data": "digits", "seeds": [0]}},
    "models": {"AE": {"config": "ae"}},
    "columns": [{"metric": "test/mse", "label": "MSE"}],
}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"colums": []}, ["x.yaml", "colums", "did you mean 'columns'"]),
        ({"columns": [{"metrc": "test/mse", "label": "MSE"}]}, ["columns.0.metrc", "did you mean 'metric'"]),
        ({"models": {"AE": {"config": "aee"}}}, ["'aee'", "did you mean 'ae'"]),
        ({"profiles": {"quick": {"data": "digit", "seeds": [0]}}}, ["'digit'", "did you mean 'digits'"]),
        ({"comparisons": [{"metric": "test/mse", "a": "AE", "b": "EA"}]}, ["'EA'", "did you mean 'AE'"]),
    ],
)
@pytest.mark.parametrize("command", [("study", "run"), ("study", "status"), ("report",)])
def test_study_file(failing, command, changes, parts):
    line = failing(*command, written("x.yaml", {**STUDY, **changes}))
    for part in parts:
        assert part in line
    assert not Path("mlruns").exists()


def test_study_that_cannot_be_read(failing):
    assert "nope.yaml" in failing("study", "run", "nope.yaml")
    assert "not YAML, line 2" in failing("study", "run", written("x.yaml", b"a: [\n"))
    assert "does not hold settings" in failing("study", "run", written("x.yaml", b"- a\n"))


def test_profile_that_does_not_exist(failing):
    for command in (["study", "run"], ["study", "status"], ["report"]):
        line = failing(*command, written("x.yaml", STUDY), "--profile=quik")
        assert "'quik'" in line
        assert "did you mean 'quick'" in line


def test_metric_that_no_run_logged(failing, store):
    parent = tracking.create_run("tiny", "tiny", {"kind": "study", "study": "tiny", "profile": "quick"})
    tags = {"kind": "run", "study": "tiny", "profile": "quick", "model": "AE", "data": "digits", "seed": "0"}
    run = tracking.create_run("tiny", "AE seed 0", tags, parent)
    tracking.log_metrics(run, {"test/mse": 0.1})
    for run_id in (run, parent):
        tracking.end_run(run_id, "FINISHED")
    wanted = {**STUDY, "columns": [{"metric": "test/mes", "label": "MSE"}]}
    line = failing("report", written("x.yaml", wanted))
    assert "'test/mes'" in line
    assert "did you mean 'test/mse'" in line


# -- while training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "option", "term"),
    [
        ("ae", "--model.optimizer.lr=1e30", "train/nll"),
        ("gan", "--model.discriminator_optimizer.lr=1e30", "train/generator_loss"),
    ],
)
def test_loss_that_is_not_a_number(failing, store, settings, model, option, term):
    options = ("--data.batch_size=10", "--trainer.max_epochs=50", option)
    line = failing("fit", *settings(model, limit=60), *options, status=1)
    (step,) = re.findall(r"at step (\d+)", line)
    assert term in line
    assert int(step) < 6  # within the first epoch
    assert "learning rate" in line
    (run,) = tracking.search("lit_ae")
    assert run.status == "FAILED"
    assert term in run.tags["error"]


def test_optimizer_that_refuses_its_settings(failing, settings):
    line = failing("fit", *settings("ae"), "--model.optimizer.betas=[2,3]", UNTRACKED)
    assert "Invalid beta parameter at index 0: 2.0" in line


# -- faults of the code ---------------------------------------------------------------------------------------------


def test_fault_in_a_constructor_keeps_its_traceback(lit_ae):
    with pytest.raises(ZeroDivisionError) as raised:
        lit_ae("fit", *MODEL, *DATA, "--model=Faulty")
    assert raised.traceback[-1].path == Path(__file__)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__  # the parser's page about it


def test_fault_in_training_keeps_its_traceback(lit_ae, settings):
    with pytest.raises(ValueError, match="a fault in here") as raised:
        lit_ae("fit", *settings("ae"), "--model=Picky", UNTRACKED)
    assert raised.traceback[-1].path == Path(__file__)


# -- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["--help"], ["study", "--help"], ["study", "run", "--help"], ["report", "--help"]])
def test_help_imports_nothing_heavy(argv):
    code = (
        "import sys; from lit_ae.cli import main\n"
        f"try: status = main({argv})\n"
        "except SystemExit as done: status = done.code\n"
        "heavy = {'torch', 'numpy', 'lightning', 'mlflow', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "print('status', status, 'heavy', sorted(heavy))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "usage: lit-ae" in out
    assert out.endswith("status 0 heavy []\n")


def test_help_of_a_training_command(lit_ae, capsys):
    with pytest.raises(SystemExit) as done:
        lit_ae("fit", "--help")
    assert done.value.code == 0
    out = capsys.readouterr().out
    for part in ("--trainer.max_epochs", "Stop training once", "lit_ae.VAE", "Digits", "MLflow experiment"):
        assert part in out


def test_help_of_a_model(lit_ae, capsys):
    with pytest.raises(SystemExit) as done:
        lit_ae("fit", "--model.help=VAE")
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert "weight β of the KL term" in out
    assert "--model.latent_dim" in out


@pytest.mark.parametrize("name", ["what? x", "My%20Project"])
def test_folder_whose_path_a_store_cannot_have(failing, small, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    error = failing(*small)
    assert all(part in error for part in (str(tmp_path / name), "rename it", "MLFLOW_TRACKING_URI"))
    assert [path.name for path in tmp_path.iterdir() if "what" in path.name or "My" in path.name] == [name]


@pytest.mark.parametrize("threads", ["0", "-1", "x"])
def test_numbers_of_threads_and_ports(failing, threads):
    assert "no whole number at least 1" in failing(
        "study", "job", "stochastic", "--model", "AE", "--seed", "0", f"--threads={threads}"
    )
    for port in ("0", "99999"):
        assert "no whole number from 1 to 65535" in failing("ui", "--port", port)


@pytest.mark.parametrize("option", ["--trainer=trainer.yaml", "--trainer={max_steps: 7, max_epochs: 2}"])
def test_settings_of_a_group_are_set(lit_ae, small, store, tmp_path, monkeypatch, option):
    (tmp_path / "trainer.yaml").write_text("max_steps: 7\nmax_epochs: 2\n")
    monkeypatch.chdir(tmp_path)
    kept = [argument for argument in small if not str(argument).startswith("--trainer.max_")]
    assert lit_ae(*kept, option) == 0
    (run,) = tracking.search("lit_ae")
    assert (run.params["trainer.max_epochs"], run.params["trainer.max_steps"]) == ("2", "7")


@pytest.mark.parametrize("setting", ["--run_name=foo", "--resume=true"])
def test_settings_of_a_run_are_refused_in_a_fast_development_run(failing, small, setting):
    assert "needs an MLflow run, which there is none of with trainer.fast_dev_run" in failing(
        *small, setting, "--trainer.fast_dev_run=true"
    )


def test_a_yaml_file_that_is_no_utf_8_is_listed(lit_ae, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "mine.yaml").write_bytes("# Modèle à moi.\nmodel: AE\n".encode("latin-1"))
    assert lit_ae("list", "models") == 0
    assert "mine" in capsys.readouterr().out


def test_the_command_that_scores_keeps_values_called_fit():
    from lit_ae.training.what_next import _of_test

    given = ["fit", "--experiment", "fit", "--run_name", "a", "--config", "vae"]
    assert list(_of_test(given)) == ["--experiment", "fit", "--config", "vae"]
