"""`lit-ae predict`: what it writes is what the model computes, for any split and for a file of one's own."""

import numpy as np
import pandas as pd
import pytest
import torch

import lit_ae as library
from lit_ae import tracking
from lit_ae.data import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.predictions import read_predictions, writer
from lit_ae.settings.files import config_folder

CPU = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
VAE = ("--config", config_folder() / "model" / "vae.yaml")


@pytest.fixture
def trained(store, lit_ae, settings):
    """The run of a VAE after an epoch on 60 digits."""
    assert lit_ae("fit", *settings("vae"), "--data.eval_batch_size=25") == 0
    (run,) = tracking.search("lit_ae")
    return run


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_predictions_are_those_of_the_model(trained, lit_ae, settings, ending, capsys):
    name = f"out/val.{ending}"
    assert lit_ae("predict", *settings("vae"), "--data.eval_batch_size=25", "--split=val", f"--output={name}") == 0
    assert name in capsys.readouterr().out
    found, model = library.load_predictions(name), library.load(trained.id)
    data = Digits(limit=60).split("val")
    x = data.x.float() / 255
    with torch.no_grad():
        latent = model.encode(x)
    np.testing.assert_allclose(found["codes"], latent.mu, atol=1e-6)
    np.testing.assert_allclose(found["codes_logvar"], latent.logvar, atol=1e-6)
    np.testing.assert_allclose(found["reconstruction"], model.reconstruct(x), atol=1e-6)
    np.testing.assert_allclose(found["mse"], (x - found["reconstruction"]).square().mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found["loss"], found["nll"] + found["penalty"], rtol=1e-5)
    assert found["index"].tolist() == list(range(60))
    assert found["label"].tolist() == data.y.tolist()
    run = tracking.get_run(trained.id)
    assert (run.status, run.artifact(f"predictions/val.{ending}") is not None) == ("FINISHED", True)
    np.testing.assert_array_equal(library.load_predictions(trained.id)["codes"], found["codes"])


def test_a_file_of_ones_own_is_predicted_in_its_order(trained, lit_ae, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "mine.npy", x)
    own = ("--data=Array", f"--data.path={tmp_path / 'mine.npy'}", "--data.eval_batch_size=3", "--split=all")
    assert lit_ae("predict", *VAE, *own, *CPU, "--run_id", trained.id) == 0
    found = library.load_predictions(f"predictions-{trained.id[:8]}-all.npz")
    np.testing.assert_allclose(found["codes"], library.load(trained.id).embed(x[:, None]), atol=1e-6)
    assert found["label"].tolist() == [-1] * 7
    assert found.class_names == ()
    np.savez(tmp_path / "one.npz", x=x[:1], y=["dog"])
    own = ("--data=Array", f"--data.path={tmp_path / 'one.npz'}", "--split=all", "--output=out.npz")
    assert lit_ae("predict", *VAE, *own, *CPU, "--run_id", trained.id) == 0
    one = library.load_predictions("out.npz")
    np.testing.assert_allclose(one["codes"], found["codes"][:1], atol=1e-6)
    assert (one["label"].tolist(), one.class_names) == ([0], ("dog",))


def test_all_samples_are_those_of_the_three_splits(trained, lit_ae, settings):
    assert lit_ae("predict", *settings("vae"), "--data.eval_batch_size=25", "--split=all", "--output=all.npz") == 0
    data = Digits(limit=60)
    labels = [y for name in ("train", "val", "test") for y in data.split(name).y.tolist()]
    assert library.load_predictions("all.npz")["label"].tolist() == labels


def test_class_probabilities(store, lit_ae, settings):
    assert lit_ae("fit", *settings("classifier")) == 0
    assert lit_ae("predict", *settings("classifier"), "--output=p.npz") == 0
    np.testing.assert_allclose(library.load_predictions("p.npz")["probabilities"].sum(1), np.ones(60), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "args", "parts"),
    [
        ("gan", [], ["model is GAN", "no encoder"]),
        ("ae", ["--output=x.csv"], ["--output", "x.csv", ".npz or .parquet"]),
        ("ae", ["--split=tets"], ["split", "did you mean 'test'"]),
    ],
)
def test_what_cannot_be_predicted_is_refused(model, args, parts, store, lit_ae, settings, capsys):
    assert lit_ae("predict", *settings(model), *args) == 2
    error = capsys.readouterr().err
    for part in parts:
        assert part in error


def made(*index):
    """A block of predictions of samples."""
    return {"index": np.array(index), "label": np.array(index), "probabilities": np.ones((len(index), 2))}


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_file_of_something_else_is_not_replaced(tmp_path, ending, store, lit_ae, settings, capsys):
    path = tmp_path / f"mine{ending}"
    own = {"x": np.zeros(3), "index": np.arange(3)}
    np.savez(path, **own) if ending == ".npz" else pd.DataFrame(own).to_parquet(path)
    before = path.read_bytes()
    assert lit_ae("predict", *settings("ae"), f"--output={path}") == 2
    assert f"--output {path} is there already and holds no predictions" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.write_bytes(b"broken")
    with pytest.raises(SettingError, match="is there already and holds no predictions"):
        writer(path)
    path.write_bytes(b"")  # as `mktemp` makes it
    with writer(path) as file:
        file.write(made(1, 2))
    with writer(path, ("cat", "dog")) as file:
        file.write(made(3))
    found = read_predictions(path)
    assert (found["index"].tolist(), found.class_names) == ([3], ("cat", "dog"))
    assert set(found) == {"index", "label", "probabilities"}


def test_a_file_that_was_there_survives_an_error(tmp_path):
    path = tmp_path / "p.npz"
    for values in ([1, 2], [3]):
        with writer(path) as file:
            file.write(made(*values))
    file = writer(path).__enter__()
    file.write(made(4))
    file.__exit__(KeyboardInterrupt)
    assert read_predictions(path)["index"].tolist() == [3]
    assert [found.name for found in tmp_path.iterdir()] == ["p.npz"]


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_files_that_hold_no_predictions_are_refused_and_never_executed(tmp_path, capsys, store):
    np.savez(tmp_path / "objects.npz", index=np.array([Malicious()], dtype=object))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.parquet").write_text("no table")
    with writer(tmp_path / "cut.npz") as file:
        file.write({"index": np.arange(1000)})
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("objects.npz", "other.npz", "text.npz", "text.parquet", "cut.npz", "missing.npz"):
        with pytest.raises(SettingError, match=name):
            library.load_predictions(tmp_path / name)
    with pytest.raises(SettingError, match=r"codes\.csv does not end in \.npz or \.parquet: give a file that"):
        library.load_predictions(tmp_path / "codes.csv")
    assert "executed" not in capsys.readouterr().out
