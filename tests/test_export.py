"""Exported models give PyTorch's values, in processes that do not know this project."""

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
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import lit_ae as package
from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.export.card import model_card
from lit_ae.export.export import write_mlflow
from lit_ae.export.parts import difference, part_of
from lit_ae.export.programs import _compared, write_onnx, write_torch
from lit_ae.settings.files import config_folder
from lit_ae.testing.subject import from_yaml

SHAPES = {"nmn": (8,), "vae_faces": (1, 28, 20), "vae_shapes": (1, 64, 64)}
MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))


def built(name):
    """The model of a YAML file with random weights, in evaluation mode."""
    torch.manual_seed(0)
    config = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())["model"]
    return from_yaml(config, SHAPES.get(name, (1, 28, 28)), 10).eval()


@pytest.fixture(scope="module")
def run(shared_store, lit_ae, settings):
    """The id of a run of the VAE."""
    assert lit_ae("fit", *settings("vae")) == 0
    return package.runs().iloc[0]["run_id"] if "run_id" in package.runs() else package.runs().index[0]


@pytest.fixture(scope="module")
def images():
    return package.Digits().split("test").x[:7].float() / 255


BARE = """
import sys
import importlib.util
sys.path.insert(0, sys.argv[1])
assert not any(importlib.util.find_spec(name) for name in ("lit_ae", "torch", "lightning", "mlflow", "sklearn"))
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[2])
found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": np.load("images.npy")})))
np.savez("found.npz", **found)
"""


def test_an_image_in_a_reconstruction_and_a_score_out_without_this_project(run, images, lit_ae, tmp_path):
    """In a Python that has onnxruntime and NumPy and no other package."""
    assert lit_ae("export", run, "--format", "onnx", "--output", tmp_path / "vae.onnx") == 0
    site = Path(np.__file__).parent.parent
    (tmp_path / "bare").mkdir()
    for name in ("numpy", "numpy.libs", "onnxruntime", "flatbuffers", "google", "packaging"):
        if (site / name).exists():
            (tmp_path / "bare" / name).symlink_to(site / name)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-I", "-S", "-c", BARE, "bare", "vae.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, model = np.load(tmp_path / "found.npz"), package.load(run)
    np.testing.assert_allclose(found["codes"], model.embed(images), atol=1e-5)
    expected = model.reconstruct(images)
    np.testing.assert_allclose(found["reconstruction"], expected, atol=1e-5)
    np.testing.assert_allclose(found["score"], (expected - images).square().flatten(1).sum(1), rtol=1e-5)


def test_a_torch_program_takes_batches_of_any_size(run, images, lit_ae, tmp_path, capsys):
    for part in ("encoder", "decoder"):
        assert lit_ae("export", run, "--format", "torch", "--part", part, "--output", tmp_path / f"{part}.pt2") == 0
    assert "z: codes [N, 100] as float32 -> reconstruction" in capsys.readouterr().out
    encoder, decoder = (torch.export.load(tmp_path / f"{part}.pt2").module() for part in ("encoder", "decoder"))
    model = package.load(run)
    with torch.no_grad():
        (codes,) = encoder(images)
        (decoded,) = decoder(codes)
    torch.testing.assert_close(codes, model.embed(images), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(decoded, model.reconstruct(images), atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_labels_are_an_input_of_a_conditional_family(tmp_path):
    import onnxruntime

    model = built("conditional_vae")
    torch.nn.init.normal_(model.shift)
    model.trainer = SimpleNamespace(datamodule=SimpleNamespace(class_names=tuple("abcdefghij")))
    package.save_pretrained(model, tmp_path / "folder")
    model.trainer = None
    assert model.class_names == ()
    model = package.from_pretrained(tmp_path / "folder")
    assert model.class_names == tuple("abcdefghij")
    assert "| 9 | j |" in (tmp_path / "folder" / "README.md").read_text()
    write_onnx(part_of(model, "all"), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == list("abcdefghij")
    x, y = torch.rand(2, 1, 28, 28), torch.tensor([3, 4])
    outputs = session.run(["codes", "reconstruction"], {"x": x.numpy(), "y": y.numpy()})
    np.testing.assert_allclose(outputs[0], model.embed(x, y), atol=1e-5)
    np.testing.assert_allclose(outputs[1], model.reconstruct(x, y), atol=1e-5)
    assert np.abs(outputs[1] - model.reconstruct(x, 9 - y).numpy()).max() > 0.01


def test_weights_settings_and_card(run, images, lit_ae, tmp_path):
    tracking.log_metrics(run, {"test/mse": 0.0625, "val/mse": 0.5})
    tracking.log_json(run, {"probe": "5 folds"}, "protocol.json")
    folder = tmp_path / "vae"
    assert lit_ae("export", run, "--format", "safetensors", "--output", folder, "--licence", "cc-by-4.0") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    model, loaded = package.load(run), package.from_pretrained(folder)
    assert type(loaded).__name__ == "VAE"
    assert not loaded.training
    torch.testing.assert_close(loaded.reconstruct(images), model.reconstruct(images), atol=0, rtol=0)
    card = (folder / "README.md").read_text("utf-8")
    header = yaml.safe_load(card.split("---")[1])
    assert header == {"library_name": "lit_ae", "license": "cc-by-4.0", "tags": ["autoencoder", "vae"]}
    assert "| `test/mse` | 0.0625 |" in card
    assert "val/mse" not in card
    assert "- probe: 5 folds" in card
    digest = package.load_data(run).digest()
    assert f"`digits`, digest `{digest}`" in card
    assert json.loads((folder / "config.json").read_text())["settings"]["latent_dim"] == 100


def test_the_card_has_scores_of_its_weights_alone(run):
    model = package.load(run)
    tracking.log_metrics(run, {"test/mse": 0.0625, "test/fid/normal": 7.5})
    tracking.log_json(run, {"left_out": {"fid/normal": "there is no sampler"}}, "protocol.json")
    card = model_card(model, run, "mit")
    assert "| `test/mse` | 0.0625 |" in card
    assert "7.5" not in card
    assert "- left out: fid/normal: there is no sampler" in card
    tracking.set_tags(run, {"tested_weights": "last checkpoint (epoch 1, step 2)"})
    card = model_card(model, run, "mit")
    assert "0.0625" not in card
    assert "These weights are not tested, but last checkpoint (epoch 1, step 2)." in card


def test_shared_weights_are_stored_and_read(tmp_path):
    """The encoder and the decoder of an RBM share a matrix, which safetensors does not take as such."""
    model = built("rbm")
    loaded = package.from_pretrained(package.save_pretrained(model, tmp_path / "rbm"))
    assert loaded.decoder.weight is loaded.encoder.weight
    assert torch.equal(loaded.encoder.weight, model.encoder.weight)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("hopfield", ["--format", "onnx"], "retrieves a pattern in a loop whose length depends on the sample"),
        ("gan", ["--format", "onnx", "--part", "encoder"], "GAN has no encoder, only a generator"),
        ("classifier", ["--format", "torch", "--part", "decoder"], "and has no decoder to export"),
        ("vae", ["--format", "onnx", "--output", "here.txt"], "end its name with .onnx"),
        ("vae", ["--format", "onnx", "--output", "there.onnx"], "is there already"),
        ("vae", ["--format", "safetensors", "--part", "encoder"], "stores the whole model"),
        ("vae", ["--format", "onnx", "--licence", "mit"], "--format onnx has none: leave it out"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(store, lit_ae, capsys, model, arguments, said):
    from lit_ae.models.plain_trainer import plain_trainer

    trainer = plain_trainer()
    trainer.strategy.connect(built(model))
    trainer.save_checkpoint("model.ckpt", weights_only=True)
    Path("there.onnx").touch()
    assert lit_ae("export", "model.ckpt", *arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_missing_package_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        SettingError, match=r"--format onnx needs the package onnxruntime: pip install 'lit_ae\[export\]'"
    ):
        write_onnx(part_of(built("ae"), "encoder"), tmp_path / "m.onnx")


def test_a_program_that_gives_other_values_is_removed(tmp_path):
    part, path = part_of(built("ae"), "encoder"), tmp_path / "wrong.onnx"
    path.touch()
    with pytest.raises(SettingError, match=r"the exported codes of AE differs from PyTorch's by .*1e-05 is allowed"):
        _compared(part, lambda inputs: [value + 1e-3 for value in part(*inputs)], path)
    assert not path.exists()


def test_the_difference_is_absolute_below_one_and_relative_above():
    assert difference(torch.tensor([0.5]), torch.tensor([0.25])) == 0.25
    assert difference(torch.tensor([90.0]), torch.tensor([100.0])) == pytest.approx(0.1)
    assert difference(torch.zeros(2), torch.zeros(3)) == float("inf")


@pytest.mark.parametrize(("found", "expected"), [("nan", "0"), ("0", "nan"), ("nan", "nan"), ("inf", "inf")])
def test_values_that_are_not_finite_are_never_alike(found, expected):
    assert difference(torch.tensor([float(found), 1.0]), torch.tensor([float(expected), 1.0])) == float("inf")


def test_the_documentation_s_table_has_every_family():
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text("utf-8")
    assert re.findall(r"^\| (\w+) \| (?:all|decoder) \|", page, re.MULTILINE) == MODELS


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_family_in_every_format(name, tmp_path, agrees):
    """All that can be traced, by ONNX, torch.export and MLflow; the Hopfield network's decoder alone."""
    model = built(name)
    part = part_of(model, "decoder" if name == "hopfield" else None)
    found = {"ONNX": write_onnx(part, tmp_path / "m.onnx"), "torch.export": write_torch(part, tmp_path / "m.pt2")}
    found["MLflow"] = write_mlflow(part, tmp_path / "mlflow", name)
    state = package.from_pretrained(package.save_pretrained(model, tmp_path / "st")).state_dict()
    assert state.keys() == model.state_dict().keys()
    found["safetensors"] = max(difference(state[key], value) for key, value in model.state_dict().items())
    for kind, worst in found.items():
        agrees(f"{name} ({part.name})", "PyTorch", kind, worst, 0.0, abs=1e-5)


@pytest.mark.slow
def test_mlflow_serves_the_model(run, images, lit_ae, tmp_path):
    """Codes, reconstructions and scores by HTTP, from a server that cannot import this project."""
    assert lit_ae("export", run, "--format", "mlflow", "--output", tmp_path / "model") == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocker = tmp_path / "blocked" / "lit_ae"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('lit_ae is not to be imported')")
    environment = {**os.environ, "PYTHONPATH": str(blocker.parent), "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where uvicorn is
    command = [
        str(Path(sys.executable).with_name("mlflow")),
        "models",
        "serve",
        "--env-manager",
        "local",
        "-m",
        "model",
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
    ]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        body = json.dumps({"inputs": images[:2].tolist()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        for _ in range(90):
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=30))
                break
            except (ConnectionError, urllib.error.URLError):
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(1)
        found = answer["predictions"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    model = package.load(run)
    expected = model.reconstruct(images[:2])
    np.testing.assert_allclose(found["codes"], model.embed(images[:2]), atol=1e-5)
    np.testing.assert_allclose(found["reconstruction"], expected, atol=1e-5)
    np.testing.assert_allclose(found["score"], (expected - images[:2]).square().flatten(1).sum(1), rtol=1e-5)
