"""Patches of the two photographs that are part of scikit-learn: natural images that need no download."""

from functools import cache

import numpy as np
import torch

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.subsets import seeded_split

SIDE = 28


class PhotoPatches(BaseDataModule):
    """660 grey patches of 28 x 28 pixels: train 462, val 66, test 132.

    Both photographs of scikit-learn, a temple and a flower of 427 x 640 pixels, are cut from the top left into 15 x 22
    patches that do not overlap. The label is the photograph. Neighbouring patches may fall into different splits.
    """

    name = "photo_patches"
    input_shape = (1, SIDE, SIDE)
    class_names = ("temple", "flower")
    num_classes = 2

    def load(self) -> Splits:
        """All patches, split at random."""
        val, test, train = seeded_split(_patches(), (66, 132), self.split_seed)
        return Splits(train, val, test)


@cache
def _patches() -> ArrayDataset:
    """All of them by photograph, row and column, read once for all runs of a process."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    cut = []
    for photo in load_sample_images().images:
        grey = np.asarray(Image.fromarray(photo).convert("L"))  # [427, 640]
        rows, columns = (length // SIDE for length in grey.shape)
        whole = grey[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
        cut.append(torch.from_numpy(whole.swapaxes(1, 2).reshape(-1, 1, SIDE, SIDE).copy()))
    labels = torch.arange(len(cut)).repeat_interleave(len(cut[0]))
    return ArrayDataset(torch.cat(cut), labels)
