"""Features of a split's images on disk, so that they are computed once for each network."""

import hashlib
import io
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import SplitName
from lit_ae.data.download import cache_root
from lit_ae.errors import SettingError
from lit_ae.metrics.images.extractors import UNREADABLE, FeatureExtractor
from lit_ae.settings.whole_files import write_whole


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
        """Features [N, F] in the split's order; None if there is no file, or a damaged one, of which a line tells."""
        with suppress(*UNREADABLE):
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            if isinstance(found, Tensor) and found.shape == self._shape:
                return found
        if self.path.is_file():
            print(f"{self.path} is damaged: its features are computed again", file=sys.stderr)
        return None

    def write(self, features: Tensor) -> None:
        """Store features [N, F]."""
        buffer = io.BytesIO()
        torch.save(features, buffer)
        try:
            write_whole(self.path, buffer.getvalue(), "set LIT_AE_CACHE to another folder")
        except (OSError, SettingError) as error:
            print(f"features are not kept for later runs: {error}", file=sys.stderr)
