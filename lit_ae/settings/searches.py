"""The file in which a search for settings keeps its trials, which several processes read and write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_ae.errors import SettingError
from lit_ae.settings.extras import needs

if TYPE_CHECKING:
    import optuna

WARMUP = 3  # values of the metric after which a trial is not ended yet
STARTUP = 5  # trials that are never ended early


def open_search(file: Path, name: str, better: str, seed: int | None = None) -> "optuna.Study":
    """The search of this name, created if need be: tree-structured Parzen estimators, and pruning by the median.

    Args:
        file: a journal, which is appended to.
        name: of the search in it.
        better: lower or higher.
        seed: of the sampler; None: from the system, for a process that draws no settings.

    Raises:
        SettingError: Optuna is not installed.
    """
    with needs("tune", "a search for settings"):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.parent.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "sampler": optuna.samplers.TPESampler(seed=seed),
        "pruner": optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
    }
    storage = JournalStorage(JournalFileBackend(str(file)))
    settings["direction"] = "minimize" if better == "lower" else "maximize"
    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True, **settings)


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Be the only process of this machine that does the search of this file.

    Raises:
        SettingError: another process is doing it.
    """
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file.with_suffix(".lock"), timeout=0):
            yield
    except Timeout as error:
        raise SettingError("another process is doing this search: wait for it or stop it") from error
