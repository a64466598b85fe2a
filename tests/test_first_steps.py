"""What a new user does first: names, lists, copies, links, and the same from the wheel outside the repository."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

import lit_ae as package
from lit_ae import tracking
from lit_ae.cli import dispatcher
from lit_ae.cli.listing import KINDS, described
from lit_ae.errors import SettingError
from lit_ae.settings import files
from lit_ae.training import lightning_cli
from lit_ae.training.what_next import what_next

ROOT = Path(__file__).parent.parent


# -- names -------------------------------------------------------------------------------------------------------


def test_a_name_means_a_file(tmp_path, monkeypatch):
    """A file of that path, then one's own configs, then those that come with lit_ae."""
    monkeypatch.chdir(tmp_path)
    shipped = files.config_folder()
    assert files.named_config("vae") == shipped / "model" / "vae.yaml"
    assert files.named_config("data/shapes") == shipped / "data" / "shapes.yaml"
    assert files.named_config("no/such.yaml") == Path("no/such.yaml")  # its own message says that it is missing
    assert files.named_experiment(Path("stochastic")) == files.experiment_folder() / "stochastic.yaml"
    assert files.named_config("configs/trainer/ddp.yaml") == shipped / "trainer" / "ddp.yaml"  # as in the docs
    assert files.named_experiment(Path("experiments/shapes.yaml")) == files.experiment_folder() / "shapes.yaml"
    for elsewhere in ("configs/own_data.yaml", "trainer/ddp.yaml", "a/configs/trainer/ddp.yaml"):
        assert files.named_config(elsewhere) == Path(elsewhere)
    own = tmp_path / "configs" / "model" / "vae.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert files.named_config("vae") == own
    assert files.named_config("configs/model/vae.yaml") == Path("configs/model/vae.yaml")
    assert files.config_file("model", "vae") == own
    Path("vae").touch()
    assert files.named_config("vae") == Path("vae")


@pytest.mark.parametrize("name", ["vae", "data/shapes", "callbacks/shapes", "digits", "scores", "ddp"])
def test_the_short_name_of_a_file_means_it(name):
    assert files.short_name(files.named_config(name)) == name


def test_another_file_has_no_short_name(tmp_path):
    path = tmp_path / "model" / "vae.yaml"
    assert files.short_name(path) == str(path)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["fit", "--config", "vea"], "--config vea is neither a file nor the short name of one: did you mean vae?"),
        (["fit", "--config=shapes"], "may be several files: give --config data/shapes or --config callbacks/shapes"),
        (["study", "run", "stochastik"], "did you mean stochastic or stochastic_priors"),
        (["ui"], "there are no runs in"),
        (["list", "everything"], "invalid choice: 'everything'"),
    ],
)
def test_a_name_that_means_nothing_is_said_in_one_line(lit_ae, capsys, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    assert lit_ae(*args) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


# -- lists and copies --------------------------------------------------------------------------------------------


def test_lists_have_a_line_for_each_name(lit_ae, capsys):
    from lit_ae.callbacks.scores import anomaly  # noqa: F401 - one of the modules whose classes are listed

    folders = {"models": "model", "data": "data", "callbacks": "callbacks"}
    for kind in KINDS:
        lines = described(kind)
        assert all(0 < len(line) <= 120 and "\n" not in line for line in lines.values()), kind
        if kind in folders:
            assert set(lines) == {path.stem for path in (files.config_folder() / folders[kind]).glob("*.yaml")}
    assert {path.stem for path in files.experiment_folder().glob("*.yaml")} == set(described("experiments"))
    assert {"GenerationScores", "Anomaly", "LinearProbe"} <= set(described("scores"))
    assert len(described("scores")) == len(list((files.PACKAGE / "callbacks" / "scores").glob("[a-z]*.py")))
    assert lit_ae("list", "models") == 0
    said = capsys.readouterr().out
    assert re.search(r"^pca +Principal component analysis, the linear baseline$", said, re.MULTILINE)
    assert "lit-ae fit --config NAME --config digits" in said


def test_copies_are_used_and_never_overwritten_silently(store, lit_ae, capsys, settings):
    assert lit_ae("init", ".") == 0
    copied = sorted(Path("configs").rglob("*.yaml")) + sorted(Path("experiments").glob("*.yaml"))
    assert f"{len(copied)} files copied" in capsys.readouterr().out
    assert len(copied) > 80
    for path in copied:
        assert path.read_bytes() == (ROOT / path).read_bytes()
    mine = Path("configs/model/vae.yaml")
    mine.write_text(mine.read_text().replace("latent_dim: 100", "latent_dim: 3"))
    Path("configs/data/digits.yaml").unlink()
    assert lit_ae("init", ".") == 2
    assert "1 of these files with other content (configs/model/vae.yaml): nothing was copied" in capsys.readouterr().err
    assert not Path("configs/data/digits.yaml").exists()
    options = [arg for arg in settings("vae") if not arg.endswith(".yaml") and arg != "--config"]
    assert lit_ae("fit", "--config", "vae", "--config=digits", *options) == 0
    (run,) = tracking.search("lit_ae")
    assert run.params["model.latent_dim"] == "3"
    assert lit_ae("init", "--overwrite") == 0
    assert "2 files copied" in capsys.readouterr().out
    assert "latent_dim: 100" in mine.read_text()


def test_the_example_of_own_data_is_read(store, lit_ae, settings):
    """A folder of images with subfolders for classes, as the example says."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for i in range(30):
        path = Path("images", "ab"[i % 2], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(path)
    example = files.config_folder() / "own_data.yaml"
    options = [arg for arg in settings("vae") if not arg.endswith(".yaml") and arg != "--config"]
    assert lit_ae("fit", "--config", "vae", "--config", example, *options) == 0
    assert package.load(tracking.search("lit_ae")[0].id).input_shape == (3, 20, 24)
    Path("table.csv").write_text("a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(20)))
    settings_of_data = yaml.safe_load(example.read_text("utf-8"))["data"]["init_args"]
    assert package.Array(**{**settings_of_data, "path": "table.csv"}).class_names == ()


# -- what is said ------------------------------------------------------------------------------------------------


def test_fit_says_what_is_trained_how_it_goes_and_what_comes_next(store, lit_ae, capsys, caplog, settings, monkeypatch):
    monkeypatch.setattr(lightning_cli, "on_terminal", lambda: True)
    options = [arg for arg in settings("vae") if "progress_bar" not in arg and not arg.endswith(".yaml")]
    options = [arg for arg in options if arg != "--config"]
    assert lit_ae("fit", "--config", "vae", "--config", "digits", "--run_name=first", *options) == 0
    said = capsys.readouterr()
    (run,) = tracking.search("lit_ae")
    assert re.search(r"MLPEncoder.*252 K", said.out + said.err + caplog.text)
    assert re.search(r"val/loss=\d", said.out + said.err)
    figures = Path(re.search(r"its figures: +(.+)", said.out)[1])
    assert sorted(path.name for path in figures.iterdir()) == ["loss.png"]
    command = re.search(r"to score it: +lit-ae (.+)", said.out)[1]
    assert command.startswith("test --config vae --config digits --data.limit=60")
    assert command.endswith(f"--config scores --run_id {run.id}")
    assert "run_name" not in command


def test_the_next_command_leaves_out_what_only_fit_takes():
    run = tracking.Run("0" * 32, "VAE", 0, "digits", "FINISHED", {}, {}, {}, 0, 1, "file:///there/artifacts")
    args = ["fit", "-c", str(files.config_folder() / "model" / "vae.yaml"), "--resume=true", "--ckpt_path", "last"]
    assert what_next(run, [*args, "--run_id", "0" * 32, "--data=Digits"]).splitlines() == [
        f"run {'0' * 32} is finished",
        "  its figures:    /there/artifacts/figures",
        "  to look at it:  lit-ae ui",
        f"  to score it:    lit-ae test --config vae --data=Digits --config scores --run_id {'0' * 32}",
    ]


def test_the_link_to_the_newest_study_shows_its_columns(store, lit_ae, capsys):
    """MLflow reads the columns of a shared view from a tag of the experiment; the link names the tag."""
    for name in ("old", "new"):
        tags = {"kind": "study", "study": name, "profile": "quick", "columns": json.dumps(["test/mse@5", "test/none"])}
        parent = tracking.create_run(name, name, tags)
        child = tracking.create_run(name, "AE", {"kind": "run", "model": "AE", "seed": "0"}, parent)
        tracking.log_metrics(child, {"test/mse": 1.0, "test/mae": 2.0})
        time.sleep(0.01)
    assert lit_ae("ui", "--print-only", "--port", "5077") == 0
    said = capsys.readouterr().out
    experiment = tracking.client().get_experiment_by_name("new")
    link = f"http://127.0.0.1:5077/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=lit_ae-quick"
    assert f"study new, profile quick: {link}\n" in said
    view = json.loads(experiment.tags["mlflow.sharedViewState.lit_ae-quick"])
    assert view["searchFilter"] == f"tags.`mlflow.parentRunId` = '{parent}'"
    assert view["selectedColumns"][1:] == ["tags.`model`", "tags.`seed`", "metrics.`test/mse`"]


def test_no_message_names_a_target_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {"ui", "test", "reproduce"} <= set(targets)
    pattern = re.compile(rf"`make|\bmake ({'|'.join(targets)})\b")
    found = [path for path in files.PACKAGE.rglob("*.py") if pattern.search(path.read_text("utf-8"))]
    assert not found


# -- from the wheel ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An empty folder, and the environment of a shell in which the wheel is installed and this repository is not."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "site", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    path = os.pathsep.join([str(folder / "site" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "PATH": path, "OMP_NUM_THREADS": "1"}
    (folder / "empty").mkdir()
    where = [sys.executable, "-c", "import lit_ae; print(lit_ae.__file__)"]
    found = subprocess.run(where, cwd=folder / "empty", env=environment, capture_output=True, text=True).stdout
    assert found.startswith(str(folder / "site"))
    return folder / "empty", environment


def commands():
    """The commands under "First five minutes" in the README."""
    text = (ROOT / "README.md").read_text("utf-8").split("## First five minutes")[1]
    block = text.split("```bash\n")[1].split("```")[0]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_first_five_minutes_of_the_readme(installed):
    folder, environment = installed
    install, *others, last = commands()
    assert install.startswith("pip install lit_ae-")
    assert [command.split()[1] for command in others] == ["init", "list", "fit", "study"]
    for command in others:
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "site-packages/lit_ae" not in done.stderr
    assert (folder / "experiments" / "reports" / "quick" / "stochastic.md").is_file()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert last == "lit-ae ui"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            ["lit-ae", "ui", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read().decode()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(1)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert "<title>MLflow</title>" in page
    assert f"study stochastic, profile quick: http://127.0.0.1:{port}/#/experiments/" in (folder / "log").read_text()


@pytest.mark.slow
def test_the_wheel_holds_all_configs_and_experiments(installed):
    _, environment = installed
    site = Path(environment["PYTHONPATH"]) / "lit_ae"
    for name in ("configs", "experiments"):
        expected = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*.yaml")}
        expected = {path for path in expected if path.parts[0] != "reports"}  # settings of the committed runs
        assert {path.relative_to(site / name) for path in (site / name).rglob("*") if path.is_file()} == expected
    assert yaml.safe_load((site / "experiments" / "stochastic.yaml").read_text())["name"] == "stochastic"


def test_a_name_is_refused_where_no_file_can_be_meant():
    with pytest.raises(SettingError, match="`lit-ae list experiments` lists the names"):
        files.named_experiment(Path("qqqqqq"))
    with pytest.raises(SettingError, match="`lit-ae list models`, `data` and `callbacks` list the names"):
        files.named_config("digit")


def test_classes_of_the_current_folder_are_found(monkeypatch):
    """As the tutorial on families says; what is installed comes first."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setattr(sys, "path", ["before"])
    monkeypatch.setattr(dispatcher, "main", lambda argv: 0)
    with pytest.raises(SystemExit):
        dispatcher.entry_point()
    assert sys.path == ["before", ""]
