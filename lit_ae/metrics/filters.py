"""Denoising without learning: a Gaussian or a median filter whose width is chosen on images with known noise."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lit_ae.metrics.psnr import psnr

Filter: TypeAlias = tuple[Literal["none", "Gaussian", "median"], float]
FILTERS: tuple[Filter, ...] = (
    ("none", 0.0),
    *(("Gaussian", width) for width in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)),  # standard deviation in pixels
    *(("median", width) for width in (2.0, 3.0, 4.0, 5.0, 7.0)),  # side in pixels
)


def filtered(images: Tensor, kind: Filter) -> Tensor:
    """Images [N, C, H, W], each channel of each filtered by itself, the edges mirrored; `scipy.ndimage`."""
    from scipy.ndimage import gaussian_filter, median_filter

    name, width = kind
    x = images.detach().cpu().float().numpy()
    if name == "Gaussian":
        return torch.from_numpy(gaussian_filter(x, (0, 0, width, width)))
    if name == "median":
        return torch.from_numpy(median_filter(x, (1, 1, int(width), int(width))))
    return torch.from_numpy(x)


def best_filter(noisy: Tensor, clean: Tensor) -> Filter:
    """Of `FILTERS`, none among them, that with the highest mean PSNR of noisy against clean, [N, C, H, W] both.

    Raises:
        ValueError: no images, or of other shapes.
    """
    if noisy.shape != clean.shape or noisy.ndim != 4 or not len(noisy):
        raise ValueError(f"images must be [N, C, H, W], alike: {list(noisy.shape)} and {list(clean.shape)}")
    return max(FILTERS, key=lambda kind: psnr(filtered(noisy, kind), clean.cpu()).mean().item())
