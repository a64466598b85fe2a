"""`lit-ae ui`: MLflow's pages on the runs of this folder, and the link to the newest study."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lit_ae.cli.parser import Parser, port
from lit_ae.errors import SettingError


def ui(argv: Sequence[str]) -> int:
    """Print the link and start MLflow's server in place of this process; returns the exit status of a mere link.

    Raises:
        SettingError: there are no runs yet.
    """
    args = _parser().parse_args(argv)
    from lit_ae import tracking
    from lit_ae.tracking import pages

    uri = tracking.store_uri()
    store = tracking.STORE.resolve()
    if uri == f"sqlite:///{store / 'mlflow.db'}" and not (store / "mlflow.db").is_file():
        raise SettingError(f"there are no runs in {store}: use `lit-ae fit` or `lit-ae study run` in this folder first")
    remote = uri.startswith(("http://", "https://"))
    address = uri.rstrip("/") if remote else f"http://127.0.0.1:{args.port}"
    study = pages.newest_study()
    if study:
        print(f"study {study.name}, profile {study.profile}: {address}/{pages.comparison(study)}")
    print(f"all runs: {address}", flush=True)
    if remote or args.print_only:
        return 0
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *server(uri, store, args.port)])


def server(uri: str, store: Path, port: int | str) -> list[str]:
    """Arguments of `mlflow`: this machine alone is answered, also where a page elsewhere sends it a Host of its own."""
    hosts = f"127.0.0.1:{port},localhost:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--allowed-hosts", hosts, "--workers", "1"]
    return ["server", *options, "--backend-store-uri", uri, "--default-artifact-root", (store / "artifacts").as_uri()]


def _parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae ui", description="Open MLflow on this folder's runs, at 127.0.0.1.")
    parser.add_argument("--port", type=port, default=5000, help="of the server (default: %(default)s)")
    parser.add_argument("--print-only", action="store_true", help="print the links and start no server")
    return parser
