"""Counts of genes in cells, from a file that may be larger than memory."""

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from lit_ae.data.array import share_sizes
from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits
from lit_ae.data.folders import data_root, user_cache
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float64]
BLOCK = 2**25  # bytes of a block of cells in float64
CHUNKS = 2**28  # bytes of HDF5's cache of unpacked chunks at most, unless a single one is larger
BINS = 20  # of the genes' means, as in Satija et al. 2015


class Genes(BaseDataModule):
    """Cells x genes, read in blocks: counts over the cell's total times the median total, log(1 + x), float32 [D].

    The most variable genes are kept: variance over mean, standardised among genes of like mean (Satija et al. 2015).
    Medians, means and variances are the training cells'. Two passes over the file write the result to
    LIT_AE_CACHE/genes, else the per-user cache, 4 bytes a value; training reads it from there by memory mapping, so
    that neither needs to fit in memory: chunks of compressed HDF5 would be unpacked anew for every batch.

    Args:
        path: HDF5 (.h5) or AnnData (.h5ad) file, absolute or below the current folder, `root` or `root`/genes.
        root: by default the environment's LIT_AE_DATA, else a per-user cache.
        matrix: the counts in the file, dense or CSR: in an .h5ad `layers/counts` or `raw/X` where X is normalised.
        labels: the cells' labels in the file, such as `obs/cell_type`; where null, `Y` if there is one, else none.
        n_genes: how many of the most variable genes are kept; all where null.
        val_share, test_share: of all cells.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: the file is missing or holds something else, or the cache cannot be written.
    """

    name = "genes"

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        matrix: str = "X",
        labels: str | None = None,
        n_genes: int | None = 2000,
        val_share: float = 0.1,
        test_share: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if n_genes is not None and n_genes < 1:
            raise SettingError(f"--data.n_genes is {n_genes}: it must be at least 1, or null to keep all")
        self.matrix, self.labels = matrix, labels
        self.path = _found(Path(path).expanduser(), data_root(root))
        with self._counts() as counts:
            self._shape = counts.shape
            self._y = _labels(counts.file, labels, len(counts), self.path)
        self.input_shape = (min(n_genes or counts.shape[1], counts.shape[1]),)
        self.num_classes = int(self._y.max()) + 1
        self._val, self._test = share_sizes(len(self._y), val_share, test_share)

    @contextmanager
    def _counts(self) -> Iterator["Counts"]:
        try:
            import h5py
        except ImportError as error:
            raise SettingError("data Genes needs the package h5py: pip install 'lit_ae[genes]'") from error
        try:
            with h5py.File(self.path) as file:
                largest = _chunk_bytes(file.get(self.matrix))
            # A chunk that does not fit into the cache would be unpacked anew for every block
            file = h5py.File(self.path, rdcc_nbytes=max(CHUNKS, largest))
        except OSError as error:
            raise SettingError(f"--data.path {self.path} is no HDF5 file ({error}): give an .h5 or .h5ad") from error
        with file:
            yield Counts(file, self.matrix, self.path)

    # -- from counts to the mapped file -------------------------------------------------------------------------

    def _order(self) -> npt.NDArray[np.int64]:
        """Cells in the order train, val, test."""
        order = torch.randperm(len(self._y), generator=torch.Generator().manual_seed(self.split_seed))
        val, test, train = order.split([self._val, self._test, len(order) - self._val - self._test])
        rows: npt.NDArray[np.int64] = torch.cat([train, val, test]).numpy()
        return rows

    @property
    def cached(self) -> Path:
        """Where the prepared values are kept; settings or file changed, and it is another place."""
        stat = self.path.stat()
        made_from = (self.path.resolve(), stat.st_size, stat.st_mtime_ns, self.matrix, self.input_shape)
        key = repr((made_from, self.split_seed, self._val, self._test))
        folder = Path(os.environ.get("LIT_AE_CACHE") or user_cache()).expanduser() / "genes"
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.f32"

    def prepare_data(self) -> None:
        """Writes the prepared values once, with a progress bar; several processes take turns."""
        from filelock import FileLock

        path = self.cached
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.is_file():
                    part = path.with_suffix(".part")
                    try:
                        with self._counts() as counts:
                            self._write(part, counts)
                        part.replace(path)
                    finally:
                        part.unlink(missing_ok=True)
        except OSError as error:
            raise SettingError(
                f"the prepared genes cannot be written to {path.parent} ({error}): set LIT_AE_CACHE to a folder with "
                "room"
            ) from error

    def _write(self, path: Path, counts: "Counts") -> None:
        order = self._order()
        trained = np.zeros(len(order), dtype=bool)
        trained[order[: -self._val - self._test]] = True
        totals = np.empty(len(order))
        sums, squares = np.zeros((2, counts.shape[1]))  # of each gene's share of the cell
        for start, block in counts.blocks("counting genes"):
            rows = slice(start, start + block.shape[0])
            totals[rows] = block.sum(1).A1
            shares = _scaled(block, totals[rows])[trained[rows]]
            sums += shares.sum(0).A1
            squares += shares.multiply(shares).sum(0).A1
        counted = totals[trained & (totals > 0)]
        median = float(np.median(counted)) if len(counted) else 1.0
        n = int(trained.sum())
        mean, square = sums / n * median, squares / n * median**2
        kept = most_variable(mean, (square - mean**2) * n / max(n - 1, 1), self.input_shape[0])

        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        values = np.memmap(path, np.float32, "w+", shape=(len(order), len(kept)))
        for start, block in counts.blocks("writing normalised genes"):
            rows = slice(start, start + block.shape[0])
            values[place[rows]] = np.log1p(_scaled(block[:, kept], totals[rows]).toarray() * median)
        values.flush()

    def load(self) -> Splits:
        """Maps the prepared values, which are made first where they are missing."""
        self.prepare_data()
        values = np.memmap(self.cached, np.float32, "r", shape=(len(self._y), *self.input_shape))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not writable.*")  # nothing writes into a data set
            x = torch.from_numpy(values)
        y = self._y[torch.from_numpy(self._order())]
        sizes = [len(y) - self._val - self._test, self._val, self._test]
        return Splits(*map(ArrayDataset, x.split(sizes), y.split(sizes)))


class Counts:
    """The matrix of counts in an open file: dense, or CSR as AnnData writes it.

    Raises:
        SettingError: there is no such matrix, or it is stored otherwise.
    """

    def __init__(self, file: Any, name: str, path: Path) -> None:
        import h5py

        self.file, self.path, self.name = file, path, name
        found = file.get(name)
        self.dense = isinstance(found, h5py.Dataset)
        if found is None or (self.dense and found.ndim != 2):
            raise SettingError(f"{path} has no matrix {name!r}: set --data.matrix to one of {_named(file)}")
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
        """First row and CSR [n, G] of consecutive blocks of cells.

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
                    f"{self.name!r} in {self.path} holds values that are no counts (negative or not finite): set "
                    "--data.matrix to the raw counts"
                )
            yield start, block


def most_variable(mean: Floats, variance: Floats, n: int) -> npt.NDArray[np.int64]:
    """Indices, ascending, of the n genes whose dispersion log(variance / mean) stands out most among like means.

    Satija et al. 2015: dispersions are standardised within 20 bins of equal width over log(1 + mean); genes that
    are never seen come last.
    """
    seen = mean > 0
    level = np.log1p(mean[seen])
    dispersion = np.log(np.maximum(variance[seen], 1e-12) / mean[seen])
    edges = np.linspace(level.min(initial=0), level.max(initial=0), BINS + 1)
    own = np.digitize(level, edges[1:-1])
    score = np.full(len(mean), -np.inf)
    standard = np.ones(len(level))  # of a gene that is alone in its bin
    for bin_ in np.unique(own):
        inside = own == bin_
        if inside.sum() > 1:
            spread = dispersion[inside].std(ddof=1)
            standard[inside] = (dispersion[inside] - dispersion[inside].mean()) / (spread or 1)
    score[seen] = standard
    return np.sort(np.argsort(-score, kind="stable")[:n])


def _scaled(block: "csr_matrix", totals: Floats) -> "csr_matrix":
    """Rows of counts over their totals; rows without counts stay zero."""
    from scipy.sparse import diags

    return (diags(1 / np.where(totals > 0, totals, 1)) @ block).tocsr()


def _found(path: Path, root: Path) -> Path:
    places = [path] if path.is_absolute() else [path, root / path, root / "genes" / path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SettingError(
            f"--data.path {path} is not in {', '.join(str(place.parent) for place in places)}: put the .h5 or .h5ad "
            "file there, or set --data.path, --data.root or LIT_AE_DATA"
        )
    return found


def _labels(file: Any, name: str | None, n: int, path: Path) -> torch.Tensor:
    """Labels 0, 1, … [n] in the order of their values; -1 where there are none."""
    import h5py

    found = file.get(name or "Y")
    if found is None and name is None:
        return torch.full((n,), -1)
    if isinstance(found, h5py.Group) and "codes" in found:  # AnnData's categories; missing ones are -1 there, too
        labels = found["codes"][:].astype(np.int64)
    elif isinstance(found, h5py.Dataset):
        labels = np.unique(found[:], return_inverse=True)[1]
    else:
        raise SettingError(f"{path} has no labels {name!r}: set --data.labels to one of {_named(file)}")
    if labels.shape != (n,):
        raise SettingError(
            f"labels {name or 'Y'!r} in {path} have shape {list(labels.shape)} for {n} cells: give a label each"
        )
    return torch.from_numpy(labels)


def _chunk_bytes(found: Any) -> int:
    """Size of an unpacked chunk of a data set of HDF5, 0 where it has none."""
    chunks = getattr(found, "chunks", None)
    return math.prod(chunks) * int(found.dtype.itemsize) if chunks else 0


def _named(file: Any) -> str:
    names: list[str] = []
    file.visit(names.append)
    return ", ".join(names[:20]) or "nothing"
