"""A check of the MLflow store before MLflow opens it: MLflow retries for minutes and prints tracebacks."""

import sqlite3
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import urlopen

from lit_ae.errors import SettingError

DATABASES = ("postgresql", "mysql", "mssql", "databricks", "databricks-uc")  # checked by MLflow itself
LOCK_TIMEOUT = 60.0  # seconds to wait while another process is writing
NETWORK_TIMEOUT = 10.0  # seconds to wait for an answer
UNAVAILABLE = (502, 503, 504)  # what a proxy answers for a server that is gone


def check_store(uri: str) -> None:
    """Try to write to an sqlite file, or to reach a server.

    Raises:
        SettingError: the file cannot be written or is not a database, the server does not answer, or MLflow does not
            support such a URI.
    """
    scheme = urlparse(uri).scheme.partition("+")[0]
    if scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme in ("http", "https"):
        _check_server(uri)
    elif scheme not in DATABASES:
        raise SettingError(
            f"MLFLOW_TRACKING_URI is {uri!r}: MLflow no longer keeps runs in plain files; unset it to use ./mlruns, or "
            "give sqlite:////ABSOLUTE/PATH/mlflow.db or the address of a server"
        )


def sqlite_file(uri: str) -> Path | None:
    """The file of an sqlite store; None for another store, or one in memory."""
    scheme, _, database = uri.partition(":///")
    name = database.partition("?")[0].removeprefix("file:")
    return Path(name) if scheme.startswith("sqlite") and name not in ("", ":memory:") else None


def _check_sqlite(uri: str) -> None:
    database = uri.partition(":///")[2]
    is_uri = database.startswith("file:")
    path = sqlite_file(uri)
    if path is None:  # in memory
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database if is_uri else path, LOCK_TIMEOUT, uri=is_uri)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # The lock alone is granted on a read-only file as well, so a table is created and rolled back.
            connection.execute("CREATE TABLE lit_ae_may_write (x)")
            connection.rollback()
    except (OSError, sqlite3.Error) as error:
        if "locked" in str(error):  # another process is writing to it, so it can be written
            return
        reason = str(error.strerror if isinstance(error, OSError) else error)
        what = "is damaged" if _is_damage(reason) else "cannot be written"
        raise SettingError(f"the MLflow store {path} {what} ({reason}): {remedy(reason)}") from error


def _check_server(uri: str) -> None:
    if reason := no_server(uri):
        raise SettingError(
            f"MLFLOW_TRACKING_URI {uri} does not answer ({reason}): start the server, or unset it to use ./mlruns"
        )


def _is_damage(reason: str) -> bool:
    return any(word in reason for word in ("malformed", "not a database", "no such table", "no such column", "corrupt"))


def remedy(reason: str) -> str:
    """What to do about an error of a database, given its text."""
    if _is_damage(reason):
        return (
            "put a copy of it back, or save what can be read by `sqlite3 OLD.db .recover | sqlite3 NEW.db`, or move it "
            "away to begin a new one (checkpoints are files of their own), or set MLFLOW_TRACKING_URI to another one"
        )
    if "full" in reason or "space" in reason or "I/O" in reason:
        return "free some space on its disk, or set MLFLOW_TRACKING_URI to another one"
    return "make it writable, run in another folder, or set MLFLOW_TRACKING_URI to another one"


def no_server(uri: str) -> str | None:
    """Why the server at an address does not answer; None if it does."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=NETWORK_TIMEOUT):
            return None
    except HTTPError as error:
        return str(error) if error.code in UNAVAILABLE else None
    except (URLError, OSError, HTTPException) as error:
        return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
