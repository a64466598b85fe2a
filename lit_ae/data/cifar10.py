"""CIFAR-10."""

import pickle
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.download import checked
from lit_ae.data.subsets import seeded_split
from lit_ae.data.torchvision_images import TorchvisionImages

ARCHIVE = "cifar-10-python.tar"


class CIFAR10(TorchvisionImages):
    """Colour photographs of ten classes, 32 x 32 (Krizhevsky 2009): train 45,000, val 5,000, test 10,000.

    The archive, or the folder that it unpacks to, is looked for in `root` itself, where torchvision puts it.
    """

    name = "cifar10"
    input_shape = (3, 32, 32)
    class_names = (
        "aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry",
    )  # fmt: skip
    torchvision_name = "CIFAR10"

    @property
    def folder(self) -> Path:
        """The folder that holds the archive."""
        return self.root

    def load(self) -> Splits:
        """Read the five training batches, of which a random tenth becomes the val split, and the test batch."""
        import torchvision.datasets

        source = torchvision.datasets.CIFAR10
        names = [name for name, _ in source.train_list], [name for name, _ in source.test_list]
        path = self._path(ARCHIVE)
        if path is not None and path.is_dir():
            batches = {name: checked(path / name, md5) for name, md5 in source.train_list + source.test_list}
        else:
            with tarfile.open(fileobj=BytesIO(self._content(ARCHIVE, source.tgz_md5))) as archive:
                batches = {
                    name: file.read()
                    for part in names
                    for name in part
                    if (file := archive.extractfile(f"{source.base_folder}/{name}"))
                }
        train, test = (_joined([batches[name] for name in part]) for part in names)
        val, train = seeded_split(train, (len(train) // 10,), self.split_seed)
        return Splits(train, val, test)

    def _files(self) -> Iterator[tuple[str, str, list[str]]]:
        import torchvision.datasets

        source = torchvision.datasets.CIFAR10
        yield ARCHIVE, source.tgz_md5, [source.url]

    def _path(self, name: str) -> Path | None:
        import torchvision.datasets

        source = torchvision.datasets.CIFAR10
        unpacked = self.root / source.base_folder
        whole = all((unpacked / file).is_file() for file, _ in source.train_list + source.test_list)
        packed = self.root / f"{ARCHIVE}.gz"
        return unpacked if whole else packed if packed.is_file() else None


def _joined(batches: list[bytes]) -> ArrayDataset:
    """The images of pickles whose checksums are correct; each row holds 1,024 red values, then green, then blue."""
    parts = [pickle.loads(batch, encoding="latin1") for batch in batches]
    x = torch.from_numpy(np.concatenate([part["data"] for part in parts])).view(-1, 3, 32, 32)
    return ArrayDataset(x, torch.tensor([label for part in parts for label in part["labels"]]))
