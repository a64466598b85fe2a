"""Features of a whole split's images, computed once for each network."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import SplitName
from lit_ae.evaluation.access import datamodule, on_device
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.metrics.images.extractors import FeatureExtractor, extract
from lit_ae.metrics.images.feature_cache import FeatureCache
from lit_ae.models.chunks import CHUNK


def split_features(trainer: Trainer, extractor: FeatureExtractor, split: SplitName) -> Tensor:
    """Features [N, F] of a whole split in its order, on every rank; rank 0 caches them on disk."""
    data = datamodule(trainer)
    cache = FeatureCache(extractor, data, split)
    kept: Tensor | None = trainer.strategy.broadcast(cache.read() if trainer.is_global_zero else None)
    if kept is not None:
        return kept
    samples = data.split(split).x
    shares = torch.arange(len(samples))[trainer.global_rank :: trainer.world_size].split(10 * CHUNK)
    shown = f"features of the {split} split"
    found = [
        extract(extractor, on_device(samples[share], trainer.lightning_module), progress=shown).features
        for share in shares
    ]
    features = gather_in_order(torch.cat(found).cpu(), trainer)
    if trainer.is_global_zero:
        cache.write(features)
    return features
