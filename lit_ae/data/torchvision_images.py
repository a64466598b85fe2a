"""Data sets in the layout of torchvision's MNIST, with torchvision's addresses and checksums.

They are downloaded and read here because torchvision's own class needs a folder that it can write to, never checks
the unpacked files, and waits without a time limit for a network that does not answer.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.download import checked, data_root, download
from lit_ae.data.subsets import seeded_split
from lit_ae.errors import SettingError


class TorchvisionImages(BaseDataModule):
    """70,000 grey images, 28 x 28, of ten classes: train 55,000, val 5,000, test 10,000.

    The files, compressed (.gz) or not, are looked for in `root`/NAME/raw and downloaded to it if they are missing.
    Files that are there are checked and read in place, which needs no network and no permission to write.

    Args:
        root: the folder that holds NAME/raw; null: LIT_AE_DATA, else a per-user cache.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: a file is missing and cannot be downloaded, or has a wrong checksum.
    """

    input_shape = (1, 28, 28)
    num_classes = 10
    torchvision_name: ClassVar[str]  # torchvision's class, and the name of its folder
    unpacked_md5: ClassVar[dict[str, str]]  # torchvision only states those of the compressed files

    def __init__(
        self,
        root: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = data_root(root)

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.root / self.torchvision_name / "raw"

    def prepare_data(self) -> None:
        """Download the files that are missing, with a progress bar; only one process at a time does so."""
        missing = [name for name, _, _ in self._files() if not self._path(name)]
        if not missing:
            return
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".download.lock"):
                for name, md5, urls in self._files():
                    if not self._path(name):
                        missing = [name]
                        download(urls, self.folder / f"{name}.gz", md5)
        except OSError as error:
            raise self._missing(missing[0], f"it could not be downloaded ({error})") from error

    def load(self) -> Splits:
        """Read the four files; a random twelfth of the training images becomes the val split."""
        train_x, train_y, test_x, test_y = (idx_array(self._content(name, md5)) for name, md5, _ in self._files())
        images = ArrayDataset(train_x.unsqueeze(1), train_y.long())  # [60000, 1, 28, 28], [60000]
        val, train = seeded_split(images, (len(images) // 12,), self.split_seed)
        return Splits(train, val, ArrayDataset(test_x.unsqueeze(1), test_y.long()))

    def _files(self) -> Iterator[tuple[str, str, list[str]]]:
        """Name without .gz, md5 of the .gz file, and addresses, of train images, train labels and the same of test."""
        import torchvision.datasets

        source = getattr(torchvision.datasets, self.torchvision_name)
        for file, md5 in source.resources:
            yield file.removesuffix(".gz"), md5, [f"{mirror}{file}" for mirror in source.mirrors]

    def _path(self, name: str) -> Path | None:
        candidates = (self.folder / name, self.folder / f"{name}.gz")
        return next((path for path in candidates if path.is_file()), None)

    def _content(self, name: str, packed_md5: str) -> bytes:
        """The decompressed content of a file, whose checksum is verified first."""
        path = self._path(name)
        if path is None:
            raise self._missing(name, "it has not been downloaded")
        packed = path.suffix == ".gz"
        content = checked(path, packed_md5 if packed else self.unpacked_md5[name])
        return gzip.decompress(content) if packed else content

    def _missing(self, name: str, reason: str) -> SettingError:
        return SettingError(
            f"{name}.gz is not in {self.folder} and {reason}: set --data.root, or without it LIT_AE_DATA, to a folder "
            f"that holds {self.folder.relative_to(self.root) / name}.gz, or try again with network access and a "
            "folder that can be written to"
        )


def idx_array(content: bytes) -> Tensor:
    """The array [N, ...] uint8 of an idx file, whose header gives type, number of dimensions and sizes."""
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(values.reshape(shape).copy())
