"""Kernel distance between features of real and of generated images."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from lit_ae.errors import NotComputable

SUBSET = 1000  # images in a subset, as in other implementations


class KernelDistance(NamedTuple):
    """Mean and standard deviation of KID over the subsets."""

    mean: float
    std: float  # divisor: number of subsets
    subsets: int
    size: int


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0) -> KernelDistance:
    """KID: unbiased squared MMD under (x·y / F + 1)³ of features [N, F] and [M, F] (Bińkowski et al. 2018, section 4).

    Mean over disjoint random subsets of 1,000 or a few more images of each kind (fewer images form one subset). Other
    implementations draw each subset from all images, which has the same expectation, but takes ten times as long, and
    its standard deviation is not that of independent subsets. Computed by torchmetrics' `poly_mmd` in double precision.
    Unlike FID it is not biased if there are few images; it may be below 0.

    Raises:
        NotComputable: fewer than 2 images of a kind.
    """
    n = min(len(real), len(fake))
    if n < 2:
        raise NotComputable(f"KID needs at least 2 real and 2 generated images, got {len(real)} and {len(fake)}")
    subsets = max(1, n // SUBSET)
    size = n // subsets
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(x), generator=generator)[: subsets * size].view(subsets, size) for x in (real, fake)]
    values = torch.stack([poly_mmd(real[r].double(), fake[f].double()) for r, f in zip(*orders, strict=True)])
    return KernelDistance(values.mean().item(), values.std(correction=0).item(), subsets, size)
