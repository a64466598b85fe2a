"""How much of the input is retained in a layer."""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

PART = 5000  # samples that are converted to double precision at a time


def variance_retained(
    train_features: Tensor, train_x: Tensor, features: Tensor, x: Tensor, alpha: float = 1.0
) -> float:
    """Share, at most 1, of the variance of x [M, P] that ridge regression on features [M, D] explains.

    1 - Σ ‖x - x_hat‖² / Σ ‖x - mean(x)‖² over all P outputs together (R², variance weighted). The regression is fitted
    to train_features [N, D] and train_x [N, P] with the penalty alpha ‖W‖² added to the sum of squared errors (Hoerl
    and Kennard 1970). Features are centred and divided by a common number, the root of their mean variance: dividing
    each by its own would give a unit that is active for a single training sample as much weight as the others. A
    feature that is constant in training is not used. The share is below 0 if the mean of x fits better than the
    regression.

    Raises:
        NotComputable: x without variance.
        ValueError: shapes that do not match, a value that is not finite, or alpha not positive.
    """
    if alpha <= 0:
        raise ValueError(f"alpha is {alpha}: it must be positive")
    for name, z, of in (("training", train_features, train_x), ("scored", features, x)):
        if len(z) != len(of) or not len(z):
            raise ValueError(
                f"{len(z)} {name} features for {len(of)} samples: the numbers must be equal and at least 1"
            )
        if not (z.isfinite().all() and of.isfinite().all()):
            raise ValueError(f"{name} features or samples are not all finite")
    mean, scale = centre_and_scale(train_features)
    target = train_x.mean(0, dtype=torch.float64)  # [P]
    gram = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=train_x.device)
    cross = torch.zeros(len(mean), len(target), dtype=torch.float64, device=train_x.device)
    for z, of in zip(train_features.split(PART), train_x.split(PART), strict=True):
        z = (z.double() - mean) / scale
        gram += z.T @ z
        cross += z.T @ (of.double() - target)
    gram.diagonal().add_(alpha)
    weights = torch.linalg.solve(gram, cross)  # [D, P]
    centre, left, total = x.mean(0, dtype=torch.float64), 0.0, 0.0
    for z, of in zip(features.split(PART), x.split(PART), strict=True):
        left += (of.double() - target - (z.double() - mean) / scale @ weights).square().sum().item()
        total += (of.double() - centre).square().sum().item()
    if total == 0:
        raise NotComputable("all samples are equal: there is no variance to be retained")
    return 1 - left / total


def centre_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and root of the mean variance of features [N, D] in double precision; 1 instead of a root of 0."""
    mean = features.mean(0, dtype=torch.float64)
    squares = torch.stack([(part.double() - mean).square().sum() for part in features.split(PART)]).sum()
    scale = (squares / features.numel()).sqrt()
    return mean, torch.where(scale > 1e-12 * mean.abs().amax(), scale, torch.ones_like(scale))
