"""Denoising without training: a Gaussian or a median filter, chosen on images whose noise is known."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lit_ae.metrics.reconstruction.psnr import psnr

Filter: TypeAlias = tuple[Literal["none", "Gaussian", "median"], float]
FILTERS: tuple[Filter, ...] = (
    ("none", 0.0),
    *(("Gaussian", width) for width in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)),  # standard deviation in pixels
    *(("median", width) for width in (2.0, 3.0, 4.0, 5.0, 7.0)),  # side in pixels
)


def filtered(images: Tensor, kind: Filter) -> Tensor:
    """Images [N, C, H, W], each channel filtered on its own with mirrored edges, by `scipy.ndimage`."""
    from scipy.ndimage import gaussian_filter, median_filter

    name, width = kind
    x = images.detach().cpu().float().numpy()
    if name == "Gaussian":
        return torch.from_numpy(gaussian_filter(x, (0, 0, width, width)))
    if name == "median":
        return torch.from_numpy(median_filter(x, (1, 1, int(width), int(width))))
    return torch.from_numpy(x)


def best_filter(noisy: Tensor, clean: Tensor) -> Filter:
    """The one of `FILTERS`, which include none, with the highest mean PSNR of the filtered noisy images.

    Args:
        noisy: images [N, C, H, W].
        clean: the same images without noise.

    Raises:
        ValueError: no images, or shapes that differ.
    """
    if noisy.shape != clean.shape or noisy.ndim != 4 or not len(noisy):
        raise ValueError(
            f"both images must have one shape [N, C, H, W], not {list(noisy.shape)} and {list(clean.shape)}"
        )
    return max(FILTERS, key=lambda kind: psnr(filtered(noisy, kind), clean.cpu()).mean().item())
