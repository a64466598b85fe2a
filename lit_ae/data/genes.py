"""Normalised counts of genes in cells, from a file that may be larger than memory."""

import hashlib
import math
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.download import cache_root, data_root
from lit_ae.data.hdf5 import Counts, open_counts
from lit_ae.data.rows import Rows
from lit_ae.data.subsets import share_sizes
from lit_ae.errors import SettingError
from lit_ae.settings.whole_files import whole_file

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float64]
BINS = 20  # of the genes' means, as in Satija et al. 2015


class Genes(BaseDataModule):
    """Gene expression of cells, float32 [D]: counts over the cell's total times the median total, log(1 + x).

    Only the most variable genes are kept, measured by variance over mean, standardised among genes of similar mean
    (Satija et al. 2015). Median, means and variances are those of the training cells. The file is read twice in
    blocks, and the result is written to LIT_AE_CACHE/genes, else the per-user cache, with 4 bytes for each value.
    Training reads it from there by memory mapping, so that the data need not fit in memory; from compressed HDF5,
    chunks would have to be unpacked again for every batch.

    Args:
        path: HDF5 (.h5) or AnnData (.h5ad) file, absolute or below the current folder, `root` or `root`/genes.
        root: folder of data sets; null: LIT_AE_DATA, else a per-user cache.
        matrix: the raw counts in the file, dense or CSR; in an .h5ad file whose X is normalised they usually are
            `layers/counts` or `raw/X`.
        labels: the cells' labels in the file, such as `obs/cell_type`; null: `Y` if there is one, else none.
        n_genes: how many of the most variable genes are kept; null: all.
        normalise: whether the matrix holds counts, which are normalised as above. If not, its values are taken as they
            are, and the genes of largest variance are kept.
        val_share: share of all cells that becomes the val split.
        test_share: share of all cells that becomes the test split.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: the file is missing or holds something else, values to normalise are no counts (found when they
            are first read), or the cache cannot be written.
    """

    name = "genes"

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        matrix: str = "X",
        labels: str | None = None,
        n_genes: int | None = 2000,
        normalise: bool = True,
        val_share: float = 0.1,
        test_share: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if n_genes is not None and n_genes < 1:
            raise SettingError(f"--data.n_genes is {n_genes}: it must be at least 1, or null to keep all")
        self.matrix, self.labels, self.normalise = matrix, labels, normalise
        self.path = _found(Path(path).expanduser(), data_root(root))
        with open_counts(self.path, matrix) as counts:
            self._y, self.class_names = counts.labels(labels)
            self._genes = counts.genes()
        self.input_shape = (min(n_genes or counts.shape[1], counts.shape[1]),)
        self.num_classes = len(self.class_names)
        self._val, self._test = share_sizes(len(self._y), val_share, test_share)

    # -- from counts to the mapped file -------------------------------------------------------------------------

    def _order(self) -> npt.NDArray[np.int64]:
        """Indices of the cells in the order train, val, test."""
        order = torch.randperm(len(self._y), generator=torch.Generator().manual_seed(self.split_seed))
        val, test, train = order.split([self._val, self._test, len(order) - self._val - self._test])
        rows: npt.NDArray[np.int64] = torch.cat([train, val, test]).numpy()
        return rows

    @property
    def cached(self) -> Path:
        """The file that holds the prepared values; it has another name if the settings or the counts change."""
        stat = self.path.stat()
        made_from = (self.path.resolve(), stat.st_size, stat.st_mtime_ns, self.matrix, self.input_shape, self.normalise)
        key = repr((made_from, self.split_seed, self._val, self._test))
        return cache_root() / "genes" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.f32"

    @property
    def _kept(self) -> Path:
        """The file beside the prepared values with the indices of the genes that were kept."""
        return self.cached.with_suffix(".npy")

    @property
    def feature_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the genes that were kept, if the file has them."""
        self.prepare_data()
        if not self._genes or not self._kept.is_file():  # values prepared by older code come without it
            return ()
        return tuple(self._genes[i] for i in np.load(self._kept))

    def prepare_data(self) -> None:
        """Write the prepared values once, with a progress bar; only one process at a time does so."""
        from filelock import FileLock

        path = self.cached
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                size = 4 * len(self._y) * math.prod(self.input_shape)
                if path.is_file() and path.stat().st_size == size:
                    return
                if path.is_file():
                    print(f"{path} is damaged: the prepared genes are written again", file=sys.stderr)
                remedy = "set LIT_AE_CACHE to another folder"
                with whole_file(path, remedy) as part, open_counts(self.path, self.matrix) as counts:
                    self._write(part, counts)
        except OSError as error:
            raise SettingError(
                f"the prepared genes cannot be written to {path.parent} ({error}): set LIT_AE_CACHE to a folder with "
                "enough space"
            ) from error

    def _write(self, path: Path, counts: Counts) -> None:
        order = self._order()
        trained = np.zeros(len(order), dtype=bool)
        trained[order[: -self._val - self._test]] = True
        totals = np.empty(len(order))
        sums, squares = np.zeros((2, counts.shape[1]))  # of each gene's share of the cell's total
        for start, block in counts.blocks("counting genes", self.normalise):
            rows = slice(start, start + block.shape[0])
            totals[rows] = block.sum(1).A1 if self.normalise else 1
            shares = _scaled(block, totals[rows])[trained[rows]]
            sums += shares.sum(0).A1
            squares += shares.multiply(shares).sum(0).A1
        counted = totals[trained & (totals > 0)]
        median = float(np.median(counted)) if len(counted) else 1.0
        n = int(trained.sum())
        mean, square = sums / n * median, squares / n * median**2
        variance = (square - mean**2) * n / max(n - 1, 1)
        largest = np.sort(np.argsort(-variance, kind="stable")[: self.input_shape[0]])
        kept = most_variable(mean, variance, self.input_shape[0]) if self.normalise else largest

        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk would otherwise kill the process that writes to memory
                os.posix_fallocate(file.fileno(), 0, 4 * len(order) * len(kept))
        values = np.memmap(path, np.float32, "r+" if path.stat().st_size else "w+", shape=(len(order), len(kept)))
        for start, block in counts.blocks("writing normalised genes", self.normalise):
            rows = slice(start, start + block.shape[0])
            scaled = _scaled(block[:, kept], totals[rows]).toarray() * median
            values[place[rows]] = np.log1p(scaled) if self.normalise else scaled
        values.flush()
        np.save(self._kept, kept)

    def _values(self) -> npt.NDArray[np.float32]:
        """The prepared values [N, D] in the order train, val, test, mapped; they are computed if they are missing."""
        self.prepare_data()
        return np.memmap(self.cached, np.float32, "r", shape=(len(self._y), *self.input_shape))

    def everything(self) -> ArrayDataset:
        """All cells in the order of the file."""
        place = np.empty(len(self._y), dtype=np.int64)
        place[self._order()] = np.arange(len(place))
        return ArrayDataset(Rows(self._values(), lambda rows: rows, place), self._y)

    def load(self) -> Splits:
        """Map the prepared values into memory."""
        values = self._values()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not writable.*")  # nothing writes into a data set
            x = torch.from_numpy(values)
        y = self._y[torch.from_numpy(self._order())]
        sizes = [len(y) - self._val - self._test, self._val, self._test]
        return Splits(*map(ArrayDataset, x.split(sizes), y.split(sizes)))


def most_variable(mean: Floats, variance: Floats, n: int) -> npt.NDArray[np.int64]:
    """Indices, ascending, of the n genes with the largest standardised dispersion log(variance / mean).

    Satija et al. 2015: dispersions are standardised within 20 bins of equal width over log(1 + mean); genes that
    are never expressed come last.
    """
    seen = mean > 0
    level = np.log1p(mean[seen])
    dispersion = np.log(np.maximum(variance[seen], 1e-12) / mean[seen])
    edges = np.linspace(level.min(initial=0), level.max(initial=0), BINS + 1)
    own = np.digitize(level, edges[1:-1])
    score = np.full(len(mean), -np.inf)
    standard = np.ones(len(level))  # 1 for a gene that is alone in its bin
    for bin_ in np.unique(own):
        inside = own == bin_
        if inside.sum() > 1:
            spread = dispersion[inside].std(ddof=1)
            standard[inside] = (dispersion[inside] - dispersion[inside].mean()) / (spread or 1)
    score[seen] = standard
    return np.sort(np.argsort(-score, kind="stable")[:n])


def _scaled(block: "csr_matrix", totals: Floats) -> "csr_matrix":
    """Rows of counts divided by their totals; rows without counts stay zero."""
    from scipy.sparse import diags

    return (diags(1 / np.where(totals > 0, totals, 1)) @ block).tocsr()


def _found(path: Path, root: Path) -> Path:
    """The first of the places where a relative path may lie that holds the file."""
    places = [path] if path.is_absolute() else [path, root / path, root / "genes" / path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SettingError(
            f"--data.path {path} is not in {', '.join(str(place.parent) for place in places)}: put the .h5 or .h5ad "
            "file there, or set --data.path, or --data.root, or without that LIT_AE_DATA"
        )
    return found
