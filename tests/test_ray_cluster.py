"""A real Ray cluster of two nodes on this machine, and an MLflow server: same numbers as here, and a node that dies."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from lightning.pytorch import Callback

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.studies.executors.ray import RayExecutor

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(1800)]

ARGS = ["--data.limit=60", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
WAITS = f"--trainer.callbacks+={__name__}.Waits"
WAIT = 900  # seconds, on a machine that does much else


class Waits(Callback):
    """Begins its second epoch only when the file that an environment variable names exists."""

    def on_train_epoch_start(self, trainer, pl_module):
        while trainer.current_epoch == 1 and not Path(os.environ["OPEN"]).exists():
            time.sleep(0.1)


def wait_until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server that keeps the artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen([*command, *options], start_new_session=True, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers():
        try:
            return urlopen(f"{address}/health", timeout=5).status == 200
        except OSError:
            return False

    wait_until(answers)
    yield address
    os.killpg(process.pid, signal.SIGKILL)  # with its own processes
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes with a core each and a cache of their own, as on two machines."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_agent_register_timeout_ms", "300000")
        patch.setenv("OPEN", str(folder / "open"))
        path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]  # of `Waits`
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        made = Cluster()
        made.nodes = []
        for name in "ab":
            variables = {"LIT_AE_CACHE": str(folder / name)}
            made.nodes.append(made.add_node(num_cpus=1, include_dashboard=False, env_vars=variables))
        made.folder = folder
        yield made
        made.shutdown()


def write_study(models, seeds, scores=()):
    callbacks = [{"class_path": name} for name in ("Evaluation", *scores)]
    Path("callbacks.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": callbacks}}))
    study = {
        "name": "spread",
        "title": "A study on several machines",
        "question": "Are the numbers the same?",
        "scores": [str(Path("callbacks.yaml").resolve())],
        "profiles": {"quick": {"data": "digits", "seeds": list(seeds), "args": ARGS}},
        "models": models,
        "columns": [{"metric": "test/mse", "label": "MSE", "format": ".6f"}],
    }
    Path("spread.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def numbers():
    """(model, seed) -> all metrics of its run but the seconds that something took."""
    runs = tracking.study_runs("spread", "quick")
    return {
        (run.model, run.seed): {key: value for key, value in run.metrics.items() if "second" not in key} for run in runs
    }


def run_on(cluster, lit_ae):
    engine = ("--engine", "ray", "--address", cluster.address)
    return lit_ae("study", "run", "spread.yaml", *engine, "--reports", "reports")


ROWS = {"AE": {"config": "ae"}, "Classifier": {"config": "classifier", "start": "AE"}, "VAE": {"config": "vae"}}


@pytest.fixture
def local(store, lit_ae):
    """The numbers of the study done here, each run on one thread as there."""
    write_study(ROWS, seeds=[0], scores=["GenerationScores"])
    assert lit_ae("study", "run", "spread.yaml", "--workers", "2", "--reports", "reports") == 0
    return numbers()


def test_a_cluster_computes_the_same_numbers_and_one_classifier_scores_all(local, cluster, server, lit_ae, monkeypatch):
    with RayExecutor(cluster.address) as executor, pytest.raises(SettingError, match="2 nodes, which cannot share"):
        executor.start(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert run_on(cluster, lit_ae) == 0
    there = numbers()
    assert there.keys() == local.keys() == {(row, 0) for row in ROWS}
    assert there == local, "bit for bit"
    assert any(key.startswith("test/fid/") for key in there["VAE", 0])
    trained = [path for name in "ab" for path in (cluster.folder / name / "extractors").glob("*.pt")]
    assert len(trained) == 1, "the second node took the classifier that the first had trained"
    parent = tracking.study_parent("spread", "quick")
    assert parent.artifact(f"shared/{trained[0].name}").read_bytes() == trained[0].read_bytes()


def test_a_node_that_is_killed_loses_nothing(cluster, server, store, lit_ae, monkeypatch):
    """Its run goes on elsewhere from the checkpoint that was uploaded while it was trained."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    write_study({"waits": {"config": "ae", "args": [WAITS]}}, seeds=[1, 2])
    open_, killed = Path(os.environ["OPEN"]), []

    def kill_a_node():
        def both_uploaded():
            parent = tracking.study_parent("spread", "quick")
            runs = [run for run in tracking.children("spread", parent.id) if run.model == "waits"] if parent else []
            return len(runs) == 2 and all(tracking.has_last_checkpoint(run.id) for run in runs)

        wait_until(both_uploaded)
        cluster.remove_node(cluster.nodes[1], allow_graceful=False)
        killed.append(True)
        open_.touch()

    thread = threading.Thread(target=kill_a_node, daemon=True)
    thread.start()
    assert run_on(cluster, lit_ae) == 0
    assert killed
    found = tracking.children("spread", tracking.study_parent("spread", "quick").id)
    runs = [run for run in found if run.model == "waits"]
    assert sorted((run.seed, run.status) for run in runs) == [(1, "FINISHED"), (2, "FINISHED")], "no run is doubled"
    there = numbers()
    for run in runs:
        logged = tracking.client().get_metric_history(run.id, "train/loss")
        assert sorted(entry.step for entry in logged) == [1, 2], "the first epoch was not trained again"

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert lit_ae("study", "run", "spread.yaml", "--workers", "2", "--reports", "reports") == 0
    assert {key: there[key] for key in (("waits", 1), ("waits", 2))} == numbers()
