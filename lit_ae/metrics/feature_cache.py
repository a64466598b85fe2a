"""Features of a split's images on disk, so that they are made once for each network."""

import hashlib
import os
import pickle
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule, SplitName
from lit_ae.metrics.extractors import FeatureExtractor
from lit_ae.metrics.lenet import cache_folder


class FeatureCache:
    """Where one extractor's features of one split are kept: by the content of both.

    The folder is LIT_AE_CACHE, else the per-user cache. One that cannot be written to costs time alone.
    """

    def __init__(self, extractor: FeatureExtractor, data: BaseDataModule, split: SplitName) -> None:
        content = hashlib.sha256(f"{sorted(extractor.description().items())} {data.digest()} {split}".encode())
        self._shape = (len(data.split(split)), extractor.num_features)
        name = f"{extractor.name}-{data.name}-{split}-{content.hexdigest()[:16]}.pt"
        self.path: Path = cache_folder().parent / "features" / name

    def read(self) -> Tensor | None:
        """Features [N, F] in the split's order, None where there are none or a broken file."""
        with suppress(OSError, EOFError, pickle.UnpicklingError, RuntimeError, ValueError):
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            if isinstance(found, Tensor) and found.shape == self._shape:
                return found
        return None

    def write(self, features: Tensor) -> None:
        """Keep features [N, F]."""
        part = self.path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            part.parent.mkdir(parents=True, exist_ok=True)
            torch.save(features, part)
            part.replace(self.path)
