"""Frey faces."""

from pathlib import Path
from typing import Any, Literal

import torch

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits, no_labels
from lit_ae.data.download import data_root
from lit_ae.errors import SettingError, require_at_least

FILE = "frey_rawface.mat"


class FreyFaces(BaseDataModule):
    """1,965 consecutive frames of a video of one face (Roweis, Saul and Hinton 2002), 28 x 20, unlabelled.

    Neighbouring frames are almost identical: if one is in the train split and the other in the test split, the test
    error measures memorisation. Whole blocks of consecutive frames therefore go to one split, so that only the frames
    at the ends of a block have neighbours in another. Shares: train 80 %, val 10 %, test 10 %. Within a split the
    frames are in random order, so that the first few are not a film sequence.

    Args:
        root: the folder that holds the file or a folder `frey` with it; null: LIT_AE_DATA, else a per-user cache.
        split_by: `blocks`, or `frames` for the naive random split.
        block: number of frames in a block.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: the file is missing or is a different one, or the blocks are too large for three splits.
    """

    name = "frey_faces"
    input_shape = (1, 28, 20)
    num_classes = 0

    def __init__(
        self,
        root: str | Path | None = None,
        split_by: Literal["blocks", "frames"] = "blocks",
        block: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, "--data.{}", block=block)
        self.root, self.split_by, self.block = data_root(root), split_by, block

    def load(self) -> Splits:
        """Read all frames; a tenth of the blocks becomes the val split and another tenth the test split."""
        frames = self._frames()
        blocks = torch.arange(len(frames)).split(self.block if self.split_by == "blocks" else 1)
        tenth = round(len(blocks) / 10)
        if not tenth:
            raise SettingError(
                f"--data.block is {self.block}, but {len(frames)} frames must make at least 5 blocks: set it lower"
            )
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(len(blocks), generator=generator)
        rows = [torch.cat([blocks[i] for i in part]) for part in order.tensor_split([tenth, 2 * tenth])]
        val, test, train = (frames.subset(own[torch.randperm(len(own), generator=generator)]) for own in rows)
        return Splits(train, val, test)

    def _frames(self) -> ArrayDataset:
        """All frames in the order of the video."""
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        places = [self.root / "frey" / FILE, self.root / FILE]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise SettingError(
                f"{FILE} is not in {places[0].parent} nor in {self.root}: put it there (it is not downloaded), or set "
                "--data.root, or without it LIT_AE_DATA, to a folder that holds it"
            )
        try:
            pixels = torch.from_numpy(loadmat(path)["ff"].T.copy())  # [N, 560], a picture row by row
            x = pixels.reshape(-1, *self.input_shape)
        except (MatReadError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise SettingError(
                f"{path} holds no matrix `ff` with 560 rows ({type(error).__name__}): put the original {FILE} there"
            ) from error
        if x.dtype != torch.uint8:
            raise SettingError(
                f"{path} holds values of type {x.dtype} instead of bytes in `ff`: put the original {FILE} there"
            )
        return ArrayDataset(x, no_labels(len(x)))
