"""What all tests share: one thread, a classifier cache and MLflow stores of their own, the command in this process."""

import gc
import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # before torch: busy cores stall its threads

import shutil
import signal
import sys
from pathlib import Path

import faults_table
import numpy as np
import pytest
import torch
import yaml

from lit_ae import tracking
from lit_ae.cli import main
from lit_ae.settings.files import config_folder

torch.set_num_threads(1)
gc.disable()  # while test modules are imported, whose objects stay: see `pytest_collection_finish`
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DATA = {"nmn": "one_hot"}  # models that are not for images
QUICK = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1")


def pytest_collection_modifyitems(items):
    """Begin with the file whose study takes longest: at the end two processes may share its tests, and both run it."""
    items.sort(key=lambda item: item.path.name != "test_runner.py")


def pytest_collection_finish(session):
    """From now on garbage is searched for among new objects alone."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory):
    """No setting of the user's reaches a test, and nothing of a test reaches the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("LIT_AE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A folder `mlruns` in which nothing has been logged: making its tables takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tracking.client()
    return folder / "mlruns"


@pytest.fixture
def store(empty_store, tmp_path, monkeypatch):
    """The current folder is an empty one with an empty store."""
    shutil.copytree(empty_store, tmp_path / "mlruns")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mlruns"


@pytest.fixture(scope="module")
def shared_store(empty_store, tmp_path_factory):
    """As `store`, for all tests of a module together."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(empty_store, folder / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder / "mlruns"


@pytest.fixture(scope="session")
def lit_ae():
    """`lit-ae ARGS` in this process, which saves the imports; gives the exit status."""

    def run(*args):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        argv = sys.argv
        sys.argv = ["lit-ae"]
        try:
            return main([str(arg) for arg in args])
        finally:
            sys.argv = argv
            for number, handler in handlers.items():
                signal.signal(number, handler)

    return run


@pytest.fixture(scope="session")
def settings():
    """Options of a run: configs/model/NAME.yaml on `limit` digits (or what it is for) a split, for one epoch."""

    def options(model, limit=60, seed=0):
        folder = config_folder()
        files = ("--config", str(folder / "model" / f"{model}.yaml"))
        data = ("--config", str(folder / "data" / f"{DATA.get(model, 'digits')}.yaml"))
        return (*files, *data, f"--data.limit={limit}", f"--seed_everything={seed}", *QUICK)

    return options


@pytest.fixture(scope="session")
def scores(tmp_path_factory) -> Path:
    """configs/callbacks/scores.yaml without UMAP, which compiles for 10 to 30 s in every process."""
    content = yaml.safe_load((config_folder() / "callbacks" / "scores.yaml").read_text())
    (plot,) = [c for c in content["trainer"]["callbacks+"] if c["class_path"] == "LatentPlot"]
    plot["init_args"] = {"methods": ["tsne"]}
    path = tmp_path_factory.mktemp("scores") / "scores.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def browser():
    """Chromium, in which tests open pages; they are skipped where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)  # else Playwright's own
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root a sandbox
    with sync.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=found, args=options)
        except sync.Error as error:
            pytest.skip(f"no browser could be started: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


# -- what each score was checked against, as a table under the tests' own output ----------------------------------


@pytest.fixture
def agrees(request):
    """Hold a score against an independent reference, and note the largest difference for the table.

    `agrees("FID", "torch-fidelity", "2 x 500 made features", ours, theirs, rel=1e-4)`: numbers or arrays; within rel of
    the reference, or within abs where that is larger.
    """

    def check(metric, reference, data, ours, theirs, rel=1e-4, abs=0.0):
        ours, theirs = (np.asarray(torch.as_tensor(v, dtype=torch.float64)) for v in (ours, theirs))
        assert ours.shape == theirs.shape
        difference = np.abs(ours - theirs)
        relative = float(np.max(difference / np.maximum(np.abs(theirs), 1e-300))) if theirs.all() else float("nan")
        row = (metric, reference, data, float(difference.max()), relative)
        request.node.user_properties.append(("agreement", row))
        np.testing.assert_allclose(ours, theirs, rtol=rel, atol=abs)

    return check


@pytest.fixture
def fault(request):
    """Note a fault that was made, for the table: values lost, values doubled, and whether all is as if undisturbed."""

    def note(name, lost, doubled, recovered):
        request.node.user_properties.append(("fault", (name, lost, doubled, recovered)))
        assert (lost, doubled, recovered) == (0, 0, True)

    return note


def pytest_addoption(parser):
    parser.addoption("--faults-table", metavar="FILE", help="write the table of faults to FILE")
    parser.addoption("--agreement", metavar="FILE", help="write the table of scores against references to FILE")


def pytest_terminal_summary(terminalreporter, config):
    faults_table.summary(terminalreporter, config.getoption("--faults-table"))
    passed = terminalreporter.stats.get("passed", [])
    largest = {}  # of each score, reference and data
    for name, row in (found for r in passed for found in r.user_properties):
        if name == "agreement":
            *what, difference, relative = row
            before = largest.get(tuple(what), (0.0, float("nan")))
            largest[tuple(what)] = (max(before[0], difference), max(relative, before[1]))
    if not largest:
        return
    rows = [(*what, *values) for what, values in sorted(largest.items())]
    lines = ["| metric | reference | data | largest difference | relative |", "|---|---|---|---|---|"]
    for metric, reference, data, difference, relative in rows:
        share = "-" if relative != relative else f"{relative:.1e}"
        lines.append(f"| {metric} | {reference} | {data} | {difference:.1e} | {share} |")
    terminalreporter.section("scores against independent references")
    terminalreporter.write_line("\n".join(lines))
    if config.getoption("--agreement"):
        Path(config.getoption("--agreement")).write_text("\n".join(lines) + "\n")
