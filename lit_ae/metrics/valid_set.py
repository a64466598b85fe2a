"""Generated images against the set of all images that there can be."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torchmetrics import Metric

BLOCK = 1 << 22  # distances at a time: 16 MiB of float32


@runtime_checkable
class HasValidSet(Protocol):
    """A data module that knows every image there can be."""

    def valid_set(self) -> Tensor:
        """All of them, [V, *shape], uint8 or in [0, 1]."""
        ...


class ValidSetScores(NamedTuple):
    """What has been found of all generated images."""

    values: dict[str, float]  # nn_distance, valid_coverage and, where any image comes near, dkl_bits
    first: Tensor  # [V], place of the first generated image near each valid one; a huge number where none is

    def coverage(self, n: int) -> float:
        """`valid_coverage` of the first n generated images alone."""
        return (self.first < n).double().mean().item()


class ValidSetDistance(Metric):
    """How generated images [B, *shape] lie about V valid ones, by Euclidean distance over pixels in [0, 1].

    `nn_distance`: mean distance from a generated image to the nearest valid one. `valid_coverage`: share of valid
    images that some generated one lies within `threshold` of (at it, too). `dkl_bits`: Σ_v p_v log2(V p_v) ≥ 0, the
    Kullback-Leibler divergence from the uniform distribution over valid images of p_v = c_v / Σ c, where c_v counts
    the generated images within `threshold` of v; an image near several counts for each, one near none for none. A
    valid image that none is near adds 0 (0 log 0 = 0), so that all images at one valid image score log2 V, the most;
    it is left out where every count is 0, for there is no distribution then. Even a perfect sampler's few images miss
    some: n independent uniform draws that come near one valid image each cover 1 - (1 - 1/V)^n, 63 % at n = V.

    In blocks of rows: beside its arguments it takes some 50 MB.

    Args:
        valid: all valid images [V, *shape] in [0, 1].
        threshold: distance within which a generated image counts as a valid one.
    """

    full_state_update = False
    valid: Tensor
    squares: Tensor
    distance: Tensor
    count: Tensor
    hits: Tensor
    first: Tensor

    def __init__(self, valid: Tensor, threshold: float = 3.0) -> None:
        super().__init__()
        if not len(valid):
            raise ValueError("there are no valid images to compare with")
        self.threshold = threshold
        self.register_buffer("valid", valid.flatten(1), persistent=False)
        self.register_buffer("squares", self.valid.square().sum(1), persistent=False)
        self.add_state("distance", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(len(valid), dtype=torch.int64), dist_reduce_fx="sum")
        never = torch.full((len(valid),), torch.iinfo(torch.int64).max)
        self.add_state("first", never, dist_reduce_fx="min")  # index of the first generated image near it

    def update(self, images: Tensor, indices: Tensor) -> None:
        """Take in generated images [B, *shape] and their places [B], ascending, in the order of generation.

        Raises:
            ValueError: images of another shape than the valid ones, or a pixel that is not finite.
        """
        x = images.flatten(1)
        if x.shape[1] != self.valid.shape[1]:
            raise ValueError(f"images of {x.shape[1]} pixels against valid ones of {self.valid.shape[1]}")
        rows = max(1, BLOCK // len(self.valid))
        for part, places in zip(x.split(rows), indices.split(rows), strict=True):
            self._add(part.to(self.valid), places.to(self.valid.device))

    def _add(self, x: Tensor, places: Tensor) -> None:
        if not len(x):  # a process may have no share
            return
        if not x.isfinite().all():
            raise ValueError("a generated image holds NaN or infinite pixels")
        squared = torch.addmm(self.squares, x, self.valid.T, alpha=-2).add_(x.square().sum(1, keepdim=True))  # [b, V]
        nearest = self.valid[squared.argmin(1)]
        self.distance += torch.linalg.vector_norm((x - nearest).double(), dim=1).sum()  # from differences: exact
        self.count += len(x)
        near = squared <= self.threshold**2
        self.hits += near.sum(0)
        found, row = near.max(0)  # whether any, and the first one
        self.first = torch.where(found, torch.minimum(self.first, places[row]), self.first)

    def compute(self) -> "ValidSetScores":
        """Scores over all processes.

        Raises:
            ValueError: no image has been taken in.
        """
        if not self.count:
            raise ValueError("no generated image to compare with the valid ones")
        values = {
            "nn_distance": (self.distance / self.count).item(),
            "valid_coverage": (self.hits > 0).double().mean().item(),
        }
        p = self.hits[self.hits > 0].double() / self.hits.sum()
        if len(p):
            values["dkl_bits"] = max(0.0, (p * (p * len(self.hits)).log2()).sum().item())
        return ValidSetScores(values, self.first.cpu())
