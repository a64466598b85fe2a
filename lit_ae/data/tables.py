"""Tables of the user's own, .csv or .parquet: a row a sample, numbers as features, one column of labels."""

import re
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lit_ae.data.containers import COLLAPSED, collapsed, collapsed_column
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ENDINGS = {".csv", ".tsv", ".parquet"}
LABELS = ("y", "label", "labels", "class", "target")  # columns that are taken as labels, in any case
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
PLAIN = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]\d+)?")  # programs write a sign before an exponent
FIRST_SAMPLE = "the first line holds numbers where names of columns should be: add a line of names"
ROWS = ("id", "idx", "index")  # columns that may number the rows, in any case


class Table(NamedTuple):
    """What a table holds."""

    x: npt.NDArray[np.float32]  # [N, D]
    labels: Any  # [N], as in the file; None if there is no such column
    names: tuple[str, ...]  # of the features


def read_table(path: Path, label_column: str | None = None) -> Table:
    """Features [N, D] and labels [N] of a .csv (commas), .tsv (tabs) or .parquet file.

    Args:
        path: the file; the first line of a text file names the columns.
        label_column: the column with the labels; if null `y`, `label`, `labels`, `class` or `target`, in any case.

    Raises:
        SettingError: the file is broken or empty, the labels are missing or not clear, or a feature is no number, not
            finite, or only numbers the rows.
    """
    frame = _frame(path, label_column)
    known = _names(frame, path)
    frame = frame.set_axis(known, axis=1)
    likely = [name for name in known if name.lower() in LABELS]
    if label_column is None and len(likely) > 1:
        raise SettingError(f"--data.path {path}: {_some(likely)} may each be the labels: choose one as --data.labels")
    chosen = label_column or next(iter(likely), None)
    if chosen is not None and chosen not in known:
        raise SettingError(
            f"--data.labels is {chosen!r}, and {path} has the columns {_some(known)}: choose one of them"
        )
    features = [name for name in known if name != chosen]
    if not len(frame) or not features:
        raise SettingError(
            f"--data.path {path} has {len(frame)} rows and {len(features)} columns of features: give a table with at "
            "least one row, and one column beside the labels"
        )
    if others := [name for name in likely if name in features]:
        print(
            f"--data.path {path}: the labels are {chosen!r}, so that {_some(others)} counts as a feature: leave it out "
            "of the file if it holds labels as well",
            file=sys.stderr,
        )
    texts = [name for name in features if frame[name].dtype.kind not in "iufb"]
    if texts:
        values = frame[texts[0]].dropna()
        first = next((value for value in values if not NUMBER.fullmatch(str(value))), None)
        what, remedy = f"no numbers, the first {first!r}", "drop or encode them, or name the labels as --data.labels"
        if first is None and len(values):
            what, remedy = f"numbers of type {type(values.iloc[0]).__name__}", "store them as floats"
        raise SettingError(f"--data.path {path}: columns {_some(texts)} hold {what}: {remedy}")
    for name in features:
        if name.lower() in ROWS and frame[name].is_unique and (frame[name] % 1 == 0).all():
            raise SettingError(f"--data.path {path}: column {name!r} numbers the rows and is no feature: leave it out")
    x = frame[features].to_numpy(np.float64, na_value=np.nan)
    rows, columns = np.nonzero(~np.isfinite(x))
    if len(rows):
        first = "missing" if np.isnan(x[rows[0], columns[0]]) else "infinite"
        raise SettingError(
            f"--data.path {path}: {len(rows)} values are missing or infinite, the first, {first}, in row "
            f"{rows[0] + 1}, column {features[columns[0]]!r}: fill them in or drop them"
        )
    if (place := collapsed(x)) is None:
        place = collapsed_column(frame[name] for name in features)
    if place is not None:
        raise SettingError(f"--data.path {path}: column {features[place]!r} {COLLAPSED}")
    labels = None if chosen is None else _labels(frame[chosen], path, known.index(chosen))
    return Table(x.astype(np.float32), labels, tuple(features))


def _mark(path: Path) -> tuple[str, str]:
    """What separates the columns of a text file, and its name."""
    return ("\t", "tabs") if path.suffix.lower() == ".tsv" else (",", "commas")


def _frame(path: Path, label_column: str | None) -> "DataFrame":
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return _with_index(pd.read_parquet(path), path, label_column)
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline()
        mark, name = _mark(path)
        other = next((other for other in ";\t|," if other in line and mark not in line), None)
        if other is not None:
            raise SettingError(f"--data.path {path} is separated by {other!r}: write it with {name} and decimal points")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows with more values than names
            head = pd.read_csv(path, sep=mark, index_col=False, header=None, nrows=1, dtype=str, keep_default_na=False)
            frame = pd.read_csv(path, sep=mark, index_col=False)
        _refuse_twice([name.strip() for name in head.iloc[0]], path)  # pandas would call the second NAME.1
        return frame
    except ImportError as error:
        raise SettingError(
            f"{path}: .parquet needs the package pyarrow: pip install pyarrow, or give a .csv"
        ) from error
    except pd.errors.ParserWarning as error:
        raise SettingError(
            f"--data.path {path}: rows have more values than the first line has names: give each column a name"
        ) from error
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError(f"--data.path {path} cannot be read as a table ({reason}): write it anew") from error


def _labels(column: "Series[Any]", path: Path, place: int) -> npt.NDArray[Any]:
    """The labels in a column: as they are written, unless these are numbers as programs write them, or truth values.

    Read as numbers, `01` and `1` would be one class, and `1E3` and `2E1` would be 1000 and 20.
    """
    values: npt.NDArray[Any] = column.to_numpy()
    if path.suffix.lower() == ".parquet":
        return values
    import pandas as pd

    texts = pd.read_csv(path, sep=_mark(path)[0], index_col=False, usecols=[place], dtype=str).iloc[:, 0].str.strip()
    if values.dtype.kind in "iuf" and (column.dropna() % 1 != 0).any():
        return values  # which `as_labels` refuses
    plain = values.dtype.kind == "b" or all(PLAIN.fullmatch(text) for text in texts.dropna().unique())
    if values.dtype.kind in "iufb" and plain and texts.nunique() == column.nunique():
        return values
    written: npt.NDArray[Any] = texts.to_numpy(object, na_value=None)
    return written


def _names(frame: "DataFrame", path: Path) -> list[str]:
    """Names of the columns, which are not the first sample."""
    names = [str(name).strip() for name in frame.columns]
    unnamed = [name for name in names if name.startswith("Unnamed: ") or not name]
    if unnamed:
        raise SettingError(
            f"--data.path {path}: column {names.index(unnamed[0]) + 1} has no name: give it one, or leave it out if it "
            "only numbers the rows (pandas: to_csv(index=False))"
        )
    _refuse_twice(names, path)
    numbers = [float(name) for name in names if NUMBER.fullmatch(name)]
    # Columns may be numbered, or named by a wavelength; a first sample is seldom 0, 1, 2, ... or rising in 8 features
    numbered = len(numbers) < len(names) and numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    rising = len(numbers) >= 8 and all(a < b for a, b in pairwise(numbers))
    if numbers and not numbered and not rising and path.suffix.lower() != ".parquet":
        raise SettingError(f"--data.path {path}: {FIRST_SAMPLE}")
    return names


def _refuse_twice(names: list[str], path: Path) -> None:
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        if NUMBER.fullmatch(twice):
            raise SettingError(f"--data.path {path}: {FIRST_SAMPLE}")
        raise SettingError(f"--data.path {path} has several columns called {twice!r}: give each a name of its own")


def _with_index(frame: "DataFrame", path: Path, label_column: str | None) -> "DataFrame":
    """The table with levels of its index as columns if they are the labels; other numbers there might be a feature."""
    levels = frame.index.names
    labels = [
        name for name in levels if name is not None and (str(name).lower() in LABELS or str(name) == label_column)
    ]
    for place, name in enumerate(levels):
        values = frame.index.get_level_values(place)
        # Whole numbers without a name number the rows, for example of what is left of a larger table
        rows = values.dtype.kind in "iu" if name is None else str(name).lower() in ROWS
        if name not in labels and values.dtype.kind in "iufb" and not rows:
            what = "a column without a name" if name is None else repr(name)
            raise SettingError(
                f"--data.path {path}: {what} is in the index: make it a column (reset_index), or leave it out if it "
                "is no feature (reset_index(drop=True))"
            )
    return frame.reset_index(level=labels) if labels else frame


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
