"""The runs of the MLflow store as a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("run_id", "study", "profile", "model", "data", "seed", "status")


def runs(study: str | None = None, model: str | None = None, experiment: str | None = None) -> "DataFrame":
    """One row for each training run of the MLflow store, newest first.

    Columns: run_id, study, profile, model, data, seed, status (FINISHED, FAILED, KILLED or RUNNING), then every
    parameter as `params.NAME`, every metric's last value as `metrics.NAME` and every tag as `tags.NAME`; NaN if a
    run has none. A study that was continued may have several runs of a model and seed: the first row is the newest.

    Args:
        study: only runs of this study.
        model: only runs of this model, by the name that the study gives it; outside studies the name of the family.
        experiment: only runs of this MLflow experiment; a study's runs are in the experiment of its name.

    Raises:
        SettingError: there is no store, or no such study or experiment in it.

    >>> import lit_ae
    >>> table = lit_ae.runs(study="stochastic", model="VAE")  # doctest: +SKIP
    >>> table.set_index("seed")["metrics.test/mse"]  # doctest: +SKIP
    """
    import pandas as pd

    need_store()
    tags = {"study": study, "model": model}
    wanted = {name: value for name, value in tags.items() if value is not None}
    rows = []
    for name in _experiments(experiment or study):
        for run in tracking.search(name, **wanted):
            if run.tags.get("kind") != "study":  # the parent run of a study, which trains nothing
                rows.append((run.start, dict(_cells(run))))
    rows.sort(key=lambda row: row[0], reverse=True)
    table = pd.DataFrame([cells for _, cells in rows])
    others = sorted(set(table.columns) - set(COLUMNS), key=lambda name: ("pmt".index(name[0]), name))
    return table.reindex(columns=[*COLUMNS, *others]).astype({"seed": "Int64"})


def need_store() -> None:
    """Raise an error if there is no store, instead of creating an empty one.

    Raises:
        SettingError: the store is an sqlite file that does not exist.
    """
    path = Path(tracking.store_uri().partition("sqlite:///")[2])
    if path.name and "file:" not in str(path) and not path.is_file():
        raise SettingError(
            f"there is no MLflow store at {path}: change to the folder that holds mlruns, or set MLFLOW_TRACKING_URI"
        )


def _experiments(name: str | None) -> list[str]:
    known = [str(found.name) for found in tracking.client().search_experiments()]
    if name is None:
        return known
    if name not in known:
        raise SettingError(
            f"there is no study or experiment {name!r} in {tracking.store_uri()}{near_match(name, known)}"
        )
    return [name]


def _cells(run: tracking.Run) -> Iterator[tuple[str, Any]]:
    """Column and value of each cell."""
    yield from {"run_id": run.id, "model": run.model, "data": run.data, "status": run.status}.items()
    yield "seed", run.seed if "seed" in run.tags else None
    for name in ("study", "profile"):
        yield name, run.tags.get(name)
    for kind, values in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
        yield from ((f"{kind}.{name}", value) for name, value in values.items())
