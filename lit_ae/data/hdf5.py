"""Counts of genes in cells, read in blocks from an HDF5 or AnnData file that may be larger than memory."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_ae.data.containers import no_labels
from lit_ae.data.labels import Labels, as_labels
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 2**25  # bytes of a block of cells in float64
RAW = ("layers/counts", "raw/X", "X")  # where AnnData usually has counts
CHUNK_CACHE = 2**28  # bytes of HDF5's cache of unpacked chunks, unless a single chunk is larger


@contextmanager
def open_counts(path: Path, matrix: str) -> Iterator["Counts"]:
    """The matrix of counts in the file, which is open inside the `with` block.

    Raises:
        SettingError: h5py is not installed, the file is not HDF5, or it holds no such matrix.
    """
    try:
        import h5py
    except ImportError as error:
        raise SettingError("data Genes needs the package h5py: pip install 'lit_ae[genes]'") from error
    try:
        with h5py.File(path) as file:
            largest = chunk_bytes(file.get(matrix))
        # A chunk that does not fit into the cache would be unpacked again for every block
        file = h5py.File(path, rdcc_nbytes=max(CHUNK_CACHE, largest))
    except OSError as error:
        raise SettingError(f"--data.path {path} is not an HDF5 file ({error}): give an .h5 or .h5ad file") from error
    with file:
        yield Counts(file, matrix, path)


class Counts:
    """The matrix of counts in an open file: dense, or CSR as AnnData writes it.

    Raises:
        SettingError: there is no such matrix, or it is stored in another form.
    """

    def __init__(self, file: Any, name: str, path: Path) -> None:
        import h5py

        self.file, self.path, self.name = file, path, name
        found = _in(file, name)
        self.dense = isinstance(found, h5py.Dataset)
        if found is None or (self.dense and found.ndim != 2):
            raise SettingError(f"{path} has no matrix {name!r}: set --data.matrix to one of {names_in(file)}")
        kind = found.attrs.get("encoding-type", found.attrs.get("h5sparse_format", b""))
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if not self.dense and not (kind.startswith("csr") and {"data", "indices", "indptr"} <= found.keys()):
            raise SettingError(f"{name!r} in {path} is neither dense nor CSR ({kind or 'a group'}): store it as CSR")
        self.found = found
        shape = found.shape if self.dense else found.attrs.get("shape", found.attrs.get("h5sparse_shape", (0, 0)))
        self.shape = (int(shape[0]), int(shape[1]))
        dtype = (found if self.dense else found["data"]).dtype
        if 0 in self.shape or dtype.kind not in "iufb":
            raise SettingError(
                f"{name!r} in {path} holds {self.shape[0]} cells of {self.shape[1]} genes of type {dtype}: set "
                f"--data.matrix to one of {names_in(file)}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, title: str, counts: bool = True) -> Iterator[tuple[int, "csr_matrix"]]:
        """First row and CSR matrix [n, G] of consecutive blocks of cells.

        Args:
            title: that of the progress bar.
            counts: whether the values must be counts.

        Raises:
            SettingError: a value is not finite, or no count.
        """
        from rich.progress import track
        from scipy.sparse import csr_matrix

        from lit_ae.console import terminal

        step = max(1, BLOCK // (8 * self.shape[1]))
        starts = range(0, len(self), step)
        pointers = None if self.dense else self.found["indptr"][:]
        for start in track(starts, title, console=terminal(), transient=True, disable=not terminal().is_terminal):
            stop = min(start + step, len(self))
            if pointers is None:
                block = csr_matrix(self.found[start:stop], dtype=np.float64)
            else:
                first, last = pointers[start], pointers[stop]
                data, indices = (self.found[key][first:last] for key in ("data", "indices"))
                parts = (data.astype(np.float64), indices, pointers[start : stop + 1] - first)
                block = csr_matrix(parts, shape=(stop - start, self.shape[1]))
            self._check(start, block, counts)
            yield start, block

    def _check(self, start: int, block: "csr_matrix", counts: bool) -> None:
        """Refuse values that are not finite, negative or fractions, with the index of the first."""
        right = np.isfinite(block.data)
        whole = right & (block.data >= 0) & (block.data == np.rint(block.data)) if counts else right
        if whole.all():
            return
        wrong = int(np.argmin(right if not right.all() else whole))
        place = [start + int(np.searchsorted(block.indptr, wrong, "right")) - 1, int(block.indices[wrong])]
        value = block.data[wrong]
        where = f"{self.name!r} in {self.path} holds {value:g} at index {place}"
        if not np.isfinite(value):
            raise SettingError(f"{where}: replace it, or leave out this cell or gene")
        raw = ", ".join(name for name in RAW if name != self.name and _in(self.file, name) is not None)
        raise SettingError(
            f"{where}, which is no count: if the values are normalised already, set --data.matrix to the raw counts "
            f"({'here may be: ' + raw if raw else 'of which this file has none'}), or --data.normalise=false to take "
            "them as they are; round expected counts"
        )

    def genes(self) -> tuple[str, ...]:
        """Names of the genes [G], from `var` of an AnnData file, `genes` or `gene_names`; empty if there are none."""
        variables = _in(self.file, "var")
        index = variables.attrs.get("_index", "_index") if variables is not None else "_index"
        for name in (f"var/{index}", "genes", "gene_names"):
            values = _values(self.file, _in(self.file, name))
            if values is not None and len(values) == self.shape[1]:
                return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values)
        return ()

    def labels(self, name: str | None) -> Labels:
        """Classes of the cells, those that occur; -1 for cells without a label.

        Args:
            name: where the labels are in the file; null: `Y` or `y` if there is one, else no cell has a label.

        Raises:
            SettingError: there are no such labels, not one for each cell, or they are no classes.
        """
        name = name or next((known for known in ("Y", "y") if known in self.file), None)
        if name is None:
            return Labels(no_labels(len(self)), ())
        values = _values(self.file, _in(self.file, name))
        if values is None:
            raise SettingError(f"{self.path} has no labels {name!r}: set --data.labels to one of {names_in(self.file)}")
        return as_labels(values, len(self), f"labels {name!r} in {self.path}: the file")


def _in(file: Any, name: str) -> Any:
    """What has this name in an open file; null if nothing has, also where a part of the name is no group."""
    try:
        return file.get(name)
    except (KeyError, TypeError, ValueError):
        return None


def _values(file: Any, found: Any) -> Any:
    """The values [N] of a data set or of a column as AnnData writes it; null if it is neither."""
    import h5py

    keys = set(found.keys()) if isinstance(found, h5py.Group) else set()
    if {"values", "mask"} <= keys:  # whole numbers, truth values and texts that may be missing
        return np.ma.array(found["values"][()], mask=found["mask"][()])
    if {"codes", "categories"} <= keys:
        codes, names = found["codes"][()], _values(file, found["categories"])
    elif not isinstance(found, h5py.Dataset):
        return None
    elif isinstance(found.attrs.get("categories"), h5py.Reference):  # AnnData before 0.8
        codes, names = found[()], file[found.attrs["categories"]][()]
    else:
        return found[()]
    if names is None or codes.max(initial=-1) >= len(names):
        return None
    return np.array([names[code] if code >= 0 else None for code in codes], dtype=object)  # -1 means missing


def chunk_bytes(found: Any) -> int:
    """Size of an unpacked chunk of an HDF5 data set in bytes; 0 if it is not stored in chunks."""
    chunks = getattr(found, "chunks", None)
    return math.prod(chunks) * int(found.dtype.itemsize) if chunks else 0


def names_in(file: Any) -> str:
    """The first twenty names in an HDF5 file, separated by commas, for messages."""
    names: list[str] = []
    file.visit(names.append)
    return ", ".join(names[:20]) or "nothing"
