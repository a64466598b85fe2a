"""The Fréchet distance between features of real and of generated images."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance


class _Given(nn.Identity):
    """The features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class FrechetDistance(FrechetInceptionDistance):
    """||mu - mu_w||^2 + tr(S + S_w - 2 (S S_w)^(1/2)) (Heusel et al. 2017, equation 6), in double precision.

    torchmetrics' metric over features that an extractor has made, with covariances of divisor n - 1. Few
    images bias it upwards: only distances of equal n compare.

    Args:
        num_features: size F of a feature vector.
        kwargs: as for torchmetrics' metric.
    """

    def __init__(self, num_features: int, **kwargs: Any) -> None:
        super().__init__(feature=_Given(num_features), **kwargs)
        self.orig_dtype = torch.float64  # torchmetrics knows it from an update only, which a process may lack

    def update(self, features: Tensor, real: bool) -> None:
        """Take in features [B, F] of real or of generated images."""
        super().update(features.double(), real)


def frechet_infinity(real: Tensor, fake: Tensor, sizes: int, seed: int = 0) -> float:
    """FID∞: the distance that infinitely many generated images would have (Chong & Forsyth 2020).

    FID is linear in 1/M to first order: it is measured on random M of the generated features [N, F], for `sizes`
    numbers M from N / 10 to N at equal steps, and the line through it is taken at 1/M = 0. The bias that the number of
    real features [R, F] brings stays: they are all used each time. Below M = F covariances are singular, and the line
    bends.

    Raises:
        ValueError: `sizes` below 2, or fewer than 20 generated features, which leave no covariance of a tenth.
    """
    import numpy as np

    if sizes < 2:
        raise ValueError(f"a line needs FID at 2 sizes or more, not {sizes}")
    if len(fake) < 20:
        raise ValueError(f"{len(fake)} generated images are too few to extrapolate FID: use 20 or more")
    numbers = np.linspace(len(fake) / 10, len(fake), sizes).round().astype(int)
    metric = FrechetDistance(real.shape[1], reset_real_features=False, sync_on_compute=False).to(real.device)
    metric.update(real, real=True)
    generator, values = torch.Generator().manual_seed(seed), []
    for number in numbers:
        metric.update(fake[torch.randperm(len(fake), generator=generator)[:number]], real=False)
        values.append(metric.compute().item())
        metric.reset()
    return float(np.polyfit(1 / numbers, values, 1)[1])
