"""Feature extractors of images: what they share, and features of many images."""

import hashlib
import pickle
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

UNREADABLE = (  # what reading a missing or damaged file of weights may raise
    OSError, EOFError, pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError, ValueError,
)  # fmt: skip


class Features(NamedTuple):
    """Features and class probabilities of images."""

    features: Tensor  # [B, F] float32
    probs: Tensor  # [B, K], class probabilities


class FeatureExtractor(nn.Module, ABC):
    """A frozen classifier whose hidden activations are the features of the Fréchet distance.

    Args:
        net: any network; it is frozen and stays in evaluation mode.
        num_features: size F of a feature vector.
    """

    name: ClassVar[str]

    def __init__(self, net: nn.Module, num_features: int) -> None:
        super().__init__()
        self.net, self.num_features = net, num_features
        self.weights_hash = _hash(net)
        self.requires_grad_(False)
        self.eval()

    @abstractmethod
    def description(self) -> dict[str, str | float]:
        """What has to be stated with a score: the weights, and how images are prepared for the network."""

    @abstractmethod
    def features_of(self, images: Tensor) -> Features:
        """Features of images [B, C, H, W] in [0, 1]."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Features of float images [B, C, H, W], clamped to [0, 1] first.

        Raises:
            ValueError: a pixel is NaN or infinite.
        """
        if not images.isfinite().all():
            raise ValueError("images that are scored have NaN or infinite pixels")
        return self.features_of(images.clamp(0, 1).to(next(self.parameters()).dtype))

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def extract(
    extractor: FeatureExtractor, images: Tensor, batch_size: int = 100, progress: str | None = None
) -> Features:
    """Features of float images [N, C, H, W], on the extractor's device; N may be 0.

    Args:
        extractor: the network.
        images: the images, on any device.
        batch_size: number of images in one forward pass.
        progress: title of a progress bar on a terminal; if null, there is none.
    """
    from rich.console import Console
    from rich.progress import track

    parts = track(
        torch.split(images, batch_size),
        progress or "",
        console=Console(stderr=True),
        transient=True,
        disable=progress is None,
    )
    features, probs = zip(*(extractor(part.to(extractor.device)) for part in parts), strict=True)
    return Features(torch.cat(features), torch.cat(probs))


def _hash(net: nn.Module) -> str:
    """16 hexadecimal digits of a hash of the names and values of all weights."""
    content = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]
