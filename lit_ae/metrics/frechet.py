"""The Fréchet distance between features of real and of generated images."""

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
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(feature=_Given(num_features))
        self.orig_dtype = torch.float64  # torchmetrics knows it from an update only, which a process may lack

    def update(self, features: Tensor, real: bool) -> None:
        """Take in features [B, F] of real or of generated images."""
        super().update(features.double(), real)
