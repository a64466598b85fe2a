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
        found = file.get(name)
        self.dense = isinstance(found, h5py.Dataset)
        if found is None or (self.dense and found.ndim != 2):
            raise SettingError(f"{path} has no matrix {name!r}: set --data.matrix to one of {names_in(file)}")
        kind = found.attrs.get("encoding-type", found.attrs.get("h5sparse_format", b""))
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if not self.dense and not (kind.startswith("csr") and {"data", "indices", "indptr"} <= found.keys()):
            raise SettingError(f"{name!r} in {path} is neither dense nor CSR ({kind or 'a group'}): store it as CSR")
        self.found = found
        shape = found.shape if self.dense else found.attrs.get("shape", found.attrs.get("h5sparse_shape"))
        self.shape = (int(shape[0]), int(shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, title: str) -> Iterator[tuple[int, "csr_matrix"]]:
        """First row and CSR matrix [n, G] of consecutive blocks of cells; `title` is that of the progress bar.

        Raises:
            SettingError: a value is negative or not finite.
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
            if block.nnz and not (block.data.min() >= 0 and np.isfinite(block.data.max())):
                raise SettingError(
                    f"{self.name!r} in {self.path} holds values that are not counts (negative or not finite): set "
                    "--data.matrix to the raw counts"
                )
            yield start, block

    def labels(self, name: str | None) -> Labels:
        """Classes of the cells, those that occur; -1 for cells without a label.

        Args:
            name: where the labels are in the file; null: `Y` if there is one, else no cell has a label.

        Raises:
            SettingError: there are no such labels, not one for each cell, or they are no classes.
        """
        import h5py

        found = self.file.get(name or "Y")
        if found is None and name is None:
            return Labels(no_labels(len(self)), ())
        where = f"labels {name or 'Y'!r} in {self.path}: the file"
        if isinstance(found, h5py.Dataset):
            return as_labels(found[:], len(self), where)
        keys = found.keys() if isinstance(found, h5py.Group) else set()
        if {"codes", "categories"} <= keys:  # AnnData's categories, where -1 means missing
            codes, names = found["codes"][:].astype(np.int64), found["categories"][:]
            return as_labels(np.ma.array(np.append(names, names[:1])[codes], mask=codes < 0), len(self), where)
        if {"values", "mask"} <= keys:  # AnnData's nullable whole numbers and truth values
            return as_labels(np.ma.array(found["values"][:], mask=found["mask"][:]), len(self), where)
        raise SettingError(f"{self.path} has no labels {name!r}: set --data.labels to one of {names_in(self.file)}")


def chunk_bytes(found: Any) -> int:
    """Size of an unpacked chunk of an HDF5 data set in bytes; 0 if it is not stored in chunks."""
    chunks = getattr(found, "chunks", None)
    return math.prod(chunks) * int(found.dtype.itemsize) if chunks else 0


def names_in(file: Any) -> str:
    """The first twenty names in an HDF5 file, separated by commas, for messages."""
    names: list[str] = []
    file.visit(names.append)
    return ", ".join(names[:20]) or "nothing"
