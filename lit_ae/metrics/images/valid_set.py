"""Generated images compared with the set of all valid images."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_ae.metrics.images.near_pairs import near_pairs

BLOCK = 1 << 22  # distances in one block: 16 MiB of float32


@runtime_checkable
class HasValidSet(Protocol):
    """A data module that knows every valid image."""

    def valid_set(self) -> Tensor:
        """All valid images [V, *shape], uint8 or in [0, 1]."""
        ...


class ValidSetScores(NamedTuple):
    """Scores of all generated images together."""

    values: dict[str, float]  # nn_distance, valid_share, valid_coverage; dkl_bits if any image is close to a valid one
    first: Tensor  # [V], place of the first generated image close to each valid one; a huge number if there is none

    def coverage(self, n: int) -> float:
        """`valid_coverage` of only the first n generated images."""
        return (self.first < n).double().mean().item()


class ValidSetDistance(Metric):
    """Distances of generated images [B, *shape] to V valid images: Euclidean, over pixels in [0, 1].

    A generated image is close to a valid one if their distance is at most `threshold`.

    - `nn_distance`: mean distance from a generated image to the nearest valid one.
    - `valid_share`: share of generated images that are close to a valid one.
    - `valid_coverage`: share of valid images with at least one close generated image.
    - `dkl_bits`: Σ_v p_v log2(V p_v) ≥ 0, the Kullback-Leibler divergence of p_v = c_v / Σ c from the uniform
      distribution over valid images, where c_v is the number of generated images close to v. An image that is close to
      several valid images counts for each of them. A valid image without a close one adds 0 (0 log 0 = 0). The largest
      value, log2 V, is reached if all images are at one valid image. It is left out if every count is 0, since there is
      no distribution then.

    Even a perfect sampler does not reach all valid images: n independent uniform draws that are each close to one valid
    image cover 1 - (1 - 1/V)^n, 63 % for n = V. Distances are computed in blocks, so that about 50 MB of memory are
    needed in addition to the images.

    Args:
        valid: all valid images [V, *shape] in [0, 1].
        threshold: distance up to which a generated image counts as a valid one.
    """

    full_state_update = False
    valid: Tensor
    squares: Tensor
    distance: Tensor
    count: Tensor
    close: Tensor
    hits: Tensor
    first: Tensor

    def __init__(self, valid: Tensor, threshold: float = 3.0) -> None:
        super().__init__()
        if not len(valid):
            raise ValueError("there are no valid images to compare with")
        self.threshold = threshold
        self.register_buffer("valid", valid.flatten(1), persistent=False)
        self.register_buffer("squares", self.valid.square().sum(1), persistent=False)
        self.near = near_pairs(self.valid)
        self.add_state("distance", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("close", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(len(valid), dtype=torch.int64), dist_reduce_fx="sum")
        never = torch.full((len(valid),), torch.iinfo(torch.int64).max)
        self.add_state("first", never, dist_reduce_fx="min")  # place of the first generated image close to it

    def update(self, images: Tensor, indices: Tensor) -> None:
        """Add generated images [B, *shape] and their places [B], ascending, in the order of generation.

        Raises:
            ValueError: the images do not have the shape of the valid ones, or a pixel is not finite.
        """
        x = images.flatten(1)
        if x.shape[1] != self.valid.shape[1]:
            raise ValueError(f"generated images have {x.shape[1]} pixels, valid images have {self.valid.shape[1]}")
        rows = max(1, BLOCK // len(self.valid))
        for part, places in zip(x.split(rows), indices.split(rows), strict=True):
            self._add(part.to(self.valid), places.to(self.valid.device))

    def _add(self, x: Tensor, places: Tensor) -> None:
        if not len(x):  # a process may have no images
            return
        if not x.isfinite().all():
            raise ValueError("a generated image has NaN or infinite pixels")
        near = self.near if self.valid.device.type == "cpu" else None
        squared = near.squared(x, self.threshold**2) if near else None  # [b, V]
        if squared is None:
            squared = torch.addmm(self.squares, x, self.valid.T, alpha=-2).add_(x.square().sum(1, keepdim=True))
        nearest = self.valid[squared.argmin(1)]
        self.distance += torch.linalg.vector_norm((x - nearest).double(), dim=1).sum()  # from differences: exact
        self.count += len(x)
        row, column = (squared <= self.threshold**2).nonzero(as_tuple=True)  # few pairs
        self.close += len(row.unique())
        self.hits += torch.bincount(column, minlength=len(self.valid))
        self.first = self.first.scatter_reduce(0, column, places[row], "amin")

    def compute(self) -> "ValidSetScores":
        """Scores over all processes.

        Raises:
            ValueError: no image has been added.
        """
        if not self.count:
            raise ValueError("there is no generated image to compare with the valid ones")
        values = {
            "nn_distance": (self.distance / self.count).item(),
            "valid_share": self.close.item() / self.count.item(),
            "valid_coverage": (self.hits > 0).double().mean().item(),
        }
        p = self.hits[self.hits > 0].double() / self.hits.sum()
        if len(p):
            values["dkl_bits"] = max(0.0, (p * (p * len(self.hits)).log2()).sum().item())
        return ValidSetScores(values, self.first.cpu())
