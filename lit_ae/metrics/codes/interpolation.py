"""Interpolation between codes: mixed codes compared with mixed images, and the length of the decoded path."""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable
from lit_ae.metrics.reconstruction.psnr import CEILING, psnr


def different_pairs(labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices [n] and [n] of random pairs of samples with different labels [N]; unlabelled samples (-1) are left out.

    If no sample has a label, any two different samples form a pair. The pairs depend only on the labels and the seed.

    Raises:
        NotComputable: fewer than two classes (or, without labels, fewer than two samples).
    """
    known = (labels >= 0).nonzero().flatten()
    if len(known) == 0:
        known, labels = torch.arange(len(labels)), torch.arange(len(labels))
    kinds = labels[known]
    if len(kinds.unique()) < 2:
        raise NotComputable("interpolation needs samples of at least two classes, or two samples without labels")
    generator = torch.Generator().manual_seed(seed)
    first, second = [], []
    for _ in range(n):
        i = int(torch.randint(len(known), (), generator=generator))
        others = known[kinds != kinds[i]]
        first.append(known[i])
        second.append(others[torch.randint(len(others), (), generator=generator)])
    return torch.stack(first), torch.stack(second)


def mixing_psnr(decoded: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over pairs of the pair's PSNR in dB, and the number of pairs that agree up to rounding: [A] and [A].

    Args:
        decoded: D(z_α), decoded codes that were mixed before decoding [A, P, *shape].
        reference: D(E(x_α)), reconstructions of images that were mixed before encoding [A, P, *shape].

    A pair that agrees (100 dB or more) counts as 100 dB, so that one of them does not make the mean infinite; if all
    pairs agree, the mean is infinite.
    """
    values = torch.stack([psnr(images, ideal) for images, ideal in zip(decoded, reference, strict=True)])  # [A, P]
    agree = values >= CEILING
    return torch.where(agree.all(1), torch.inf, values.mean(1)), agree.sum(1)


def mixing_l2(z: Tensor, reference: Tensor) -> Tensor:
    """Mean Euclidean distance over pairs of mixed codes z and codes of mixed images, both [A, P, D]: [A]."""
    distances: Tensor = (z - reference).norm(dim=2)  # [A, P]
    return distances.mean(1)


def path_ratio(path: Tensor) -> float:
    """Length of decoded paths over the distance of their ends, Σ_p Σ_t ‖x_t+1 - x_t‖ / Σ_p ‖x_T - x_0‖, at least 1.

    The length of curves in data space under the decoder, as in Shao, Kumar & Fletcher 2018 (The Riemannian geometry of
    deep generative models, discrete form), is divided by that of straight lines. 1 means a cross-fade between the two
    images; it is larger if the path leads through other images. Path: [T, P, *shape], T ≥ 2.

    Raises:
        NotComputable: all paths end where they begin.
        ValueError: a path of one point.
    """
    if len(path) < 2:
        raise ValueError(f"a path needs at least 2 points, got {len(path)}")
    flat = path.flatten(2).double()  # [T, P, N]
    ends = (flat[-1] - flat[0]).norm(dim=1).sum()
    if ends == 0:
        raise NotComputable("the decoder gives the same image at both ends of every path")
    return float(flat.diff(dim=0).norm(dim=2).sum() / ends)
