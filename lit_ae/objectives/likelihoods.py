"""How a decoder's raw output is interpreted: as a mean image and a negative log-likelihood (nll).

Convention in the whole project: nll is the sum over pixels in nats (natural logarithm), and the loss averages it over
the batch. The YAML of a report that averages over pixels instead says `pixels: mean`.
"""

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from lit_ae.data.rows import Samples

Pixels = Literal["sum", "mean"]
Output = Literal["linear", "sigmoid", "tanh"]
OUTPUTS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
EDGE = 1e-3  # least distance from the edge of a range that no output reaches
ROUNDING = 1e-6  # what rounding may add to a range, as in pixels of 1.0000001


class Fit(NamedTuple):
    """How well a decoder's output fits x; computed together, since the parts share most of the work."""

    x_hat: Tensor  # [B, *shape], E[x | z]
    nll: Tensor  # [B], -log p(x | z) up to a constant, in nats
    mse: Tensor  # [B], mean squared error over pixels, without gradient


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean over pixels of (x - x_hat)², [B], without gradient; both arguments are [B, *shape]."""
    return F.mse_loss(x_hat.detach(), x, reduction="none").flatten(1).mean(1)


class Likelihood(nn.Module, ABC):
    """p(x | z), given the decoder's raw output.

    Args:
        pixels: whether the nll of a sample is the sum or the mean over its pixels.
    """

    def __init__(self, pixels: Pixels = "sum") -> None:
        super().__init__()
        self.pixels = pixels

    @property
    def value_range(self) -> tuple[float, float]:
        """The lowest and highest value that the mean image can have, and so the data may have."""
        return 0.0, 1.0

    def check_range(self, low: float, high: float) -> None:
        """Refuse data with values outside the range of the likelihood, except for rounding.

        Raises:
            SettingError: naming the data's range, this setting, and the likelihoods that fit.
        """
        lowest, highest = self.value_range
        if low < lowest - ROUNDING or high > highest + ROUNDING:
            own = f"{type(self).__name__} (output {self.output})" if isinstance(self, Gaussian) else type(self).__name__
            raise SettingError(
                f"the data (--data) have values from {low:g} to {high:g}, but model.likelihood is {own}, which takes "
                f"values from {lowest:g} to {highest:g}: choose {fitting(low, high)}, or scale the data"
            )

    def check_samples(self, x: "Samples") -> None:
        """Refuse samples [N, *shape], bytes or floats in the range, that the likelihood does not fit; none by default.

        Raises:
            SettingError: naming the data, this setting, and the likelihoods that fit.
        """

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """E[x | z], shaped like `raw` [B, *shape]."""

    def raw(self, x_hat: Tensor) -> Tensor:
        """The output whose mean image is x_hat [B, *shape]; values are first brought 0.001 within an open range."""
        return x_hat.clamp(EDGE, 1 - EDGE).logit()

    @abstractmethod
    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """Mean image, nll and squared error of `raw` [B, *shape] against x [B, *shape]."""

    def reduce(self, pixel_nll: Tensor) -> Tensor:
        """Sum or mean over pixels, as `pixels` says, [B], of the terms of each pixel [B, *shape]."""
        # The gradient of a mean is an array as large as the images; that of a sum is one number for all pixels
        total = pixel_nll.sum(tuple(range(1, pixel_nll.dim())))
        return total if self.pixels == "sum" else total / math.prod(pixel_nll.shape[1:])


def fitting(low: float, high: float) -> str:
    """The settings of likelihoods that take values from `low` to `high`, for messages."""
    outputs = ["linear"]
    outputs += ["tanh"] if low >= -1 and high <= 1 else []
    outputs += ["sigmoid"] if low >= 0 and high <= 1 else []
    bernoulli = "Bernoulli, " if "sigmoid" in outputs else ""
    return f"--model.likelihood={bernoulli}Gaussian or Huber with --model.likelihood.output={' or '.join(outputs)}"


class Gaussian(Likelihood):
    """Squared error (x - x_hat)²: the nll of a Gaussian of variance ½ without its constant.

    Args:
        pixels: whether the nll of a sample is the sum or the mean over its pixels.
        output: activation of the output: sigmoid for pixels in [0, 1], tanh for pixels in [-1, 1], else linear.
    """

    def __init__(self, pixels: Pixels = "sum", output: Output = "sigmoid") -> None:
        super().__init__(pixels)
        self.output, self.activation = output, OUTPUTS[output]()

    @property
    def value_range(self) -> tuple[float, float]:
        """That of the activation."""
        return {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}.get(self.output, (-math.inf, math.inf))

    def mean(self, raw: Tensor) -> Tensor:
        """The output after its activation."""
        x_hat: Tensor = self.activation(raw)
        return x_hat

    def raw(self, x_hat: Tensor) -> Tensor:
        """The output before its activation."""
        if self.output == "tanh":
            return x_hat.clamp(EDGE - 1, 1 - EDGE).atanh()
        return x_hat if self.output == "linear" else super().raw(x_hat)

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ (x - x_hat)², or the mean over pixels."""
        x_hat = self.mean(raw)
        nll = self.reduce(F.mse_loss(x_hat, x, reduction="none"))
        mse = nll.detach() / math.prod(x.shape[1:]) if self.pixels == "sum" else nll.detach()
        return Fit(x_hat, nll, mse)


class Huber(Gaussian):
    """Huber's loss: ½ r² if |r| = |x - x_hat| ≤ δ, else δ (|r| - ½ δ), so that outliers count linearly (Huber 1964).

    Args:
        delta: threshold δ, in units of x.
        pixels: whether the nll of a sample is the sum or the mean over its pixels.
        output: activation of the output, as for `Gaussian`.

    Raises:
        SettingError: `delta` not positive.
    """

    def __init__(self, delta: float = 0.1, pixels: Pixels = "sum", output: Output = "sigmoid") -> None:
        super().__init__(pixels, output)
        if delta <= 0:
            raise SettingError(f"delta of the Huber likelihood is {delta}: it must be positive")
        self.delta = delta

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ Huber(x - x_hat), or the mean over pixels."""
        x_hat = self.mean(raw)
        nll = self.reduce(F.huber_loss(x_hat, x, reduction="none", delta=self.delta))
        return Fit(x_hat, nll, squared_error(x_hat, x))


class Bernoulli(Likelihood):
    """Binary cross-entropy on logits; grey values in [0, 1] are taken as probabilities of white.

    Args:
        pixels: whether the nll of a sample is the sum or the mean over its pixels.
    """

    def mean(self, raw: Tensor) -> Tensor:
        """sigmoid(logits)."""
        return raw.sigmoid()

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = Σ -x log p - (1 - x) log(1 - p) with p = sigmoid(raw), or the mean over pixels."""
        nll = self.reduce(F.binary_cross_entropy_with_logits(raw, x, reduction="none"))
        x_hat = self.mean(raw.detach())
        return Fit(x_hat, nll, squared_error(x_hat, x))


class Categorical(Likelihood):
    """Cross-entropy of a softmax over all values of a sample: x is a one-hot vector or a distribution.

    Args:
        pixels: whether the nll of a sample is the sum or the mean over its values.
    """

    def check_samples(self, x: "Samples") -> None:
        """Refuse samples [N, *shape] whose values do not add up to 1, to 0.01."""
        scale = 1 if x.dtype.is_floating_point else 255
        sums = torch.cat([part.flatten(1).double().sum(1) / scale for part in x.split(1000)])
        wrong = ((sums - 1).abs() > 0.01).nonzero().flatten().tolist()
        if wrong:
            raise SettingError(
                f"the data (--data) have {len(wrong):,} samples whose values do not add up to 1, the first, number "
                f"{wrong[0]}, to {sums[wrong[0]].item():g}, but model.likelihood is Categorical, which takes one-hot "
                f"vectors and distributions: choose {fitting(0, 1)}, or scale each sample"
            )

    def mean(self, raw: Tensor) -> Tensor:
        """softmax(logits) over all values of a sample."""
        return raw.flatten(1).softmax(1).view_as(raw)

    def raw(self, x_hat: Tensor) -> Tensor:
        """Its logarithm."""
        return x_hat.clamp(min=EDGE).log()

    def fit(self, raw: Tensor, x: Tensor) -> Fit:
        """nll = -Σ x log softmax(raw), or the mean over the values."""
        nll = self.reduce(-x.flatten(1) * raw.flatten(1).log_softmax(1))
        x_hat = self.mean(raw.detach())
        return Fit(x_hat, nll, squared_error(x_hat, x))
