"""Networks that judge images: what they share, and features of many images."""

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """What a network makes of images."""

    features: Tensor  # [B, F] float32
    probs: Tensor  # [B, K], class probabilities


class FeatureExtractor(nn.Module, ABC):
    """A frozen classifier whose inner activations are the features of the Fréchet distance.

    Args:
        net: any network; it is frozen, and stays in evaluation mode whatever its owner does.
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
        """What has to stand beside a score: the weights, and what is done to images before they are seen."""

    @abstractmethod
    def judge(self, images: Tensor) -> Features:
        """Features of images [B, C, H, W] that lie in [0, 1]."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Features of float images [B, C, H, W], clamped to [0, 1] first.

        Raises:
            ValueError: a pixel is NaN or infinite.
        """
        if not images.isfinite().all():
            raise ValueError("images to be scored hold NaN or infinite pixels")
        return self.judge(images.clamp(0, 1))

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
        extractor: judges the images, `batch_size` at a time.
        images: on any device.
        batch_size: images in one forward pass.
        progress: title of a progress bar on a terminal; none where null.
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
    """16 hex digits over names and values of all weights."""
    content = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]
