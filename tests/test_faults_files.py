"""Files that are cut off or cannot be written: one line, and after its remedy the values of an undisturbed run."""

import errno
import os
import random
import shutil
from itertools import count

import pytest
from fault_tools import found, new_store, outcome, settings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
FIT = ["fit", *settings("ae", epochs=3), "--resume=true"]
STOPPED = [*FIT, "--trainer.callbacks+=test_going_on.Interrupted"]
OFFSETS = 20


@pytest.fixture(scope="module")
def whole(empty_store, tmp_path_factory, lit_ae):
    """What an undisturbed run logs."""
    folder = new_store(empty_store, tmp_path_factory.mktemp("whole") / "f")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert lit_ae(*FIT) == 0
    return found(folder)


@pytest.fixture
def folder(empty_store, tmp_path, monkeypatch):
    """The current folder, with an empty store."""
    made = new_store(empty_store, tmp_path / "f")
    monkeypatch.chdir(made)
    return made


def checked(folder, whole, fault, name):
    fault(name, *outcome(folder, whole))


def test_checkpoint_cut_off(whole, folder, lit_ae, fault, capsys):
    """A run that was stopped in its third epoch, whose checkpoint has lost its end."""
    drawn = random.Random(1)
    for _ in range(OFFSETS):
        assert lit_ae(*STOPPED) == 130
        (path,) = folder.glob("mlruns/artifacts/*/artifacts/checkpoints/last.ckpt")
        content = path.read_bytes()
        path.write_bytes(content[: drawn.randrange(len(content))])
        capsys.readouterr()
        assert lit_ae(*FIT) == 0
        assert "cannot be read as a checkpoint" in capsys.readouterr().out
        checked(folder, whole, fault, "checkpoint cut off")
        restart(folder)


def test_database_cut_off(whole, folder, lit_ae, fault, capsys):
    """Its remedy is a copy."""
    drawn = random.Random(2)
    assert lit_ae(*STOPPED) == 130
    content = (folder / "mlruns" / "mlflow.db").read_bytes()
    for number in range(OFFSETS):
        own = folder.parent / f"{number}" / "f"
        shutil.copytree(folder, own)
        os.chdir(own)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{own}/mlruns/mlflow.db"
        try:
            (own / "mlruns" / "mlflow.db").write_bytes(content[: drawn.randrange(1, len(content))])
            capsys.readouterr()
            assert lit_ae(*FIT) == 2
            assert "is damaged" in capsys.readouterr().err
            (own / "mlruns" / "mlflow.db").write_bytes(content)
            assert lit_ae(*FIT) == 0
            checked(own, whole, fault, "database cut off")
        finally:
            del os.environ["MLFLOW_TRACKING_URI"]
            (folder / "mlruns" / "mlflow.db").write_bytes(content)
            shutil.rmtree(folder / "mlruns" / "artifacts")
            shutil.copytree(own / "mlruns" / "artifacts", folder / "mlruns" / "artifacts")


def restart(folder):
    """Forget all runs."""
    from lit_ae import tracking

    for run in tracking.search("lit_ae"):
        tracking.client().delete_run(run.id)
    shutil.rmtree(folder / "mlruns" / "artifacts")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_disk_full_at_each_write(whole, folder, lit_ae, fault, capsys, monkeypatch, number):
    """The n-th file that is written whole is the one that does not fit, for every n that there is."""
    for n in count():
        written = []

        def fsync(descriptor, written=written, n=n):
            written.append(descriptor)
            if len(written) == n + 1:
                raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr("lit_ae.settings.whole_files.os.fsync", fsync)
            capsys.readouterr()
            code = lit_ae(*FIT)
        if len(written) <= n:
            assert n >= 5
            return
        error = capsys.readouterr().err
        assert code == 2, error
        assert os.strerror(number) in error
        assert "Traceback" not in error
        assert not list(folder.rglob("*.part*"))
        assert lit_ae(*FIT) == 0
        checked(folder, whole, fault, f"{os.strerror(number).lower()}, at any file")
        restart(folder)
