"""Principal components, also of data with too many features for a covariance matrix."""

import torch
from torch import Tensor

RANK = 1e-10  # share of the largest variance below which a variance is rounding


def principal_components(train: Tensor, test: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """First n components of train [N, D] and of test [M, D], and each test sample's mean squared error [M, n + 1].

    Column k of the errors is that from the first k components.

    Exact, by the eigenvectors of the Gram matrix [N, N] of the centred data if N < D, else of the scatter matrix [D, D]
    (Turk & Pentland 1991). Data of a lower rank have fewer components.

    Raises:
        ValueError: shapes that differ, n below 1, or values that are not finite.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1] or n < 1 or not len(train):
        raise ValueError(
            f"principal components need train [N, D], test [M, D] and n ≥ 1, not {list(train.shape)}, "
            f"{list(test.shape)} and {n}"
        )
    if not (train.isfinite().all() and test.isfinite().all()):
        raise ValueError("a value is NaN or infinite: there are no principal components")
    mean = train.double().mean(0)
    x, x_test = train.double() - mean, test.double() - mean
    if len(x) < x.shape[1]:
        squares, vectors = torch.linalg.eigh(x @ x.T)  # [N], [N, N], ascending
        kept = _kept(squares, n)
        axes = x.T @ vectors[:, kept] / squares[kept].sqrt()  # [D, n]
    else:
        squares, vectors = torch.linalg.eigh(x.T @ x)
        axes = vectors[:, _kept(squares, n)]
    z, z_test = x @ axes, x_test @ axes
    explained = torch.cat([z_test.new_zeros(len(x_test), 1), z_test.square().cumsum(1)], 1)  # orthonormal axes
    errors = (x_test.square().sum(1, keepdim=True) - explained).clamp(min=0) / x_test.shape[1]
    return z.float(), z_test.float(), errors


def _kept(squares: Tensor, n: int) -> Tensor:
    """Indices of the n largest, in descending order, without those that are only rounding."""
    order = squares.argsort(descending=True)[:n]
    return order[squares[order] > RANK * squares.max()]
