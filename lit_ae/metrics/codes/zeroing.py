"""What each code dimension contributes to the reconstruction."""

from collections.abc import Callable

import torch
from torch import Tensor


def zeroing_errors(decode: Callable[[Tensor], Tensor], z: Tensor, x: Tensor) -> Tensor:
    """Increase of the mean squared error over x [N, *shape] if dimension d of the codes z [N, D] is set to 0: [D].

    MSE(x, decode(z with z_d = 0)) - MSE(x, decode(z)), in squared units of x; negative if the reconstruction is better
    without the dimension.
    """

    def error(codes: Tensor) -> Tensor:
        return (decode(codes) - x).square().mean()

    dimensions = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    return torch.stack([error(z.masked_fill(one, 0.0)) for one in dimensions]) - error(z)
