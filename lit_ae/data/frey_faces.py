"""Frey faces."""

from pathlib import Path
from typing import Any, Literal

import torch

from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits
from lit_ae.data.folders import data_root
from lit_ae.errors import SettingError

FILE = "frey_rawface.mat"


class FreyFaces(BaseDataModule):
    """1,965 consecutive frames of a video of one face (Roweis, Saul and Hinton 2002), 28 x 20, unlabelled.

    Neighbouring frames are near-duplicates: with some of them on either side of a split, the test error is that of
    memory. So whole blocks of consecutive frames go to one side, and only frames at a block's ends have neighbours
    on another. Shares: 80 / 10 / 10 %. Within a split they are in random order: the first few are no film.

    Args:
        root: the folder that holds the file, or `frey` with the file; by default LIT_AE_DATA, else a per-user cache.
        split_by: `blocks`, or `frames`, the naive random split.
        block: frames in a block.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: the file is missing or is another one, or the blocks are too large for three splits.
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
        if block < 1:
            raise SettingError(f"--data.block is {block}: it must be at least 1")
        self.root, self.split_by, self.block = data_root(root), split_by, block

    def load(self) -> Splits:
        """Reads all frames; a tenth of the blocks each becomes the val and the test split."""
        frames = self._frames()
        blocks = torch.arange(len(frames)).split(self.block if self.split_by == "blocks" else 1)
        tenth = round(len(blocks) / 10)
        if not tenth:
            raise SettingError(
                f"--data.block is {self.block}: {len(frames)} frames need at least 5 blocks, so set it lower"
            )
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(len(blocks), generator=generator)
        rows = [torch.cat([blocks[i] for i in part]) for part in order.tensor_split([tenth, 2 * tenth])]
        val, test, train = (frames.subset(own[torch.randperm(len(own), generator=generator)]) for own in rows)
        return Splits(train, val, test)

    def _frames(self) -> ArrayDataset:
        """All frames in the video's order."""
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        places = [self.root / "frey" / FILE, self.root / FILE]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise SettingError(
                f"{FILE} is not in {places[0].parent} nor in {self.root}: put it there (it is not downloaded), or set "
                "--data.root or LIT_AE_DATA to a folder that holds it"
            )
        try:
            pixels = torch.from_numpy(loadmat(path)["ff"].T.copy())  # [N, 560], rows of the picture one after another
            x = pixels.reshape(-1, *self.input_shape)
        except (MatReadError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise SettingError(
                f"{path} holds no matrix `ff` with 560 rows ({type(error).__name__}): put the original {FILE} there"
            ) from error
        if x.dtype != torch.uint8:
            raise SettingError(f"{path} holds {x.dtype} and not bytes in `ff`: put the original {FILE} there")
        return ArrayDataset(x, torch.full((len(x),), -1))
