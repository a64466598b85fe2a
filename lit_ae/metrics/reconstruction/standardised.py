"""Squared error of networks with a sigmoid output that are trained on standardised pixels."""

from torch import Tensor

from lit_ae.errors import NotComputable

ROUNDING = 1e-7  # share of the mean below which a standard deviation of float32 pixels is rounding


def vary(mean: float, std: float) -> bool:
    """Whether pixels of this mean and standard deviation differ by more than rounding."""
    return std > ROUNDING * abs(mean)


def mse_standardised(x: Tensor, x_hat: Tensor, mean: float, std: float) -> Tensor:
    """Mean of (t - t_hat)² over the pixels of each sample, [B], for x and x_hat [B, *shape] in [0, 1].

    t = (x - mean) / std is the standardised target; t_hat = clip((x_hat - mean) / std, 0, 1), since the published
    networks had a sigmoid output. Targets outside [0, 1] cannot be reached, so that even a perfect x_hat = x has an
    error: about 0.469 on MNIST's test split with mean 0.1307 and std 0.3081.

    Raises:
        NotComputable: all pixels are equal, so that `std` is 0 or rounding.
    """
    if not vary(mean, std):
        raise NotComputable(f"pixels with a standard deviation of {std:.3g} around {mean:.3g} cannot be standardised")
    t = (x - mean) / std
    t_hat = ((x_hat - mean) / std).clamp(0, 1)
    return (t - t_hat).square().flatten(1).mean(1)
