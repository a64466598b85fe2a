"""A disk that is full or may not be written, and files that are damaged: one line with the remedy, and no loss."""

import errno
import os
import re
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import lit_ae as library
from lit_ae import tracking
from lit_ae.data.genes import Genes
from lit_ae.errors import SettingError
from lit_ae.evaluation.predictions import writer
from lit_ae.settings.whole_files import whole_file, write_whole

PACKAGE = Path(library.__file__).parent
KILLED = "--trainer.callbacks+=test_going_on.Interrupted"


@pytest.fixture
def failing(lit_ae, capfd):
    """Runs a command that must end with status 2 and one line, which it gives."""

    def run(*args):
        capfd.readouterr()
        assert lit_ae(*args) == 2
        err = capfd.readouterr().err
        assert "Traceback" not in err
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        return line

    return run


@pytest.fixture
def full(monkeypatch):
    """Lets the disk be full for files with a name that a pattern matches."""

    def begin(pattern, number=errno.ENOSPC):
        def fsync(descriptor):
            if re.search(pattern, os.readlink(f"/proc/self/fd/{descriptor}")):
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr("lit_ae.settings.whole_files.os.fsync", fsync)

    return begin


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EROFS, "make it writable")],
)
def test_what_cannot_be_written_whole_leaves_the_last_good_file(tmp_path, full, number, remedy):
    path = tmp_path / "kept.txt"
    write_whole(path, b"good")
    full("kept", number)
    with pytest.raises(SettingError, match=f"kept.txt cannot be written .*: {remedy}, or use another folder"):
        write_whole(path, b"bad")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("kept.txt", b"good")]
    with suppress(KeyboardInterrupt), whole_file(path) as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("kept.txt", b"good")]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs resource limits")
def test_a_limit_of_the_system_is_told_as_a_full_disk(tmp_path):
    import resource

    path, before = tmp_path / "kept.txt", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_whole(path, b"good")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(SettingError, match=r"File too large.*free some space"):
            write_whole(path, b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"good"


def test_every_file_that_stays_is_written_whole():
    """Other ways of writing are those of temporary files, of appending, and of downloads, which have a checksum."""
    ways = re.compile(r"\.write_text\(|\.write_bytes\(|torch\.save\(|np\.savez?\w*\(|\.open\(\"[wa]")
    allowed = {"run_job.py", "unsent.py", "download.py", "whole_files.py", "predictions.py", "genes.py"}
    allowed |= {"serving.py"}  # a temporary folder, which MLflow copies
    for path in PACKAGE.rglob("*.py"):
        lines = [line for line in path.read_text("utf-8").splitlines() if ways.search(line) and ">>>" not in line]
        lines = [
            line for line in lines if not re.search(r"\b(buffer|part|Path\(folder)|\.\.\. |merged, |path, \*\*", line)
        ]
        assert path.name in allowed or not lines, (path, lines)


# -- every place that is written ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(shared_store, lit_ae, settings):
    """A run of the store that the tests with this fixture share."""
    assert lit_ae("fit", *settings("ae")) == 0
    (run,) = tracking.search("lit_ae")
    return run


@pytest.fixture
def own_database(trained, tmp_path, monkeypatch):
    """A copy of that store's database, which may be harmed."""
    path = shutil.copy("mlruns/mlflow.db", tmp_path / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


@pytest.mark.parametrize("what", [r"last[^/]*\.ckpt", r"config[^/]*\.yaml"])
def test_disk_full_during_training(trained, full, failing, settings, what):
    kept = trained.checkpoint.read_bytes()
    full(what)
    line = failing("fit", *settings("ae", seed=1))
    assert "No space left on device" in line
    assert "free some space" in line
    assert str(tracking.STORE.resolve()) in line
    assert trained.checkpoint.read_bytes() == kept
    newest, *others = tracking.search("lit_ae")
    assert newest.status == "FAILED"
    assert trained.id in {run.id for run in others}


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_disk_full_during_a_prediction(trained, full, failing, settings, ending):
    path = Path(f"out.{ending}")
    with writer(path) as file:  # the last good one
        file.write({name: np.arange(2) for name in ("index", "label", "codes")})
    before = path.read_bytes()
    full("out")
    line = failing("predict", *settings("ae"), f"--output=out.{ending}")
    assert all(part in line for part in (f"out.{ending} cannot be written", "free some space"))
    assert path.read_bytes() == before
    assert [found for found in Path().iterdir() if ending in found.name] == [path]


def test_database_that_becomes_full(own_database, failing, settings):
    """As sqlite says it, when it is asked to hold more pages than the file has."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def no_more(connection, record):
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Engine, "connect", no_more)
    try:
        line = failing("fit", *settings("ae", seed=1))
    finally:
        event.remove(Engine, "connect", no_more)
        tracking.client()._tracking_client.store.engine.dispose()
    assert "database or disk is full" in line
    assert "free some space" in line


# -- damaged files -------------------------------------------------------------------------------------------------


def test_a_damaged_database_is_told_apart_from_one_that_cannot_be_written(trained, failing, settings, monkeypatch):
    whole = Path("mlruns/mlflow.db").read_bytes()
    harmed = {f"cut at {share}": whole[: int(len(whole) * share)] for share in (0.001, 0.2, 0.5, 0.9)}
    harmed["scrambled"] = bytes(1000) + whole[1000:]
    for name, content in harmed.items():
        Path("harmed.db").write_bytes(content)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('harmed.db').resolve()}")
        line = failing("fit", *settings("ae"))
        assert "harmed.db is damaged" in line, name
        assert ".recover" in line, name
        assert "make it writable" not in line, name


def test_a_damaged_page_that_is_met_later(own_database, failing, settings):
    """What the check at the start does not read."""
    tracking.client()
    with sqlite3.connect(own_database) as base:
        size = base.execute("pragma page_size").fetchone()[0]
        root = base.execute("select rootpage from sqlite_master where name = 'runs'").fetchone()[0]
    with own_database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(range(256)) * (size // 256))
    tracking.client()._tracking_client.store.engine.dispose()  # another process would not have the old page at hand
    line = failing("fit", *settings("ae"))
    assert "malformed" in line
    assert ".recover" in line


def test_resuming_leaves_out_a_run_whose_checkpoint_is_damaged(store, lit_ae, settings, capsys):
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=3")
    assert lit_ae(*fit) == 0
    assert lit_ae(*fit, KILLED) == 130
    killed, whole = tracking.search("lit_ae")
    path = killed.artifact("checkpoints/last.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    capsys.readouterr()
    assert lit_ae(*fit, "--resume=true") == 0
    assert f"--resume leaves run {killed.id} out" in capsys.readouterr().out
    newest = tracking.search("lit_ae")[0]
    assert newest.history("train/loss") == whole.history("train/loss")
    assert lit_ae(*fit, f"--run_id={killed.id}") == 2
    assert f"{path} cannot be read as a checkpoint" in capsys.readouterr().err


def test_a_damaged_cache_of_genes_is_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "cache"))
    values = np.random.default_rng(0).poisson(3, (50, 7)).astype(np.float32)
    with h5py.File(tmp_path / "genes.h5", "w") as file:
        file["X"] = values
    whole = Genes(tmp_path / "genes.h5", n_genes=None).split("train").x.clone()
    (cached,) = (tmp_path / "cache" / "genes").glob("*.f32")
    cached.write_bytes(cached.read_bytes()[:-4])
    assert torch.equal(Genes(tmp_path / "genes.h5", n_genes=None).split("train").x, whole)
    assert capsys.readouterr().err.count("is damaged: the prepared genes are written again") == 1


def test_damaged_scores_of_single_samples(store):
    run = tracking.get_run(tracking.create_run("e", "r", {}))
    tracking.log_samples(run.id, {"a": np.arange(3, dtype=np.float32)}, "digest")
    path = run.artifact("samples.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SettingError, match=r"samples\.npz is damaged .*delete it, and test the run again"):
        tracking.sample_values(run, "a")
    tracking.log_samples(run.id, {"b": np.ones(3, dtype=np.float32)}, "digest")
    assert tracking.sample_values(run, "b")[0].tolist() == [1, 1, 1]


def test_a_study_says_where_its_artifacts_are_lacking(store, lit_ae, capsys, monkeypatch):
    from lit_ae.studies import plan

    local = (store / "artifacts").resolve().as_uri()
    ids = [tracking.create_run("s", "r", {"trained": "true"}) for _ in range(5)]
    for run_id in ids[:4]:
        tracking.end_run(run_id, "FINISHED")
    runs = [tracking.get_run(run_id) for run_id in ids]
    assert all(run.artifact_uri.startswith(local) for run in runs)
    for run in runs:
        folder = tracking.checkpoint_folder(run.id)
        folder.mkdir(parents=True)
        (folder / "last.ckpt").touch()
    assert plan.lost_artifacts(runs) == ""
    shutil.rmtree(store / "artifacts" / ids[2])
    sentence = plan.lost_artifacts(runs)
    assert sentence.startswith(f"the artifacts of a finished run are not in {store / 'artifacts'} (")
    assert ids[2] in sentence
    shutil.rmtree(store / "artifacts")
    assert "artifacts of 4 finished runs" in plan.lost_artifacts(runs)
