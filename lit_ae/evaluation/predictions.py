"""What `lit-ae predict` writes: codes, reconstructions and terms of each sample, in a file that holds any number."""

import json
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from lit_ae.errors import SettingError
from lit_ae.settings.whole_files import UNWRITABLE, cannot_be_written, whole_file

if TYPE_CHECKING:
    from pyarrow import Table

Values = npt.NDArray[np.generic]
CLASS_NAMES = "class_names"  # the array, or the key of the metadata
FORMATS = (".npz", ".parquet")


@dataclass(frozen=True)
class Predictions(Mapping[str, Values]):
    """The arrays of a file of predictions, by name; the first axis of each counts the samples.

    `index` [N] is the place of a sample in its split, or in your own file; `label` [N] is -1 if it has none. Families
    with an encoder add `codes` [N, D] (the means), `codes_logvar` [N, D] if they predict one, `reconstruction`
    [N, *shape] of the mean code, and the terms `loss`, `nll`, `penalty`, `mse` and the family's own, each [N].
    A classifier adds `probabilities` [N, K] instead. `class_names` are those of the labels, and of the columns of
    `probabilities`; empty if the numbers are the names.
    """

    arrays: Mapping[str, Values] = field(repr=False)
    class_names: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Values:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


class Writer(ABC):
    """Takes blocks of samples and puts the file in its place when all are in it; as a context manager.

    After an error, or Ctrl-C, a file that was there before is as it was.

    Args:
        path: the file, in one of `FORMATS`; its folder is created.
        class_names: of the labels, stored as well; empty if the numbers are the names.

    Raises:
        SettingError: another ending.
    """

    def __init__(self, path: Path, class_names: tuple[str, ...] = ()) -> None:
        self.path, self.class_names, self.samples = path, class_names, 0
        self.names: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(prefix=f".{self.path.name}-", dir=self.path.parent)
        self.draft = Path(self.folder.name) / self.path.name
        return self

    def write(self, block: Mapping[str, Values]) -> None:
        """Add samples: arrays [B, ...], of the same names, types and shapes of a sample in every block."""
        self.names = self.names or tuple(block)
        self.samples += len(next(iter(block.values())))
        with self._told():
            self._write(block)

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        try:
            if error is None and self.samples:
                with self._told(), whole_file(self.path) as part:
                    self._finish()
                    self.draft.replace(part)
        finally:
            self.folder.cleanup()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Inside it, want of space or of the right to write becomes an error of one line."""
        try:
            yield
        except OSError as error:
            if error.errno in UNWRITABLE:
                raise SettingError(cannot_be_written(self.path, error, "give another place by --output")) from error
            raise

    @abstractmethod
    def _write(self, block: Mapping[str, Values]) -> None:
        """Add the block to the draft."""

    @abstractmethod
    def _finish(self) -> None:
        """Close the draft."""


class NpzWriter(Writer):
    """Writes the values of each array to a file of its own, and at the end all of them into one archive."""

    def __init__(self, path: Path, class_names: tuple[str, ...] = ()) -> None:
        super().__init__(path, class_names)
        self.empty: dict[str, Values] = {}  # a block without samples, which has type and shape

    def _part(self, name: str) -> Path:
        return Path(self.folder.name, f"{name}.part")

    def _write(self, block: Mapping[str, Values]) -> None:
        for name, values in block.items():
            self.empty.setdefault(name, values[:0])
            with self._part(name).open("ab") as part:
                part.write(np.ascontiguousarray(values).tobytes())

    def _finish(self) -> None:
        with zipfile.ZipFile(self.draft, "w") as archive:
            for name, empty in self.empty.items():
                header = np.lib.format.header_data_from_array_1_0(empty)
                header |= {"shape": (self.samples, *empty.shape[1:]), "fortran_order": False}
                with self._part(name).open("rb") as part, archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    shutil.copyfileobj(part, file)
            if self.class_names:
                with archive.open(f"{CLASS_NAMES}.npy", "w") as file:
                    np.lib.format.write_array(file, np.array(self.class_names), allow_pickle=False)


class ParquetWriter(Writer):
    """Writes a row for each sample; an array of more axes is a column of lists, with its shape in the metadata."""

    def __init__(self, path: Path, class_names: tuple[str, ...] = ()) -> None:
        super().__init__(path, class_names)
        self.file: Any = None

    def _write(self, block: Mapping[str, Values]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns, fields = [], []
        for name, values in block.items():
            column = pa.array(values.reshape(-1))
            if values.ndim > 1:
                column = pa.FixedSizeListArray.from_arrays(column, int(np.prod(values.shape[1:])))
            columns.append(column)
            shape = " ".join(map(str, values.shape[1:]))
            fields.append(pa.field(name, column.type, metadata={"shape": shape}))
        table = pa.Table.from_arrays(columns, schema=pa.schema(fields, {CLASS_NAMES: json.dumps(self.class_names)}))
        self.file = self.file or pq.ParquetWriter(self.draft, table.schema)
        self.file.write_table(table)

    def _finish(self) -> None:
        if self.file:
            self.file.close()


def writer(path: Path, class_names: tuple[str, ...] = ()) -> Writer:
    """What writes this file, which may replace other predictions.

    Raises:
        SettingError: its ending is no format of predictions, or it is there already and holds something else.
    """
    kinds = dict(zip(FORMATS, (NpzWriter, ParquetWriter), strict=True))
    if path.suffix not in kinds:
        raise SettingError(f"--output is {path}: it must end in {' or '.join(FORMATS)}")
    if path.is_file() and path.stat().st_size and not _holds_predictions(path):
        raise SettingError(
            f"--output {path} is there already and holds no predictions, so it is not replaced: give another name, or "
            "remove it first"
        )
    return kinds[path.suffix](path, class_names)


def _holds_predictions(path: Path) -> bool:
    """Whether the names of a file's arrays are those of predictions; no values are read."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            names = set(pq.read_schema(path).names)
        else:
            with zipfile.ZipFile(path) as archive:
                names = {Path(name).stem for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return {"index", "label"} < names and bool({"codes", "probabilities"} & names)


def read_predictions(path: Path) -> Predictions:
    """The predictions in a file, which never executes anything that it may hold.

    Raises:
        SettingError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise SettingError(f"{path} does not exist: write it by `lit-ae predict`")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path)
            found, names = _arrays(table), json.loads((table.schema.metadata or {}).get(CLASS_NAMES.encode(), b"[]"))
        else:
            with np.load(path, allow_pickle=False) as archive:
                found = dict(archive)
            names = found.pop(CLASS_NAMES, np.array([])).tolist()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SettingError(
            f"{path} cannot be read as predictions ({type(error).__name__}): write it again by `lit-ae predict`"
        ) from error
    if "index" not in found:
        raise SettingError(f"{path} holds no predictions: give a file that `lit-ae predict` wrote")
    return Predictions(found, tuple(map(str, names)))


def _arrays(table: "Table") -> dict[str, Values]:
    found = {}
    for column in table.schema:
        shape = (column.metadata or {}).get(b"shape", b"").decode().split()
        values = table[column.name].combine_chunks()
        flat = (values.flatten() if shape else values).to_numpy(zero_copy_only=False)
        found[column.name] = flat.reshape(-1, *map(int, shape))
    return found
