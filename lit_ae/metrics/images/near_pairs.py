"""Exact distances of those pairs of points alone that can be close: the others are ruled out in few dimensions."""

import torch
from torch import Tensor

AXES = 96  # principal axes
SAMPLE = 1000  # points that the axes are computed from
LEAST = 2 * AXES  # points and dimensions from which it is worth it
MOST = 0.02  # share of pairs above which the distances of all pairs take less time
PAIRS = 4096  # in one block: 13 MB of MNIST-like images
ROUNDING = 1e-4  # of squared distances, as a share of the largest squared lengths


class NearPairs:
    """Squared distances to fixed points, as far as they are close or smallest.

    Let Q be orthonormal axes and r(x) the part of x outside them. Then |x - v|² ≥ |Qx - Qv|² + (|r(x)| - |r(v)|)²: the
    distance of points that are reduced to Qx and |r(x)| is never larger. The axes are the principal ones of the points.

    Args:
        points: [V, P].
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points
        sample = points[:: max(1, len(points) // SAMPLE)].double()
        self.mean = sample.mean(0)
        covariance = (sample - self.mean).T @ (sample - self.mean)
        self.axes = torch.linalg.eigh(covariance).eigenvectors[:, -AXES:].to(points)  # [P, AXES]
        self.mean = self.mean.to(points)
        self.reduced = self._reduced(points)  # [V, AXES + 1]
        self.squares = self.reduced.square().sum(1)  # [V]

    def squared(self, x: Tensor, limit: float) -> Tensor | None:
        """Squared distances [B, V] of points [B, P]; infinite where larger than both `limit` and the row's smallest.

        None if too many pairs remain for that to save time.
        """
        reduced = self._reduced(x)
        own = reduced.square().sum(1, keepdim=True)
        bound = torch.addmm(self.squares, reduced, self.reduced.T, alpha=-2).add_(own)  # [B, V]
        reached = (x - self.points[bound.argmin(1)]).square().sum(1, keepdim=True)  # so the smallest is at most this
        slack = ROUNDING * (own.max() + self.squares.max())
        rows, columns = (bound <= reached.clamp(min=limit) + slack).nonzero(as_tuple=True)
        if len(rows) > MOST * bound.numel():
            return None
        found = torch.full_like(bound, torch.inf)
        for row, column in zip(rows.split(PAIRS), columns.split(PAIRS), strict=True):
            found[row, column] = (x[row] - self.points[column]).square().sum(1)
        return found

    def _reduced(self, x: Tensor) -> Tensor:
        centred = x - self.mean
        along = centred @ self.axes
        outside = (centred.square().sum(1) - along.square().sum(1)).clamp_(min=0).sqrt_()
        return torch.cat([along, outside.unsqueeze(1)], 1)


def near_pairs(points: Tensor) -> NearPairs | None:
    """For points [V, P] on a processor; None if there are too few, or on another device, which is fast enough."""
    return NearPairs(points) if points.device.type == "cpu" and min(points.shape) >= LEAST else None
