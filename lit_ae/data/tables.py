"""Tables of the user's own, .csv or .parquet: a row a sample, numbers as features, one column of labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from pandas import DataFrame

ENDINGS = {".csv", ".tsv", ".parquet"}
LABELS = ("y", "label", "labels", "class", "target")  # columns that are taken as labels, in any case


class Table(NamedTuple):
    """What a table holds."""

    x: npt.NDArray[np.float32]  # [N, D]
    labels: Any  # [N], as in the file; None if there is no such column
    names: tuple[str, ...]  # of the features


def read_table(path: Path, label_column: str | None = None) -> Table:
    """Features [N, D] and labels [N] of a .csv (commas), .tsv (tabs) or .parquet file.

    Args:
        path: the file; the first line of a text file names the columns.
        label_column: the column with the labels; if null the first of `y`, `label`, `labels`, `class`, `target`.

    Raises:
        SettingError: the file is broken or empty, a column is missing, or a feature is no number or not finite.
    """
    frame = _frame(path)
    known = [str(name) for name in frame.columns]
    chosen = label_column or next((name for name in known if name.lower() in LABELS), None)
    if chosen is not None and chosen not in known:
        raise SettingError(
            f"--data.labels is {chosen!r}, and {path} has the columns {_some(known)}: choose one of them"
        )
    features = [name for name in known if name != chosen]
    if not len(frame) or not features:
        raise SettingError(f"--data.path {path} has {len(frame)} rows and {len(features)} columns of features")
    texts = [name for name in features if frame[name].dtype.kind not in "iufb"]
    if texts:
        raise SettingError(
            f"--data.path {path}: columns {_some(texts)} hold no numbers: drop or encode them, or name the one with "
            "the labels as --data.labels"
        )
    x = frame[features].to_numpy(np.float64, na_value=np.nan)
    rows, columns = np.nonzero(~np.isfinite(x))
    if len(rows):
        raise SettingError(
            f"--data.path {path}: {len(rows)} values are missing or infinite, the first in row {rows[0] + 1}, column "
            f"{features[columns[0]]!r}: fill them in or drop them"
        )
    labels = None if chosen is None else frame[chosen].to_numpy()
    return Table(x.astype(np.float32), labels, tuple(features))


def _frame(path: Path) -> "DataFrame":
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        frame: DataFrame = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except ImportError as error:
        raise SettingError(
            f"{path}: .parquet needs the package pyarrow: pip install pyarrow, or give a .csv"
        ) from error
    except (ValueError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError(f"--data.path {path} cannot be read as a table ({reason}): write it anew") from error
    try:
        [float(name) for name in frame.columns]
    except ValueError:
        return frame
    raise SettingError(
        f"--data.path {path}: the first line holds numbers where names of columns should be: add a line of names"
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
