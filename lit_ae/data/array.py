"""Any array or folder of images."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits, seeded_split
from lit_ae.errors import SettingError

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class Array(BaseDataModule):
    """The user's own data: a .npy, a .npz with `x` and perhaps `y`, or a folder of images.

    Images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, of bytes or of floats in [0, 1]; vectors are
    [N, D]. In a folder, the names of subfolders are the labels, in alphabetical order; without subfolders there
    are none.

    Args:
        path: the file or folder.
        size: height and width that a folder's images are resized to; all must be of one size where null.
        grey: whether a folder's images are read as grey.
        val_share, test_share: of all samples.
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
        val_share: float = 0.1,
        test_share: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = Path(path).expanduser()
        if size is not None and min(size) < 1:
            raise SettingError(f"--data.size is {list(size)}: height and width must be at least 1")
        self.size, self.grey = size, grey
        self.val_share, self.test_share = val_share, test_share
        self._all = self._read()
        self.input_shape = tuple(self._all.x.shape[1:])
        self.num_classes = int(self._all.y.max()) + 1
        self._sizes = share_sizes(len(self._all), val_share, test_share)

    def load(self) -> Splits:
        """All samples, split at random."""
        val, test, train = seeded_split(self._all, self._sizes, self.split_seed)
        return Splits(train, val, test)

    def _read(self) -> ArrayDataset:
        if self.path.is_dir():
            return self._from_folder()
        if not self.path.is_file():
            raise SettingError(
                f"--data.path {self.path} does not exist: give a .npy or .npz file or a folder of images"
            )
        try:
            content = np.load(self.path, allow_pickle=False)
            named = {"x": content} if isinstance(content, np.ndarray) else dict(content)
        except (ValueError, OSError, EOFError) as error:
            raise SettingError(
                f"--data.path {self.path} cannot be read as .npy or .npz ({type(error).__name__}): write it with "
                "numpy.save or numpy.savez, without objects"
            ) from error
        if "x" not in named:
            raise SettingError(f"--data.path {self.path} has no array `x` but {sorted(named)}: name the samples `x`")
        return self._dataset(named["x"], named.get("y"))

    def _from_folder(self) -> ArrayDataset:
        from PIL import Image

        files = sorted(p for p in self.path.rglob("*") if p.suffix.lower() in IMAGES and p.is_file())
        if not files:
            raise SettingError(f"--data.path {self.path} holds no images ({', '.join(sorted(IMAGES))}): give another")
        first: tuple[int, int] | None = None
        images = []
        for file in files:
            try:
                with Image.open(file) as opened:
                    image = opened.convert("L" if self.grey else "RGB")
            except OSError as error:
                raise SettingError(f"{file} cannot be read as an image ({error}): repair or remove it") from error
            if self.size is not None:
                image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
            first = first or image.size
            if image.size != first:
                width, height = image.size
                raise SettingError(
                    f"{file} is {height} x {width} pixels and {files[0]} {first[1]} x {first[0]}: set --data.size to "
                    "[height, width] to have all resized"
                )
            images.append(np.asarray(image))
        folders = [file.relative_to(self.path).parts[0] if file.parent != self.path else "" for file in files]
        labels = np.unique(folders, return_inverse=True)[1] if any(folders) else None
        if labels is not None and not all(folders):
            stray = files[folders.index("")]
            raise SettingError(f"{stray} lies beside subfolders, whose names are the labels: move it into one of them")
        return self._dataset(np.stack(images), labels)

    def _dataset(self, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic] | None) -> ArrayDataset:
        where = f"--data.path {self.path}"
        if x.ndim == 3:
            x = x[:, None]
        elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
            x = x.transpose(0, 3, 1, 2)
        if x.ndim not in (2, 4) or 0 in x.shape:
            raise SettingError(
                f"{where} has shape {list(x.shape)}: give images [N, H, W], [N, H, W, C] or [N, C, H, W], or vectors "
                "[N, D]"
            )
        if x.dtype == np.bool_:
            x = x.astype(np.uint8) * np.uint8(255)
        if x.dtype != np.uint8:
            if not np.issubdtype(x.dtype, np.floating) or not np.isfinite(x).all():
                raise SettingError(
                    f"{where} holds {x.dtype}, or values that are not finite: give bytes or finite floats"
                )
            x = x.astype(np.float32)
            if x.ndim == 4 and (x.min() < 0 or x.max() > 1):
                raise SettingError(
                    f"{where} holds pixels from {x.min():g} to {x.max():g}: scale them to [0, 1], or give bytes"
                )
        labels = torch.full((len(x),), -1)
        if y is not None:
            if y.shape != (len(x),):
                raise SettingError(f"{where} has {len(x)} samples but `y` of shape {list(y.shape)}: give a label each")
            labels = torch.from_numpy(np.unique(y, return_inverse=True)[1]).long()
        return ArrayDataset(torch.from_numpy(np.ascontiguousarray(x)), labels)


def share_sizes(n: int, val_share: float, test_share: float) -> tuple[int, int]:
    """Numbers of val and test samples.

    Raises:
        SettingError: a split would be empty.
    """
    val, test = (round(n * share) for share in (val_share, test_share))
    if min(val, test, n - val - test) < 1:
        raise SettingError(
            f"--data.val_share {val_share} and --data.test_share {test_share} of {n} samples leave a split empty: "
            "give more samples or other shares"
        )
    return val, test
