"""Data sets in torchvision's MNIST layout, with its addresses and checksums.

They are fetched and read here, since torchvision's class needs a writable folder to unpack into, never checks
the unpacked files, and waits without a time limit for a network that does not answer.
"""

import gzip
import hashlib
import shutil
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import numpy as np
import torch
from torch import Tensor

from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits, seeded_split
from lit_ae.data.folders import data_root
from lit_ae.errors import SettingError

NETWORK_TIMEOUT = 10.0  # seconds without an answer


class TorchvisionImages(BaseDataModule):
    """60,000 + 10,000 grey images, 28 x 28, of ten classes: train 55,000, val 5,000, test 10,000.

    The files, packed (.gz) or unpacked, are looked for in `root`/NAME/raw and downloaded there when missing.
    They are checked and read as they lie: no network and no writable folder is needed where they are present.

    Args:
        root: the folder that holds NAME/raw; by default the environment's LIT_AE_DATA, else a per-user cache.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: a file is missing and cannot be downloaded, or has a wrong checksum.
    """

    input_shape = (1, 28, 28)
    num_classes = 10
    torchvision_name: ClassVar[str]  # torchvision's class, and the name of its folder
    unpacked_md5: ClassVar[dict[str, str]]  # torchvision states those of the packed files only

    def __init__(
        self,
        root: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = data_root(root)

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.root / self.torchvision_name / "raw"

    def prepare_data(self) -> None:
        """Downloads the files that are missing, with a progress bar; several processes take turns."""
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
                        _download(urls, self.folder / f"{name}.gz", md5)
        except OSError as error:
            raise self._missing(missing[0], f"it could not be downloaded ({error})") from error

    def load(self) -> Splits:
        """Reads the four files; a random twelfth of the train file becomes the val split."""
        train_x, train_y, test_x, test_y = (idx_array(self._content(name, md5)) for name, md5, _ in self._files())
        images = ArrayDataset(train_x.unsqueeze(1), train_y.long())  # [60000, 1, 28, 28], [60000]
        val, train = seeded_split(images, (len(images) // 12,), self.split_seed)
        return Splits(train, val, ArrayDataset(test_x.unsqueeze(1), test_y.long()))

    def _files(self) -> Iterator[tuple[str, str, list[str]]]:
        """Name without .gz, md5 of the .gz, addresses; train images and labels, then test's."""
        import torchvision.datasets

        source = getattr(torchvision.datasets, self.torchvision_name)
        for file, md5 in source.resources:
            yield file.removesuffix(".gz"), md5, [f"{mirror}{file}" for mirror in source.mirrors]

    def _path(self, name: str) -> Path | None:
        candidates = (self.folder / name, self.folder / f"{name}.gz")
        return next((path for path in candidates if path.is_file()), None)

    def _content(self, name: str, packed_md5: str) -> bytes:
        """The unpacked content of a file, once its checksum has been found right."""
        path = self._path(name)
        if path is None:
            raise self._missing(name, "it has not been downloaded")
        packed = path.suffix == ".gz"
        content = checked(path, packed_md5 if packed else self.unpacked_md5[name])
        return gzip.decompress(content) if packed else content

    def _missing(self, name: str, reason: str) -> SettingError:
        return SettingError(
            f"{name}.gz is not in {self.folder} and {reason}: set --data.root or LIT_AE_DATA to a folder "
            f"that holds {self.folder.relative_to(self.root) / name}.gz, or try again with network access and a "
            "folder that can be written to"
        )


def idx_array(content: bytes) -> Tensor:
    """An idx file's array (header: type, number of dimensions, sizes), [N, ...] uint8."""
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(values.reshape(shape).copy())


def checked(path: Path, md5: str) -> bytes:
    """The content of a file with this checksum.

    Raises:
        SettingError: it has another one.
    """
    content = path.read_bytes()
    found = _md5(content)
    if found != md5:
        raise SettingError(
            f"{path} has a wrong checksum (md5 {found} instead of {md5}): delete it to have it "
            "downloaded again, or set --data.root or LIT_AE_DATA to a folder with a whole copy"
        )
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _download(urls: list[str], path: Path, md5: str) -> None:
    """Fetches `path` from the first address that has it, whole or not at all.

    Raises:
        OSError: no address gave it; the reason is the last one's.
    """
    from rich.console import Console
    from rich.progress import wrap_file

    part = path.with_name(f"{path.name}.part")
    failure: Exception = OSError("it has no address")
    for url in urls:
        try:
            with urlopen(Request(url, headers={"User-Agent": "lit_ae"}), timeout=NETWORK_TIMEOUT) as response:
                size = int(response.headers.get("Content-Length") or 0)
                bar = wrap_file(response, size, description=path.name, console=Console(stderr=True))
                with bar as stream, part.open("wb") as out:
                    shutil.copyfileobj(stream, out)
            if _md5(part.read_bytes()) == md5:
                part.replace(path)
                return
            failure = OSError(f"{url} gave a file with a wrong checksum")
        except (OSError, HTTPException) as error:
            failure = error
        finally:
            part.unlink(missing_ok=True)
    raise OSError(str(failure)) from failure
