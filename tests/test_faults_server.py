"""An MLflow server that goes away while a run is trained, and four studies at once on one store."""

import time

import pytest
import yaml
from fault_tools import Command, Found, Proxy, found, mlflow_server, new_store, settings

from lit_ae.settings.files import config_folder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(560)]
SLOW = "--trainer.callbacks+=fault_tools.Slow"
STUDIES, EPOCHS = 4, 320  # 8 values an epoch: 10,240


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The folder and the port of an MLflow server."""
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder) as port:
        yield folder, port


def compared(own: Found, whole: Found):
    """Values that are lost, those that are doubled, and whether the others are the same."""
    lost = sum((whole.values - own.values).values())
    doubled = sum(own.values.values()) - len({row[:3] for row in own.values})
    return lost, doubled, own.values.keys() == whole.values.keys() and set(own.statuses) == {"FINISHED"}


# Seconds for which the server is away, how often MLflow tries again (it waits 2, 4, 8 ... s), epochs of `takes` seconds
AWAY = {"5 s": (5, 7, 10, 1.0), "60 s": (60, 1, 40, 2.0), "good": (None, 1, 12, 1.0)}


def test_a_server_that_goes_away(server, tmp_path, fault):
    """The three trainings run at the same time, each with its own connection, which is cut after the first epochs."""
    folder, port = server
    proxies = {name: Proxy(port) for name in AWAY}
    commands = {}
    for name, (_, tries, epochs, takes) in AWAY.items():
        variables = {"MLFLOW_TRACKING_URI": proxies[name].uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(tries)}
        (tmp_path / name).mkdir()
        words = ["fit", *settings("ae", epochs), SLOW, f"--experiment=away {name}"]
        commands[name] = Command(tmp_path / name, *words, EPOCH_TAKES=str(takes), **variables)
    for name in AWAY:
        while not found(folder, f"away {name}").statuses:
            time.sleep(0.2)
    time.sleep(4)
    for proxy in proxies.values():
        proxy.leave()
    left = time.monotonic()
    for name in ("5 s", "60 s"):
        time.sleep(max(0, left + AWAY[name][0] - time.monotonic()))
        proxies[name].come_back()
    for name, command in commands.items():
        assert command.wait() == 0, (name, command.log)
        assert command.log.count("warning: the MLflow server") == (name != "5 s"), command.log
        assert "Traceback" not in command.log
    proxies["good"].come_back()
    assert found(folder, "away good").statuses == ["RUNNING"]
    for name in ("60 s", "good"):
        assert Command(tmp_path / name, "sync", MLFLOW_TRACKING_URI=proxies[name].uri).wait() == 0
    assert "sent: " in commands["good"].log
    for name, (_, _, epochs, _) in AWAY.items():
        own = found(folder, f"away {name}")
        whole = reference(tmp_path / f"whole {name}", epochs, port, folder)
        fault(f"server gone for {name}", *compared(own, whole))


def reference(folder, epochs, port, server):
    """What the same training logs without a disturbance."""
    folder.mkdir()
    words = ["fit", *settings("ae", epochs), SLOW, f"--experiment=whole {epochs}"]
    command = Command(folder, *words, EPOCH_TAKES="0", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert command.wait() == 0, command.log
    return found(server, f"whole {epochs}")


def write_study(folder, number):
    (folder / f"s{number}").mkdir()
    args = [word for word in settings("ae", EPOCHS, limit=20)[4:] if "seed" not in word]
    study = {
        "name": f"s{number}",
        "title": "One of four",
        "question": "Do they all arrive?",
        "profiles": {"quick": {"data": "digits", "seeds": [0], "args": args}},
        "models": {"AE": {"config": str(config_folder() / "model" / "ae.yaml")}},
        "columns": [{"metric": "test/mse", "label": "MSE"}],
    }
    (folder / f"s{number}.yaml").write_text(yaml.safe_dump(study))


@pytest.mark.parametrize("kind", ["sqlite", "server"])
def test_four_studies_at_once(server, empty_store, tmp_path, kind, fault):
    """Every study logs the same values, as all have the same row and seed."""
    folder = new_store(empty_store, tmp_path / "f")
    store, variables = folder, {}
    if kind == "server":
        store, variables = server[0], {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server[1]}"}
    commands = []
    for number in range(STUDIES):
        write_study(folder, number)
        words = ["study", "run", f"s{number}.yaml", "--workers", "1", "--reports", f"s{number}"]
        commands.append(Command(folder, *words, **variables))
    for command in commands:
        assert command.wait(400) == 0, command.log
    all_of_them = [found(store, f"s{number}") for number in range(STUDIES)]
    first = all_of_them[0]
    keys = {row[1] for row in first.values if not row[1].startswith("test/")}
    values = sum(sum(own.values.values()) for own in all_of_them)
    assert values >= 10_000
    lost = sum(EPOCHS - sum(row[1] == key for row in own.values) for own in all_of_them for key in keys)
    same = all(own.values.keys() == first.values.keys() for own in all_of_them)
    doubled = sum(compared(own, own)[1] for own in all_of_them)
    done = all(own.statuses == ["FINISHED"] for own in all_of_them)
    fault(f"4 studies at once on one {kind} store, {values:,} values", lost, doubled, same and done)
