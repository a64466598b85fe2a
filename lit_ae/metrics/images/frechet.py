"""Fréchet distance between features of real and of generated images."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from lit_ae.errors import NotComputable


class _Given(nn.Identity):
    """Takes the place of torchmetrics' network: the features have been computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class FrechetDistance(FrechetInceptionDistance):
    """||mu - mu_w||^2 + tr(S + S_w - 2 (S S_w)^(1/2)) (Heusel et al. 2017, equation 6), in double precision.

    torchmetrics' metric on given features, with covariances of divisor n - 1. It is biased upwards if there are few
    images: compare only distances of the same n.

    Args:
        num_features: size F of a feature vector.
        kwargs: as for torchmetrics' metric.
    """

    def __init__(self, num_features: int, **kwargs: Any) -> None:
        super().__init__(feature=_Given(num_features), **kwargs)
        self.orig_dtype = (
            torch.float64
        )  # torchmetrics sets it in an update, which a process without images does not make

    def update(self, features: Tensor, real: bool) -> None:
        """Add features [B, F] of real or of generated images."""
        super().update(features.double(), real)

    def compute(self) -> Tensor:
        """The distance, [].

        Raises:
            NotComputable: fewer than 2 real or generated images, which have no covariance.
        """
        real, fake = int(self.real_features_num_samples), int(self.fake_features_num_samples)
        if min(real, fake) < 2:
            raise NotComputable(f"FID needs at least 2 real and 2 generated images, got {real} and {fake}")
        return super().compute()


def total_variance(features: Tensor) -> float:
    """The trace of the covariance (divisor N - 1) of features [N, F], by which a FID is divided to normalise it.

    The FID of images that are all the mean of the real ones is the trace of the real covariance, so that a normalised
    FID is about 1 for them, whatever the scale of the features.
    """
    return features.double().var(0).sum().item()


def frechet_infinity(real: Tensor, fake: Tensor, sizes: int, seed: int = 0) -> float:
    """FID∞: FID extrapolated to infinitely many generated images (Chong & Forsyth 2020).

    FID is linear in 1/M to first order. It is computed for M random generated features of [N, F], for `sizes` numbers M
    from N / 10 to N at equal steps, and the fitted line is evaluated at 1/M = 0. The bias due to the number of real
    features [R, F] remains, since all of them are used each time. For M < F covariances are singular, and FID is not
    linear.

    Raises:
        NotComputable: fewer than 20 generated features, a tenth of which have no covariance.
        ValueError: `sizes` below 2.
    """
    import numpy as np

    if sizes < 2:
        raise ValueError(f"FID must be computed at 2 sizes or more to extrapolate it, not at {sizes}")
    if len(fake) < 20:
        raise NotComputable(f"{len(fake)} generated images are too few to extrapolate FID: use 20 or more")
    numbers = np.linspace(len(fake) / 10, len(fake), sizes).round().astype(int)
    metric = FrechetDistance(real.shape[1], reset_real_features=False, sync_on_compute=False).to(real.device)
    metric.update(real, real=True)
    generator, values = torch.Generator().manual_seed(seed), []
    for number in numbers:
        metric.update(fake[torch.randperm(len(fake), generator=generator)[:number]], real=False)
        values.append(metric.compute().item())
        metric.reset()
    return float(np.polyfit(1 / numbers, values, 1)[1])
