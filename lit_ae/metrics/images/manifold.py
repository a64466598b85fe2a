"""Precision, recall, density and coverage of generated samples, and their distances to training samples.

Distances are Euclidean, in double precision, and computed in blocks of at most 16 MiB.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

DISTANCES = 2**21  # distances in one block


class Manifold:
    """Balls around real samples up to their k-th nearest neighbour, with which generated samples are compared.

    Naeem et al. 2020: the radius NND_k(x) is the distance of x to its k-th nearest neighbour among the other samples of
    the same set. Balls are open, as in the authors' code: a sample at exactly this distance is outside.

    Args:
        real: features [N, F].
        k: number of neighbours; the authors use 5.

    Raises:
        NotComputable: N ≤ k, or all balls are empty because each real sample equals k others.
        ValueError: features that are not finite.
    """

    def __init__(self, real: Tensor, k: int = 5) -> None:
        self.k, self.centre = k, real.double().mean(0)
        self.real = self._centred(real, "real")
        self.radii = self._radii(self.real)
        if not (self.radii > 0).any():
            raise NotComputable(
                f"each of the {len(real)} real samples equals {k} others: all distances to neighbours are 0"
            )

    def scores(self, fake: Tensor) -> dict[str, float]:
        """`precision`, `recall`, `density` and `coverage` of features [M, F] (Naeem et al. 2020, section 3).

        Precision: share of generated samples in any real sample's ball; recall: share of real samples in any generated
        sample's ball; density: mean number of real balls around a generated sample, divided by k, which may exceed 1;
        coverage: share of real samples whose ball contains a generated one. If all generated samples are equal, recall
        is 0.

        Raises:
            NotComputable: M ≤ k.
            ValueError: features that are not finite.
        """
        fake = self._centred(fake, "generated")
        fake_radii = self._radii(fake)
        precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
        inside = covered = recalled = 0.0
        for rows, squared in squared_distances(self.real, fake):
            within = squared < self.radii[rows].unsqueeze(1)  # [R, M]
            precise |= within.any(0)
            inside += within.sum().item()
            covered += within.any(1).sum().item()
            recalled += (squared < fake_radii).any(1).sum().item()
        return {
            "precision": precise.double().mean().item(),
            "recall": recalled / len(self.real),
            "density": inside / (self.k * len(fake)),
            "coverage": covered / len(self.real),
        }

    def _centred(self, features: Tensor, what: str) -> Tensor:
        if not features.isfinite().all():
            raise ValueError(f"{what} features have NaN or infinite values")
        if len(features) <= self.k:
            raise NotComputable(f"{len(features)} {what} samples are too few for {self.k} nearest neighbours: use more")
        return features.double() - self.centre  # the closer to the origin, the smaller the rounding

    def _radii(self, x: Tensor) -> Tensor:
        """Squared NND_k [N] of features [N, F], minus what rounding may add to an equal distance."""
        nearest = [s.topk(self.k + 1, largest=False, sorted=False).values.amax(1) for _, s in squared_distances(x, x)]
        squared = torch.cat(nearest)  # of these k + 1 the first is the sample itself
        return squared - 1e-11 * (squared + x.square().sum(1))


def nearest_distances(a: Tensor, b: Tensor) -> Tensor:
    """Distance of each of a [N, F] to the nearest of b [M, F], [N].

    Raises:
        NotComputable: b is empty.
    """
    if len(b) == 0:
        raise NotComputable("there are no samples to which distances could be computed")
    centre = b.double().mean(0)
    a, b = a.double() - centre, b.double() - centre
    nearest = [b[squared.argmin(1)] for _, squared in squared_distances(a, b)]
    # From differences: the distance of a copy is exactly 0
    distances: Tensor = torch.linalg.vector_norm(a - torch.cat([*nearest, b[:0]]), dim=1)
    return distances


def spread(rows: Tensor, n: int) -> Tensor:
    """n of the rows [N, …] at equal steps, or all if there are no more than n."""
    return rows if len(rows) <= n else rows[torch.arange(n, device=rows.device) * len(rows) // n]


def median_ratio(distances: Tensor, reference: Tensor) -> float:
    """Median of distances [N], divided by the median of reference distances [M].

    Raises:
        NotComputable: no distances, or a median of 0 of the reference distances.
    """
    if not len(distances) or not len(reference):
        raise NotComputable("there are no distances to compare")
    middle = reference.quantile(0.5).item()
    if middle == 0:
        raise NotComputable("most samples of the reference split are also training samples")
    return distances.quantile(0.5).item() / middle


def squared_distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of squared distances of a [N, F] to b [M, F]: the rows of a, and their distances to all of b [R, M]."""
    a_norms, b_norms = a.square().sum(1), b.square().sum(1)
    size = max(1, DISTANCES // len(b))
    for start in range(0, len(a), size):
        rows = slice(start, start + size)
        yield rows, torch.addmm(b_norms, a[rows], b.T, alpha=-2).add_(a_norms[rows].unsqueeze(1))
