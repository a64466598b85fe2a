"""Scores of images, reconstructions and codes as plain functions on arrays.

Arrays are NumPy arrays or tensors. Images are [N, C, H, W], bytes (uint8) or floats in [0, 1]. Scores of generated
images are computed from features: of an extractor (see `features`), or given as [N, F] themselves. A function returns a
float, or a dict of floats by the names that runs log. Values that are not finite and shapes that do not fit raise
ValueError.

>>> import lit_ae, torch
>>> real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
>>> round(lit_ae.scores.fid(real, real + 3), 3)
36.0
"""

from lit_ae.scores.codes import clustering, disentanglement, intrinsic_dimension, probe, total_correlation
from lit_ae.scores.detection import detection
from lit_ae.scores.extractors import features, lenet
from lit_ae.scores.generated import (
    fid,
    fid_infinity,
    inception_score,
    kid,
    precision_recall,
    train_distance_ratio,
)
from lit_ae.scores.reconstructions import psnr, ssim

__all__ = [
    "clustering",
    "detection",
    "disentanglement",
    "features",
    "fid",
    "fid_infinity",
    "inception_score",
    "intrinsic_dimension",
    "kid",
    "lenet",
    "precision_recall",
    "probe",
    "psnr",
    "ssim",
    "total_correlation",
    "train_distance_ratio",
]
