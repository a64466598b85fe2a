"""Your own arrays, tables or folders of images."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lit_ae.data import image_files, numpy_files, tables
from lit_ae.data.base import BaseDataModule
from lit_ae.data.checks import refuse_bits
from lit_ae.data.containers import COLLAPSED, SPLITS, ArrayDataset, Splits, collapsed, no_labels, refuse_not_finite
from lit_ae.data.labels import Labels, as_labels
from lit_ae.data.numpy_files import Layout
from lit_ae.data.rows import Raw, Rows, mapping, parts_of
from lit_ae.data.subsets import binarised, seeded_split, share_sizes
from lit_ae.errors import SettingError, require_at_least
from lit_ae.settings.memory import require_memory
from lit_ae.settings.seeds import stream_seed

ROUNDING = 1e-6  # what rounding may add to pixels in [0, 1]
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


class Array(BaseDataModule):
    """Your own data: a .npy file, a .npz file with `x` and optionally labels `y`, a table, or a folder of images.

    Images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, stored as bytes or as floats in [0, 1]; vectors
    are [N, D], of any finite numbers. A table is .csv, .tsv or .parquet: a row for each sample. In a folder of images
    the names of subfolders are the classes; without subfolders the images are unlabelled. Labels of -1, NaN, and empty
    or masked ones mean unlabelled.

    Args:
        path: the file or folder.
        size: height and width that a folder's images are resized to; null: all images must have the same size.
        grey: whether a folder's images are converted to grey.
        background: grey value from 0 (black) to 255 that shows through transparent pixels of a folder's images.
        layout: which axis of a 4-dimensional array holds the channels; `auto`: the one of size 1 or 3, if only one is.
        labels: the column of a table, or the array of a .npz file, that holds the labels; null: `y`, for a table also
            `label`, `labels`, `class` or `target`, in upper or lower case, if there is one.
        val_share: share of all samples that becomes the val split.
        test_share: share of all samples that becomes the test split.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: the file is missing, or holds something else.
    """

    name = "array"

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = None,
        grey: bool = False,
        background: int = 0,
        layout: Layout = "auto",
        labels: str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = Path(path).expanduser()
        if size is not None and min(size) < 1:
            raise SettingError(f"--data.size is {list(size)}: height and width must be at least 1")
        require_at_least(0, "--data.{}", background=background)
        if background > 255:
            raise SettingError(f"--data.background is {background}: it must be at most 255")
        self.size, self.grey, self.background = size, grey, background
        self.layout, self.labels = layout, labels
        self.val_share, self.test_share = val_share, test_share
        self._all = self._read()
        self.input_shape = tuple(self._all.x.shape[1:])

    def load(self) -> Splits:
        """All samples, split at random."""
        if self.all_samples:
            return Splits(*[self._all] * 3)
        sizes = share_sizes(len(self._all), self.val_share, self.test_share)
        val, test, train = seeded_split(self._all, sizes, self.split_seed)
        return Splits(train, val, test)

    def everything(self) -> ArrayDataset:
        """All samples in the order of the file, or of the folder's sorted paths; a single one is enough."""
        generator = torch.Generator().manual_seed(stream_seed(self.split_seed, len(SPLITS)))
        return binarised(self._all, generator) if self.binarise else self._all

    def _read(self) -> ArrayDataset:
        if self.path.is_dir():
            self._refuse_ignored("folder")
            return self._from_folder()
        if not self.path.is_file():
            raise SettingError(
                f"--data.path {self.path} does not exist: give a .npy, .npz, .csv, .tsv or .parquet file or a folder "
                "of images"
            )
        kind = self.path.suffix.lower()
        self._refuse_ignored(kind.removeprefix("."))
        if kind in tables.ENDINGS:
            table = tables.read_table(self.path, self.labels)
            self.feature_names = table.names
            return self._dataset(table.x, self._labels(table.labels, len(table.x)))
        x, y = numpy_files.read_arrays(self.path, self.labels, self.layout)
        return self._dataset(x, self._labels(y, len(x)))

    def _labels(self, values: Any, n: int) -> Labels | None:
        return None if values is None else as_labels(values, n, self._where)

    def _refuse_ignored(self, kind: str) -> None:
        """Refuse settings that the kind of file (its ending, or `folder`) makes no use of."""
        images, table = kind == "folder", kind in ("csv", "tsv", "parquet")
        ignored = {
            "size": self.size is not None and not images,
            "grey": self.grey and not images,
            "background": self.background and not images,
            "layout": self.layout != "auto" and (images or table),
            "labels": self.labels is not None and not table and kind != "npz",
        }
        if name := next((name for name, wrong in ignored.items() if wrong), None):
            what = "a folder" if images else f"a .{kind} file"
            raise SettingError(f"--data.{name} has no meaning for {what} such as --data.path {self.path}: leave it out")

    def _from_folder(self) -> ArrayDataset:
        files = image_files.image_files(self.path)
        if self.size is not None:  # each image by itself, and all of them together
            needed = 2 * len(files) * self.size[0] * self.size[1] * (1 if self.grey else 3)
            require_memory(needed, f"{len(files):,} images of --data.size {list(self.size)}", "set it smaller")
        images: list[image_files.Pixels] = []
        for file in files:
            image = image_files.read_image(file, self.grey, self.background, self.size)
            if images and image.shape != images[0].shape:
                height, width, first = *image.shape[:2], images[0].shape
                raise SettingError(
                    f"{file} is {height} x {width} pixels and {files[0]} {first[0]} x {first[1]}: set --data.size to "
                    "[height, width], to which all images are then resized"
                )
            images.append(image)
        folders = [file.relative_to(self.path).parts[0] if file.parent != self.path else "" for file in files]
        if any(folders) and not all(folders):
            stray = files[folders.index("")]
            raise SettingError(f"{stray} lies beside subfolders, whose names are the labels: move it into one of them")
        splits = sorted(folder for folder in set(folders) if folder.lower() in SPLIT_NAMES)
        if len(splits) >= min(2, len(set(folders))):
            raise SettingError(
                f"{self._where} has the subfolders {', '.join(splits)}, which are no classes: give one of them, or one "
                "folder for each class"
            )
        if len(set(folders)) == 1 and (deeper := sorted({file.parent for file in files} - {self.path / folders[0]})):
            raise SettingError(
                f"{self._where} has the subfolder {folders[0]} alone, and so one class, but images in subfolders of it "
                f"such as {deeper[0].name}: if these are the classes, give {self.path / folders[0]}"
            )
        brightest = max((int(image.max()) for image in images if image.dtype == np.uint8), default=0)
        refuse_bits(brightest, f"{self._where} holds images of")
        x = image_files.stacked(images)
        labels = as_labels(folders, len(files), self._where, all_named=True) if any(folders) else None
        return self._dataset(x[:, None] if self.grey else x.transpose(0, 3, 1, 2), labels)

    @property
    def _where(self) -> str:
        return f"--data.path {self.path}"

    def _dataset(self, x: Raw, labels: Labels | None) -> ArrayDataset:
        """Vectors [N, D] or images [N, C, H, W] with their labels [N], if there are any."""
        refuse_unfit(x, self._where)
        values = x if mapping(x) else as_stored(x)
        y = no_labels(len(x))
        if labels is not None:
            y, names = labels
            self.num_classes = len(names)
            self.class_names = () if names == tuple(map(str, range(len(names)))) else names
        else:
            self.num_classes = 0
        large = mapping(x) is not None or values.nbytes > numpy_files.IN_MEMORY
        return ArrayDataset(Rows(values, as_stored) if large else torch.from_numpy(values), y)


def refuse_unfit(x: Raw, where: str) -> None:
    """Refuse samples that are neither vectors [N, D] of numbers nor images [N, C, H, W] of bytes or in [0, 1].

    Raises:
        SettingError: values of another type, NaN, infinity, or pixels outside [0, 1].
    """
    image = x.ndim == 4
    if x.dtype in (np.bool_, np.uint8):
        return
    if not (np.issubdtype(x.dtype, np.floating) or (np.issubdtype(x.dtype, np.integer) and not image)):
        raise SettingError(
            f"{where} holds values of type {x.dtype}: give "
            + ("bytes (uint8), or floats scaled to [0, 1]" if image else "whole numbers or floats")
        )
    refuse_not_finite(x, where)
    if not image:
        if (place := collapsed(x)) is not None:
            raise SettingError(f"{where}: feature {place} {COLLAPSED}")
        return
    lows, highs = zip(*((part.min(), part.max()) for part in parts_of(x)), strict=True)
    low, high = np.float32(min(lows)), np.float32(max(highs))
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise SettingError(f"{where} holds pixels from {low:g} to {high:g}: scale them to [0, 1], or give bytes")


def as_stored(x: Raw) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Samples as bytes, which mean 0 to 1, or as float32: images [N, C, H, W] in [0, 1], vectors [N, D] of any numbers.

    Truth values become bytes of 0 and 255.
    """
    if x.dtype == np.bool_:
        return x.astype(np.uint8) * np.uint8(255)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x).astype(np.uint8, copy=False)
    values = np.ascontiguousarray(x).astype(np.float32, copy=False)
    return values.clip(0, 1) if x.ndim == 4 else values
