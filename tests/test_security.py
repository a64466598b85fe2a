"""Files of others never execute anything, and MLflow's pages are for this machine alone."""

import os
import pickle
import re
import subprocess
import sys
import zipfile
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

import lit_ae as library
from lit_ae import samplers, tracking
from lit_ae.data import Array
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.metrics.images.feature_cache import FeatureCache
from lit_ae.metrics.images.lenet import LeNetExtractor
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.models.class_paths import check_class_paths
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.schedules import LinearSchedule

ROOT = Path(__file__).parent.parent


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A folder that is there at the end if something was executed."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


def test_the_malicious_content_works(tmp_path):
    """Otherwise the tests below would show nothing."""
    pickle.loads(pickle.dumps(Evil(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


def checkpoint(path, mark):
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.0", "epoch": Evil(mark)}, path)


def old_checkpoint(path, mark):
    path.write_bytes(pickle.dumps(Evil(mark)))


@pytest.mark.parametrize("make", [checkpoint, old_checkpoint])
def test_checkpoints(mark, tmp_path, make, lit_ae, settings, capsys):
    path = tmp_path / "evil.ckpt"
    make(path, mark)
    for read in (read_checkpoint, library.load, samplers.load):
        with pytest.raises(SettingError, match=r"evil\.ckpt"):
            read(path)
    if make is old_checkpoint:
        return
    assert lit_ae("test", *settings("ae"), f"--ckpt_path={path}") == 2
    assert lit_ae("fit", *settings("dec"), f"--model.pretrained={path}") == 2
    assert capsys.readouterr().err.count("cannot be read as a checkpoint") == 2


@pytest.mark.parametrize("name", ["evil.npy", "evil.npz"])
def test_arrays_and_predictions(mark, tmp_path, name, lit_ae, settings, capsys):
    objects = np.array([Evil(mark)], dtype=object)
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, index=objects, x=objects)
    with pytest.raises(SettingError, match=re.escape(name)):
        Array(path).split("train")
    with pytest.raises(SettingError, match=re.escape(name)):
        library.load_predictions(path)


def test_scores_of_samples_in_the_store(mark, tmp_path, store):
    run = tracking.get_run(tracking.create_run("e", "r", {}))
    tracking.log_samples(run.id, {"a": np.zeros(1, dtype=np.float32)}, "digest")
    np.savez(run.artifact("samples.npz"), a=np.array([Evil(mark)], dtype=object), digest=np.array("digest"))
    with pytest.raises(SettingError, match="damaged"):
        tracking.sample_values(run, "a")


def test_predictions_as_a_table(mark, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"index": pa.array([pickle.dumps(Evil(mark))]), "codes": pa.array([pickle.dumps(Evil(mark))])})
    pq.write_table(table, tmp_path / "evil.parquet")
    assert library.load_predictions(tmp_path / "evil.parquet")["codes"].dtype == object  # bytes, which stay bytes
    (tmp_path / "other.parquet").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(SettingError, match=r"other\.parquet"):
        library.load_predictions(tmp_path / "other.parquet")


def test_cached_features_and_classifiers(mark, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "cache"))
    data = Digits(limit=20)
    net = LeNetExtractor.from_file
    extractor = type("Named", (), {"description": lambda self: {}, "name": "lenet", "num_features": 84})()
    cache = FeatureCache(extractor, data, "test")
    cache.path.parent.mkdir(parents=True)
    torch.save(Evil(mark), cache.path)
    assert cache.read() is None
    assert "is damaged: its features are computed again" in capsys.readouterr().err
    torch.save({"weights": Evil(mark), "accuracy": 1.0}, tmp_path / "net.pt")
    with pytest.raises(SettingError, match=r"net\.pt"):
        net(tmp_path / "net.pt", data)


def test_yaml(mark, tmp_path, lit_ae, settings, capsys):
    text = f"!!python/object/apply:os.mkdir ['{mark}']"
    for content in (text, f"trainer: {{max_epochs: {text}}}"):
        Path("evil.yaml").write_text(content)
        assert lit_ae("fit", *settings("ae"), "--config", "evil.yaml") == 2
        assert lit_ae("study", "run", "evil.yaml") == 2
        assert lit_ae("report", "evil.yaml") == 2
        assert capsys.readouterr().err.count("evil.yaml") == 3


FUNCTIONS = {
    "os.mkdir": {"path": "executed"},
    "os.system": {"command": "mkdir executed"},
    "subprocess.Popen": {"args": ["mkdir", "executed"]},
    "functools.partial": {"func": "os.mkdir", "args": ["executed"]},
    "builtins.exec": {"source": "import os; os.mkdir('executed')"},
}
PLACES = ["model.optimizer", "model.lr_scheduler", "model.encoder", "model.decoder", "model.likelihood.x", "data.x"]


def nested(where, content):
    for key in reversed(where.split(".")):
        content = {key: content}
    return content


@pytest.mark.parametrize("class_path", FUNCTIONS)
@pytest.mark.parametrize("where", PLACES)
def test_a_class_path_names_classes_of_its_kind_alone(where, class_path):
    evil = {"class_path": class_path, "init_args": FUNCTIONS[class_path]}
    module, _, name = class_path.rpartition(".")
    for content in (evil, getattr(import_module(module), name)):
        with pytest.raises(SettingError, match=f"{where} is .*{name}"):
            check_class_paths(nested(where, content))
        inner = {"class_path": "torch.nn.Sequential", "init_args": {"part": [content]}}
        with pytest.raises(SettingError, match=rf"{where}\.part is .*{name}"):
            check_class_paths(nested(where, inner))


@pytest.mark.parametrize("path", ["torch.optim.Adam", "torch.nn.Linear", "lit_ae.nets.MLPEncoder", f"{__name__}.Mine"])
def test_networks_optimisers_schedules_and_ones_own_classes_may_be_named(path):
    check_class_paths({"model": {"class_path": path, "init_args": {"encoder": {"class_path": path}}}})


class Mine(LinearSchedule):
    """A class of a user's own, which is derived from one of lit_ae."""


@pytest.mark.parametrize("where", ["model", "model.optimizer", "model.encoder", "trainer.callbacks"])
def test_the_command_line_refuses_functions(mark, where, lit_ae, settings, capsys):
    """Before the check, the parser called them."""
    evil = {"class_path": "os.mkdir", "init_args": {"path": str(mark)}}
    content = nested(where, [evil] if where.endswith("callbacks") else evil)
    if where.startswith("model."):
        content = {"model": {"class_path": "AE", "init_args": content["model"]}}
    Path("evil.yaml").write_text(yaml.safe_dump(content))
    assert lit_ae("fit", *settings("ae"), "--config", "evil.yaml") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("mlruns").exists()


def test_a_config_beside_a_checkpoint_builds_families_alone(mark, tmp_path):
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.0"}, tmp_path / "last.ckpt")
    model = {"class_path": "os.mkdir", "init_args": {"path": str(mark)}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": model, "data": model}))
    for act in (library.load, library.load_data):
        with pytest.raises(SettingError, match=r"of another project|mkdir"):
            act(tmp_path)


def test_settings_in_a_checkpoint_name_classes_alone(mark, tmp_path):
    """A checkpoint holds the settings of its model as plain data, from which `load` builds it."""
    model = library.AE(input_shape=(4,), encoder=partial(MLPEncoder, widths=[3]), decoder=MLPDecoder, latent_dim=2)
    trainer = Trainer(max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, DataLoader(torch.zeros(8, 4), 4))
    trainer.save_checkpoint(tmp_path / "good.ckpt")
    content = torch.load(tmp_path / "good.ckpt", weights_only=True)
    assert library.load(tmp_path / "good.ckpt").latent_dim == 2
    evil = {"class_path": "os.mkdir", "init_args": {"path": str(mark)}}
    text = str(content)
    assert "MLPEncoder" in text

    def with_evil(value):
        if isinstance(value, dict):
            return {k: evil if k in ("encoder", "optimizer") else with_evil(v) for k, v in value.items()}
        return value

    torch.save({**with_evil(content), "state_dict": content["state_dict"]}, tmp_path / "evil.ckpt")
    with pytest.raises(SettingError, match=r"os\.mkdir"):
        library.load(tmp_path / "evil.ckpt")


def test_a_bundle_with_a_path_upwards_stays_where_it_is(mark, tmp_path):
    with zipfile.ZipFile(tmp_path / "up.npz", "w") as archive:
        archive.writestr("../executed", b"x")
    with pytest.raises(SettingError, match=r"up\.npz"):
        library.load_predictions(tmp_path / "up.npz")


@pytest.mark.faults
def test_the_pages_are_for_this_machine_alone(tmp_path):
    """The command of `lit-ae ui`, with its options."""
    from fault_tools import server_started

    from lit_ae.cli.ui import server

    with server_started(tmp_path, server(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path, "$(PORT)")) as port:
        page = f"http://127.0.0.1:{port}/"
        assert urlopen(page, timeout=20).status == 200
        for host in ("evil.example", f"evil.example:{port}", "10.0.0.1"):
            with pytest.raises(HTTPError, match="403"):
                urlopen(Request(page, headers={"Host": host}), timeout=20)
        found = subprocess.run([sys.executable, "-c", LISTENS, str(port)], capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["127.0.0.1"]


LISTENS = """
import psutil, sys
print(*{c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == int(sys.argv[1])})
"""
