"""Commands that are killed at random moments: the same command again ends with the values of an undisturbed one."""

import signal
import time
from contextlib import suppress

import psutil
import pytest
import yaml
from fault_tools import SIGNALS, Command, found, moments, new_store, outcome, settings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
FIT = ["fit", *settings(), "--resume=true"]
TEST = ["test", *settings(), "--config=callbacks.yaml"]
STUDY = ["study", "run", "tiny.yaml", "--workers", "1", "--reports", "reports"]
FORKED = [*FIT, "--trainer.devices=2", "--trainer.strategy=ddp_fork"]
CALLBACKS = {"trainer": {"callbacks+": [{"class_path": name} for name in ("Evaluation", "ReconstructionGrid")]}}
TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "question": "Does it survive?",
    "profiles": {"quick": {"data": "digits", "seeds": [0], "args": [w for w in settings()[4:] if "seed" not in w]}},
    "models": {"AE": {"config": "ae"}, "SAE": {"config": "sae"}},
    "columns": [{"metric": "test/mse", "label": "MSE"}],
}


@pytest.fixture(scope="module")
def undisturbed(empty_store, tmp_path_factory):
    """By the name of a command: what the store holds after it, and how long it takes, once it has begun."""
    whole = {}
    for name, words in (("fit", FIT), ("test", TEST), ("study", STUDY), ("ddp", FORKED)):
        folder = prepared(empty_store, tmp_path_factory.mktemp("whole") / name, name)
        command = Command(folder, *words)
        begun(command, name)
        start = time.monotonic()
        assert command.wait() == 0, command.log
        whole[name] = found(folder, experiment(name)), time.monotonic() - start
    return whole


def experiment(name):
    return "tiny" if name == "study" else "lit_ae"


def prepared(empty_store, folder, name):
    """A folder in which a command can be run."""
    new_store(empty_store, folder)
    (folder / "callbacks.yaml").write_text(yaml.safe_dump(CALLBACKS))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    if name == "test":
        assert Command(folder, *FIT).wait() == 0
    return folder


def begun(command, name):
    """Wait for what comes before anything can be lost: the imports of a study's worker, the start of the ranks."""
    end = time.monotonic() + 60
    while time.monotonic() < end and command.process.is_alive():
        if name not in ("study", "ddp") or (name == "ddp" and len(children(command)) >= 2):
            return
        if name == "study" and (command.folder / "mlruns" / "logs").exists():
            return
        time.sleep(0.01)


def children(command):
    try:
        return psutil.Process(command.process.pid).children()
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("moment", range(9))
def test_fit(undisturbed, empty_store, tmp_path, moment, fault):
    disturb(undisturbed, empty_store, tmp_path / "f", "fit", FIT, moment, fault)


@pytest.mark.parametrize("moment", range(6))
def test_test(undisturbed, empty_store, tmp_path, moment, fault):
    folder = disturb(undisturbed, empty_store, tmp_path / "f", "test", TEST, moment, fault)
    assert found(folder).statuses == ["FINISHED"]


@pytest.mark.parametrize("moment", range(6))
def test_driver_of_a_study(undisturbed, empty_store, tmp_path, moment, fault):
    disturb(undisturbed, empty_store, tmp_path / "f", "study", STUDY, moment, fault)


@pytest.mark.parametrize("moment", range(5))
def test_worker_of_a_study(undisturbed, empty_store, tmp_path, moment, fault):
    disturb(undisturbed, empty_store, tmp_path / "f", "study", STUDY, moment, fault, who="worker")


@pytest.mark.parametrize("moment", range(4))
def test_rank(undisturbed, empty_store, tmp_path, moment, fault):
    """`kill -9` hits one rank; SIGTERM and SIGINT hit all of them, as a queue and a terminal send them."""
    disturb(undisturbed, empty_store, tmp_path / "f", "ddp", FORKED, moment, fault, who="rank")


def disturb(undisturbed, empty_store, folder, name, words, moment, fault, who=""):
    whole, seconds = undisturbed[name]
    number = SIGNALS[moment % 3]
    prepared(empty_store, folder, name)
    command = Command(folder, *words)
    begun(command, name)
    time.sleep(moments(len(name + who), 10)[moment] * seconds)
    kill(command, number, who)
    command.wait(60)
    left = "RUNNING" in found(folder, experiment(name)).statuses
    assert not left or number == signal.SIGKILL, "the status of a run that was stopped"
    again = Command(folder, *words)
    assert again.wait() == 0, again.log
    lost, doubled, same = outcome(folder, whole, experiment(name))
    place = {"": name, "worker": "worker", "rank": "DDP rank"}[who].replace("study", "study driver")
    fault(f"{number.name} of {'a ' if who else ''}{place}", lost, doubled, same)
    return folder


def kill(command, number, who):
    if who == "worker":
        for child in children(command):
            with suppress(psutil.NoSuchProcess):  # one that has just ended by itself
                if "forkserver" in " ".join(child.cmdline()):
                    child.send_signal(number)
    elif who == "rank" and number == signal.SIGKILL:
        for child in children(command)[-1:]:
            child.send_signal(number)
    elif who == "rank":
        for process in (*children(command), psutil.Process(command.process.pid)):
            process.send_signal(number)
    else:
        command.kill(number)


def test_the_store_of_the_tests_is_whole(undisturbed):
    """The comparison has something to compare, each value once."""
    for name, (whole, _) in undisturbed.items():
        assert set(whole.statuses) == {"FINISHED"}, name
        assert set(whole.values.values()) == {1}, name
        assert len(whole.values) >= 20, name
