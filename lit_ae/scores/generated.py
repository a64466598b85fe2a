"""How good generated images are: their features [M, F] against those of real images [N, F]."""

import torch
from torch import Tensor

from lit_ae.scores.arrays import Array, floats, same_shape, tensor
from lit_ae.scores.extractors import Extractor, feature_pair, features, probabilities


def fid(real: Array, fake: Array, extractor: Extractor | None = None) -> float:
    """Fréchet distance of Gaussians fitted to the features; lower is better, 0 at best.

    Heusel et al. 2017, equation 6. Few images bias it upwards: compare only distances that were measured with as many
    images and the same extractor.

    Args:
        real: images [N, C, H, W], or their features [N, F] if extractor is None.
        fake: generated images [M, C, H, W], or their features [M, F].
        extractor: see `features`; None if features are given.

    Raises:
        ValueError: fewer than 2 of a kind, or arrays that do not fit.

    >>> import lit_ae, torch
    >>> real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    >>> round(lit_ae.scores.fid(real, real + 3), 3)
    36.0
    """
    from lit_ae.metrics.images.frechet import FrechetDistance

    of_real, of_fake = _centred(*feature_pair(real, fake, extractor))
    metric = FrechetDistance(of_real.shape[1], sync_on_compute=False)
    metric.update(of_real, real=True)
    metric.update(of_fake, real=False)
    return float(metric.compute())


def fid_infinity(real: Array, fake: Array, extractor: Extractor | None = None, sizes: int = 15, seed: int = 0) -> float:
    """FID extrapolated to infinitely many generated images; lower is better (Chong & Forsyth 2020).

    Args:
        real: as for `fid`.
        fake: as for `fid`; at least 20.
        extractor: as for `fid`.
        sizes: numbers of images from M / 10 to M that the line is fitted to.
        seed: seed of the random choice of these images.

    Raises:
        ValueError: as for `fid`, fewer than 20 generated images, or fewer than 2 sizes.

    >>> import lit_ae, torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> real, fake = (torch.randn(n, 2, generator=generator) for n in (2000, 300))
    >>> lit_ae.scores.fid_infinity(real, fake) < lit_ae.scores.fid(real, fake) < 0.05
    True
    """
    from lit_ae.metrics.images.frechet import frechet_infinity

    return frechet_infinity(*_centred(*feature_pair(real, fake, extractor)), sizes, seed)


def kid(real: Array, fake: Array, extractor: Extractor | None = None, seed: int = 0) -> float:
    """Squared MMD under the kernel (x·y / F + 1)³; lower is better, about 0 at best (Bińkowski et al. 2018, section 4).

    The mean over disjoint random subsets of about 1,000 images. Unlike FID it is not biased by few images, and it may
    be below 0.

    Args:
        real: as for `fid`.
        fake: as for `fid`.
        extractor: as for `fid`.
        seed: seed of the random subsets.

    Raises:
        ValueError: as for `fid`.

    >>> import lit_ae, numpy as np
    >>> random = np.random.default_rng(0)
    >>> real, fake = random.normal(size=(500, 4)), random.normal(size=(500, 4))
    >>> abs(lit_ae.scores.kid(real, fake)) < 0.02 < lit_ae.scores.kid(real, fake + 1)
    True
    """
    from lit_ae.metrics.images.kernel_distance import kernel_distance

    return kernel_distance(*feature_pair(real, fake, extractor), seed).mean


def inception_score(
    fake: Array, extractor: Extractor | None = None, splits: int = 10, seed: int = 0
) -> dict[str, float]:
    """`is`, exp(E KL(p(y|x) ‖ p(y))), and `is_std`, its spread over splits; higher is better, from 1 to K.

    Salimans et al. 2016, section 4.

    Args:
        fake: generated images [N, C, H, W], or class probabilities [N, K] if extractor is None.
        extractor: as for `features`; a function has to map images to class probabilities [B, K].
        splits: random parts of the images whose scores' mean and standard deviation are given.
        seed: seed of the parts.

    Raises:
        ValueError: fewer than 2 images, fewer images than splits, or values that are not probabilities.

    >>> import lit_ae, torch
    >>> certain = torch.eye(4).repeat(10, 1)  # each of 4 classes equally often
    >>> lit_ae.scores.inception_score(certain, splits=1)
    {'is': 4.0, 'is_std': 0.0}
    >>> 3 < lit_ae.scores.inception_score(certain, splits=2)["is"] < 4
    True
    """
    from lit_ae.metrics.images.inception_score import InceptionScore

    probs = probabilities(fake, extractor)
    if len(probs) < 2:
        raise ValueError(f"fake holds {len(probs)} samples: this score needs at least 2")
    metric = InceptionScore(splits, sync_on_compute=False)
    order = torch.randperm(len(probs), generator=torch.Generator().manual_seed(seed))
    metric.update(probs[order])  # a part holds images of each class, also where the classes are given in turn
    mean, std = metric.compute()
    return {"is": mean.item(), "is_std": std.item()}


def precision_recall(real: Array, fake: Array, extractor: Extractor | None = None, k: int = 5) -> dict[str, float]:
    """`precision`, `recall`, `density` and `coverage` (Naeem et al. 2020, section 3); higher is better.

    Precision and density say how many generated samples lie near real ones, recall and coverage how much of the real
    samples is reached. All but the density are at most 1; the density is about 1 if both have the same distribution.

    Args:
        real: as for `fid`.
        fake: as for `fid`.
        extractor: as for `fid`.
        k: neighbours that fix the radius around each sample.

    Raises:
        ValueError: as for `fid`, or not more than k of a kind.

    >>> import lit_ae, numpy as np
    >>> real = np.random.default_rng(0).normal(size=(300, 2))
    >>> scores = lit_ae.scores.precision_recall(real, real[:100])
    >>> scores["precision"], scores["recall"] > 0.9
    (1.0, True)
    >>> lit_ae.scores.precision_recall(real, real + 100)
    {'precision': 0.0, 'recall': 0.0, 'density': 0.0, 'coverage': 0.0}
    """
    from lit_ae.metrics.images.manifold import Manifold

    of_real, of_fake = feature_pair(real, fake, extractor)
    return Manifold(of_real, k).scores(of_fake)


def train_distance_ratio(fake: Array, unseen: Array, train: Array, extractor: Extractor | None = None) -> float:
    """How near generated samples are to training samples, relative to unseen real ones; about 1 is good.

    The median distance of (1,000) generated samples to their nearest training sample, over that of (1,000) unseen real
    samples. Far below 1 they are copies of training samples.

    Args:
        fake: generated images [M, C, H, W], or their features [M, F] if extractor is None.
        unseen: real images that the model was not trained on, such as the test split's, or their features.
        train: images that it was trained on, or their features.
        extractor: as for `fid`.

    Raises:
        ValueError: as for `fid`, or unseen samples that are training samples.

    >>> import lit_ae, numpy as np
    >>> random = np.random.default_rng(0)
    >>> train, unseen, fake = (random.normal(size=(400, 3)) for _ in range(3))
    >>> 0.8 < lit_ae.scores.train_distance_ratio(fake, unseen, train) < 1.25
    True
    >>> lit_ae.scores.train_distance_ratio(train, unseen, train)
    0.0
    """
    from lit_ae.metrics.images.manifold import median_ratio, nearest_distances, spread

    of_unseen, of_fake = feature_pair(unseen, fake, extractor)
    if extractor is None:
        of_train = floats(tensor(train, "train", 2, "features [N, F], or images and an extractor"))
        kind = torch.promote_types(of_train.dtype, of_fake.dtype)
        of_train, of_fake, of_unseen = of_train.to(kind), of_fake.to(kind), of_unseen.to(kind)
    else:
        of_train = features(train, extractor)
    same_shape(of_fake, of_train, "fake", "train")
    distances = [nearest_distances(spread(x, 1000), of_train) for x in (of_fake, of_unseen)]
    return median_ratio(*distances)


def _centred(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both [N, F] minus the mean of the real ones in double precision: sums of squares far from 0 would lose digits."""
    centre = real.double().mean(0)
    return real - centre, fake - centre
