"""Features of a split's images on disk, so that they are computed once for each network."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import SplitName
from lit_ae.data.download import cache_root
from lit_ae.metrics.images.extractors import UNREADABLE, FeatureExtractor


class FeatureCache:
    """The cached features of one split by one extractor; the file's name depends on the content of both.

    It lies in `cache_root`. If that folder cannot be written to, the features are computed again each time.
    """

    def __init__(self, extractor: FeatureExtractor, data: BaseDataModule, split: SplitName) -> None:
        content = hashlib.sha256(f"{sorted(extractor.description().items())} {data.digest()} {split}".encode())
        self._shape = (len(data.split(split)), extractor.num_features)
        name = f"{extractor.name}-{data.name}-{split}-{content.hexdigest()[:16]}.pt"
        self.path: Path = cache_root() / "features" / name

    def read(self) -> Tensor | None:
        """Features [N, F] in the split's order; None if there is no file or a damaged one."""
        with suppress(*UNREADABLE):
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            if isinstance(found, Tensor) and found.shape == self._shape:
                return found
        return None

    def write(self, features: Tensor) -> None:
        """Store features [N, F]."""
        part = self.path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            part.parent.mkdir(parents=True, exist_ok=True)
            torch.save(features, part)
            part.replace(self.path)
