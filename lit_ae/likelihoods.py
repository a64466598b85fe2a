"""What the decoder's output means: from its raw output to a mean image and a negative log-likelihood.

Convention, used everywhere: nll sums over pixels and is averaged over the batch by the loss; natural log. A
report that averages over pixels instead says `pixels: mean` in its YAML.
"""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.errors import SettingError

Pixels = Literal["sum", "mean"]
OUTPUTS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class Fit(NamedTuple):
    """How a decoder's output fits x: computed together, since they share most of the work."""

    x_hat: Tensor  # [B, *shape], E[x | z]
    nll: Tensor  # [B], -log p(x | z) up to a constant, in nats
    mse: Tensor  # [B], mean squared error over pixels, without gradient


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean over pixels of (x - x_hat)² [B, *shape], without gradient: [B]."""
    return F.mse_loss(x_hat.detach(), x, reduction="none").flatten(1).mean(1)


class Likelihood(nn.Module, ABC):
    """p(x | z) given the decoder's raw output.

    Args:
        pixels: whether the per-sample nll sums over pixels or is their mean.
    """

    def __init__(self, pixels: Pixels = "sum") -> None:
        super().__init__()
        self.pixels = pixels

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """E[x | z], shaped like `raw` [B, *shape]."""

    @abstractmethod
    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """Mean image, nll and squared error of `raw` [B, *shape] against x [B, *shape]."""

    def reduce(self, pixel_nll: Tensor) -> Tensor:
        """Terms by pixel [B, *shape] to [B], summed or averaged as `pixels` says."""
        flat = pixel_nll.flatten(1)
        # The gradient of a mean is an array as large as the images, that of a sum is one number for all pixels
        return flat.sum(1) if self.pixels == "sum" else flat.sum(1) / flat.shape[1]


class Gaussian(Likelihood):
    """Squared error (x - x_hat)²: a Gaussian of variance ½, its constant dropped.

    Args:
        output: activation of the output layer: sigmoid for pixels in [0, 1], tanh for [-1, 1], else linear.
    """

    def __init__(self, pixels: Pixels = "sum", output: Literal["linear", "sigmoid", "tanh"] = "sigmoid") -> None:
        super().__init__(pixels)
        self.activation = OUTPUTS[output]()

    def mean(self, raw: Tensor) -> Tensor:
        """The activated output."""
        x_hat: Tensor = self.activation(raw)
        return x_hat

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ (x - x_hat)², or its mean."""
        x_hat = self.mean(raw)
        nll = self.reduce(F.mse_loss(x_hat, x, reduction="none"))
        mse = nll.detach() / x[0].numel() if self.pixels == "sum" else nll.detach()
        return Fit(x_hat, nll, mse)


class Huber(Gaussian):
    """Huber's loss ½ r² for |r| = |x - x_hat| ≤ δ, else δ (|r| - ½ δ): outliers count linearly (Huber 1964).

    Args:
        delta: δ, in units of x.
        pixels: whether the per-sample nll sums over pixels or is their mean.
        output: as for `Gaussian`.

    Raises:
        SettingError: `delta` not positive.
    """

    def __init__(
        self, delta: float = 0.1, pixels: Pixels = "sum", output: Literal["linear", "sigmoid", "tanh"] = "sigmoid"
    ) -> None:
        super().__init__(pixels, output)
        if delta <= 0:
            raise SettingError(f"delta of the Huber likelihood is {delta}: it must be positive")
        self.delta = delta

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ Huber(x - x_hat), or its mean."""
        x_hat = self.mean(raw)
        nll = self.reduce(F.huber_loss(x_hat, x, reduction="none", delta=self.delta))
        return Fit(x_hat, nll, squared_error(x_hat, x))


class Bernoulli(Likelihood):
    """Binary cross-entropy on logits; pixels in [0, 1] are taken as probabilities of white."""

    def mean(self, raw: Tensor) -> Tensor:
        """sigmoid(logits)."""
        return raw.sigmoid()

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ -x log p - (1 - x) log(1 - p), p = sigmoid(raw), or its mean."""
        nll = self.reduce(F.binary_cross_entropy_with_logits(raw, x, reduction="none"))
        x_hat = self.mean(raw.detach())
        return Fit(x_hat, nll, squared_error(x_hat, x))


class Categorical(Likelihood):
    """Cross-entropy of a softmax over all of a sample's values: x is one-hot, or a distribution."""

    def mean(self, raw: Tensor) -> Tensor:
        """softmax(logits) over all but the batch."""
        return raw.flatten(1).softmax(1).view_as(raw)

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = -Σ x log softmax(raw), or its mean over the values."""
        nll = self.reduce(-x.flatten(1) * raw.flatten(1).log_softmax(1))
        x_hat = self.mean(raw.detach())
        return Fit(x_hat, nll, squared_error(x_hat, x))
