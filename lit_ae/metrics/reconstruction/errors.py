"""Errors of a reconstruction."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lit_ae.metrics.kept_rows import KeptRows
from lit_ae.metrics.reconstruction.psnr import psnr

EPSILON = 1e-6  # probabilities are clipped to [ε, 1 - ε]: a pixel costs at most 20 bits
PART = 100  # samples at a time, few enough for intermediate results to stay in the processor's cache
COLUMNS = ("mae", "mse", "psnr", "bits", "ssim")  # of `ReconstructionErrors.rows`
SMALLEST = 6  # height and width that SSIM's window, mirrored at the edges, needs at least


def bernoulli_bits(x_hat: Tensor, x: Tensor) -> Tensor:
    """-Σ x log2 p + (1 - x) log2(1 - p) over the values of each sample, [B] in bits, of x [B, *shape] in [0, 1].

    p is x_hat [B, *shape], clipped to [1e-6, 1 - 1e-6]. For binary x it is a code length; for grey x it is a
    cross-entropy, which is above 0 even for a perfect reconstruction.
    """
    p = x_hat.double().clamp(EPSILON, 1 - EPSILON)  # in single precision 1 - ε has an error of a hundredth of ε
    return F.binary_cross_entropy(p, x.double(), reduction="none").flatten(1).sum(1) / math.log(2)


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of each pair of images [B, C, H, W], [B] in [-1, 1] (Wang et al. 2004, equation 13).

    Gaussian window of 11 x 11 with sigma 1.5, data range [0, 1] (clipped to it), K = (0.01, 0.03), mean over all pixels
    and channels, mirrored edges. These are torchmetrics' defaults, but its single precision has errors of 5e-4 on
    constant images, and its convolution takes several times as long.

    Raises:
        ValueError: H or W below 6.
    """
    height, width = x.shape[2:]
    if min(height, width) < SMALLEST:
        raise ValueError(f"SSIM needs images of at least {SMALLEST} x {SMALLEST} pixels, got {height} x {width}")
    a, b = (image.double().clamp(0, 1) for image in (x_hat, x))
    rows, columns = (_blur(size).to(a) for size in (height, width))
    mean_a, mean_b, aa, bb, ab = (rows.T @ image @ columns for image in (a, b, a * a, b * b, a * b))
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2)
    return similarity.flatten(1).mean(1)


def _blur(size: int) -> Tensor:
    """[size, size]; column i holds the weights of the pixels of a line in the window around pixel i."""
    window = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    lines = F.pad(torch.eye(size, dtype=torch.float64)[None], (5, 5), mode="reflect")[0]  # [size, size + 10]
    return lines.unfold(1, 11, 1) @ (window / window.sum())


class ReconstructionErrors(Metric):
    """`mae`, `rmse`; for data in [0, 1] also `psnr` and `bits`; for images in [0, 1] also `ssim`.

    `mae` and `rmse` are over all values of all samples, without clipping x_hat. `psnr` (dB), `ssim` and `bits` are
    means over samples of the sample's own value: see `psnr` (at most 100 dB, so that it is finite for a perfect
    reconstruction), `ssim` and `bernoulli_bits`. Images below 6 x 6 pixels have no `ssim`.

    Args:
        shape: shape of one sample; (C, H, W) is an image.
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor
    count: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = KeptRows()  # of each sample of this process the `COLUMNS` [5]; 0 if data have no such error
        self.has_ssim = len(shape) == 3 and min(shape[1:]) >= SMALLEST
        self.add_state("sums", torch.zeros(5, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("low", torch.tensor(math.inf), dist_reduce_fx="min")
        self.add_state("high", torch.tensor(-math.inf), dist_reduce_fx="max")

    def update(self, x_hat: Tensor, x: Tensor) -> None:
        """Add reconstructions and samples, both [B, *shape].

        Raises:
            ValueError: a reconstruction has a NaN or infinite value.
        """
        x_hat, x = x_hat.detach().float(), x.float()
        if not x_hat.isfinite().all():
            raise ValueError("reconstructions have NaN or infinite values")
        if len(x) == 0:
            return
        self.low, self.high = torch.minimum(self.low, x.min()), torch.maximum(self.high, x.max())
        for parts in zip(x_hat.split(PART), x.split(PART), strict=True):
            rows = self._errors(*parts)
            self.sums = self.sums + rows.sum(0)
            self.rows.add(rows)
        self.count = self.count + len(x)

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self.rows = KeptRows()

    def _errors(self, x_hat: Tensor, x: Tensor) -> Tensor:
        difference = (x_hat - x).flatten(1).double()
        terms = [difference.abs().mean(1), difference.square().mean(1), *[difference.new_zeros(len(x))] * 3]
        if self.in_unit_range:
            terms[2:4] = [psnr(x_hat, x), bernoulli_bits(x_hat, x)]
            if self.has_ssim:
                terms[4] = ssim(x_hat, x)
        return torch.stack([term.double() for term in terms], 1)

    @property
    def in_unit_range(self) -> bool:
        """Whether all samples so far lie in [0, 1]."""
        return bool(self.low >= 0) and bool(self.high <= 1)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name; none if there are no samples."""
        if not self.count:
            return {}
        mae, mse, decibels, bits, similarity = self.sums / self.count
        values = {"mae": mae, "rmse": mse.sqrt()}
        if self.in_unit_range:
            values |= {"psnr": decibels, "bits": bits, **({"ssim": similarity} if self.has_ssim else {})}
        return values
