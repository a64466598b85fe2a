"""Networks from whose features generated images are scored."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError
from lit_ae.metrics.images.extractors import FeatureExtractor, extract
from lit_ae.metrics.images.lenet import LeNetExtractor
from lit_ae.scores.arrays import Array, floats, images, same_shape, tensor
from lit_ae.settings.suggestions import near_match

Extractor: TypeAlias = FeatureExtractor | Callable[[Tensor], Any] | str


def lenet(data: BaseDataModule | str) -> LeNetExtractor:
    """The LeNet-5 classifier of a labelled data set: trained on first use (in seconds), then kept in a cache.

    Its 84 features and its class probabilities are what `fid` and its siblings are computed from; `accuracy` is its
    share of right answers on the test split.

    Args:
        data: a data module, or the name of one, such as "digits" or "mnist".

    Raises:
        SettingError: there is no such data set, it has no labels, or it does not consist of images.

    >>> import lit_ae
    >>> lit_ae.scores.lenet("no such data")
    Traceback (most recent call last):
    ...
    lit_ae.errors.SettingError: there is no data set 'no such data': choose one of cifar10, digits, fashion_mnist, mnist, shapes
    """  # noqa: E501 - what is raised
    return LeNetExtractor.for_data(_named(data) if isinstance(data, str) else data)


def features(x: Array, extractor: Extractor, batch_size: int = 100) -> Tensor:
    """Features [N, F] of images, as a tensor. If you score several models, compute those of the real images once.

    Args:
        x: images [N, C, H, W], bytes or floats in [0, 1].
        extractor: "inception" (2048 features of the network that published FIDs use; its weights are downloaded), or
            "lite0" (1280 features of EfficientNet-Lite0, trained on ImageNet; its weights come with the extra
            `imagenet`), or "lenet:NAME" (see `lenet`; NAME is that of a data set), or what `lenet` returns, or any
            function that maps float images [B, C, H, W] on the CPU to features [B, F]. Scores from different extractors
            cannot be compared, and only those of "inception" are called FID and KID elsewhere.
        batch_size: number of images in one call of the extractor.

    Raises:
        SettingError: there is no such extractor, or its weights cannot be loaded.
        ValueError: x does not hold images, or the function does not return features [B, F].

    >>> import lit_ae, torch
    >>> lit_ae.scores.features(torch.rand(5, 1, 8, 8), extractor=lambda x: x.flatten(1)).shape
    torch.Size([5, 64])
    """
    return _outputs(images(x, "x"), extractor, batch_size, "features")


def probabilities(x: Array, extractor: Extractor | None, batch_size: int = 100) -> Tensor:
    """Class probabilities [N, K] of images, or the given ones.

    Raises:
        ValueError: the given values, or those that a function returns, are not probabilities.
    """
    if extractor is None:
        found = tensor(x, "fake", 2, "class probabilities [N, K], or images and an extractor")
    else:
        found = _outputs(images(x, "fake"), extractor, batch_size, "probs")
    if found.min() < -1e-4 or ((found.sum(1) - 1).abs() > 1e-3).any():
        raise ValueError("class probabilities must be at least 0 and sum to 1 for each image: apply softmax to logits")
    return found


def feature_pair(real: Array, fake: Array, extractor: Extractor | None, least: int = 2) -> tuple[Tensor, Tensor]:
    """Features of real and of generated images, [N, F] and [M, F], from images and an extractor or as they are given.

    Raises:
        ValueError: fewer than `least` of a kind, or arrays that do not fit.
    """
    if extractor is None:
        kind = "features [N, F], or images and an extractor"
        a, b = floats(tensor(real, "real", 2, kind)), floats(tensor(fake, "fake", 2, kind))
        precise = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(precise), b.to(precise)
    else:
        a, b = images(real, "real"), images(fake, "fake")
    same_shape(a, b, "real", "fake")
    for x, name in ((a, "real"), (b, "fake")):
        if len(x) < least:
            raise ValueError(f"{name} holds {len(x)} samples: this score needs at least {least}")
    if extractor is None:
        return a, b
    network = _network(extractor)
    return _outputs(a, network, 100, "features"), _outputs(b, network, 100, "features")


def _network(extractor: Extractor) -> FeatureExtractor | Callable[[Tensor], Any]:
    if not isinstance(extractor, str):
        return extractor
    kind, _, data = extractor.partition(":")
    if extractor == "inception":
        from lit_ae.metrics.images.inception import InceptionExtractor

        return InceptionExtractor()
    if extractor == "lite0":
        from lit_ae.metrics.images.lite0 import Lite0Extractor

        return Lite0Extractor()
    if kind == "lenet" and data:
        return lenet(data)
    raise SettingError(
        f"there is no extractor {extractor!r}: choose inception, lite0, lenet:NAME (NAME being a labelled data set, as "
        "in lenet:digits), or a function from images to features"
    )


def _outputs(x: Tensor, extractor: Extractor, batch_size: int, kind: str) -> Tensor:
    """The extractor's `features` or `probs` for float images [N, C, H, W], float32 on the CPU."""
    if not len(x):
        raise ValueError("there are no images to score")
    network = _network(extractor)
    if isinstance(network, FeatureExtractor):
        out: Tensor = getattr(extract(network, x, batch_size), kind)
        return out.cpu()
    with torch.no_grad():
        parts = [torch.as_tensor(network(part)).cpu().float() for part in x.split(batch_size)]
    for part, given in zip(parts, x.split(batch_size), strict=True):
        if part.ndim != 2 or len(part) != len(given):
            raise ValueError(
                f"the extractor returns shape {list(part.shape)} for {len(given)} images: it must return "
                f"[{len(given)}, F]"
            )
    return tensor(torch.cat(parts), "the output of the extractor", 2, "features [B, F]")


def _named(name: str) -> BaseDataModule:
    from lit_ae.data import CIFAR10, MNIST, Digits, FashionMNIST, Shapes

    known = {cls.name: cls for cls in (CIFAR10, Digits, FashionMNIST, MNIST, Shapes)}  # labelled images
    if name not in known:
        raise SettingError(f"there is no data set {name!r}{near_match(name, sorted(known))}")
    return known[name]()
