"""The Inception network with which published Fréchet distances are computed."""

from pathlib import Path

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.metrics.images.extractors import UNREADABLE, FeatureExtractor, Features

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"


class InceptionExtractor(FeatureExtractor):
    """The 2048 pool features and class probabilities of torch-fidelity's Inception-v3 (Szegedy et al. 2016).

    Args:
        weights_path: torch-fidelity's weights file; if null, it is downloaded, as torchmetrics does, into torch's
            cache.

    Raises:
        SettingError: torch-fidelity is not installed, or the weights are missing or damaged or cannot be downloaded.
    """

    name = "inception"

    def __init__(self, weights_path: str | Path | None = None) -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ModuleNotFoundError as error:
            raise SettingError(
                "extractor inception needs torch-fidelity: pip install 'lit_ae[inception]', or set extractor to lenet"
            ) from error
        path = Path(weights_path).expanduser() if weights_path else None
        try:
            if path:  # torch-fidelity itself would run any code that the file holds
                torch.load(path, map_location="cpu", weights_only=True)
            net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], path)
        except UNREADABLE as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            problem = f"{path} cannot be loaded" if path else "is null and the weights cannot be downloaded"
            raise SettingError(
                f"inception_weights {problem} ({reason}): set it to a whole copy of {WEIGHTS}, "
                "or set extractor to lenet"
            ) from error
        super().__init__(net, 2048)

    def description(self) -> dict[str, str | float]:
        """The weights, and how images are prepared for the network."""
        return {
            "extractor": f"inception: {self.num_features} features of torch-fidelity's Inception-v3",
            "extractor_weights": f"sha256 {self.weights_hash}",
            "channels": "grey repeated in R, G and B",
            "resize": "299 x 299 from 8-bit pixels, bilinear as in TensorFlow 1, without anti-aliasing",
        }

    def features_of(self, images: Tensor) -> Features:
        """Features and class probabilities of images [B, 1 or 3, H, W] in [0, 1].

        Raises:
            SettingError: the images have neither one channel nor three.
        """
        if images.shape[1] not in (1, 3):
            raise SettingError(
                f"extractor inception takes grey or RGB images, not {images.shape[1]} channels: set extractor to lenet"
            )
        # Rounded: truncation would darken pixels that were k / 255 to begin with.
        pixels = (images * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
        if not len(pixels):
            return Features(images.new_zeros(0, self.num_features), images.new_zeros(0, 1008))
        features, logits = self.net(pixels)
        return Features(features, logits.softmax(1))
