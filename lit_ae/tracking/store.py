"""The MLflow store: where it is, and the client for it."""

import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae.errors import SettingError
from lit_ae.settings.imports import importing

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each run on a server
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

STORE = Path("mlruns")  # relative to the folder that the command is run in
KIND = {"mlflow.experimentKind": "custom_model_development"}  # otherwise MLflow opens its pages for language models


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the sqlite store under ./mlruns, absolute.

    Raises:
        SettingError: the path of this folder has a character that the address of a store cannot have.
    """
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = str((STORE / "mlflow.db").resolve())
    if wrong := next((character for character in "?%" if character in path), None):
        raise SettingError(
            f"the folder {STORE.resolve().parent} has a {wrong!r} in its path, which an address of an MLflow store "
            "takes for something else: rename it, run in another folder, or set MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{path}"


def artifact_uri(run_id: str, noted: str) -> str:
    """Where a run's artifacts are: as MLflow noted it, or beside the store of this folder, if moved with it."""
    from lit_ae.tracking.store_check import sqlite_file

    uri, database = urlparse(noted), sqlite_file(store_uri())
    if uri.scheme != "file" or Path(url2pathname(uri.path)).parents[1].is_dir():
        return noted
    of_this_folder = database is not None and database.resolve().parent == STORE.resolve()
    return (STORE / "artifacts" / run_id / "artifacts").resolve().as_uri() if of_this_folder else noted


def creation_lock(database: Path) -> "BaseFileLock":
    """Held while an sqlite store's tables are made: processes that open a new store together corrupt its schema."""
    from filelock import FileLock

    return FileLock(database.with_name(f".{database.name}.lock"))


@cache
def _client(uri: str) -> "MlflowClient":
    from lit_ae.tracking.store_check import check_store, sqlite_file

    check_store(uri)
    with importing():
        from mlflow import MlflowClient

    database = sqlite_file(uri)
    if database is None:
        return MlflowClient(uri)
    # It logs a line for each table that it creates, and a traceback for each error that it raises
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with creation_lock(database), importing():
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def client() -> "MlflowClient":
    """Client of the store, created on first use.

    Raises:
        SettingError: the store cannot be used.
    """
    return _client(store_uri())


def experiment_id(name: str) -> str:
    """Id of the experiment `name`; a new one is created with its artifacts beside the store.

    Raises:
        SettingError: the experiment has been deleted, and not for good.
    """
    from mlflow.exceptions import MlflowException

    found = client().get_experiment_by_name(name)
    if found is None:
        local = store_uri().startswith("sqlite:")
        location = (STORE / "artifacts").resolve().as_uri() if local else None
        try:
            return str(client().create_experiment(name, artifact_location=location, tags=KIND))
        except MlflowException:  # another process has just created it
            found = client().get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise SettingError(
            f"the MLflow experiment {name!r} has been deleted: restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or remove it for good with `mlflow gc`"
        )
    return str(found.experiment_id)
