"""How good the images of every sampler are."""

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import (
    CHUNK,
    Evaluation,
    ScoreCallback,
    as_images,
    datamodule,
    gather_in_order,
)
from lit_ae.data.base import SplitName
from lit_ae.errors import SettingError
from lit_ae.metrics.extractors import FeatureExtractor, extract
from lit_ae.metrics.feature_cache import FeatureCache
from lit_ae.metrics.manifold import Manifold, median_ratio, nearest_distances, spread

COMPARED = 1000  # images of each kind whose nearest training image is looked for
UNBIASED = 10_000  # images from which on FIDs are commonly compared


class GenerationScores(ScoreCallback):
    """Scores of every sampler's images, with the protocol that gives them meaning. Reference: the split at hand.

    - `fid/SAMPLER`: Heusel et al. 2017, equation 6; `is/SAMPLER`, `is_std/SAMPLER`: Salimans et al. 2016, section 4.
    - `kid/SAMPLER`, `kid_std/SAMPLER`: see `metrics.kernel_distance`; not biased by few images, as FID is.
    - `precision/`, `recall/`, `density/`, `coverage/SAMPLER`: Naeem et al. 2020, k = 5; see `metrics.manifold`.
    - `train_distance_ratio/SAMPLER`: median feature distance of generated images to their nearest training image, over
      that of the reference split's images to theirs. About 1 where generated images are as new as unseen ones; far
      below, they are copies of training images (or all alike and near the middle of a class: see recall).
    - `fid_infinity/SAMPLER`, where asked for: see `metrics.frechet.frechet_infinity`.

    A score that some data do not have is left out, and the protocol says why.

    Args:
        extractor: `lenet`, trained on the data's own labels, or `inception`; never mixed in one table.
        inception_weights: file of the torch-fidelity Inception weights; torchmetrics' download where null.
        n: images generated for each sampler; as many as the reference split holds where null.
        splits: of the Inception Score.
        fid_sizes: numbers of images at which FID is taken for `fid_infinity`; the authors take 15; 0 leaves it out.
        train_images: the training split's first images that are looked through for copies; all where null; 0 leaves
            `train_distance_ratio` out, which saves a pass of the extractor over that split (once: they are kept).
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `fid_sizes` is 1 or negative, or `train_images` negative.
    """

    needs_images = True
    needs_codes = False
    rank_zero = False

    def __init__(
        self,
        extractor: Literal["lenet", "inception"] = "lenet",
        inception_weights: str | None = None,
        n: int | None = None,
        splits: int = 10,
        fid_sizes: int = 0,
        train_images: int | None = None,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        if fid_sizes < 0 or fid_sizes == 1:
            raise SettingError(f"fid_sizes of GenerationScores is {fid_sizes}: it must be 0 (none) or at least 2")
        if train_images is not None and train_images < 0:
            raise SettingError(f"train_images of GenerationScores is {train_images}: it must be null, 0 or positive")
        self.extractor, self.inception_weights, self.n, self.splits = extractor, inception_weights, n, splits
        self.fid_sizes, self.train_images = fid_sizes, train_images

    def _extractor(self, trainer: Trainer) -> FeatureExtractor:
        device = trainer.strategy.root_device
        if self.extractor == "inception":
            from lit_ae.metrics.inception import InceptionExtractor

            return InceptionExtractor(self.inception_weights).to(device)
        from lit_ae.metrics.lenet import LeNetExtractor

        with torch.inference_mode(False), torch.enable_grad():  # it may have to be trained first
            return LeNetExtractor.for_data(datamodule(trainer), device)

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """All scores of each sampler."""
        from lit_ae.metrics.frechet import FrechetDistance
        from lit_ae.metrics.inception_score import InceptionScore

        extractor = self._extractor(trainer)
        split: SplitName = "test" if trainer.testing else "val"
        real = _features(trainer, extractor, split)
        n = self.n or len(real)
        evaluation.protocol |= {
            **extractor.description(),
            "generated": f"{n:,} images a sampler",
            "reference": f"{split} split, {len(real):,} images",
            "inception_score_splits": self.splits,
        }
        fewest = min(n, len(real))
        if fewest < max(UNBIASED, 5 * extractor.num_features):
            evaluation.protocol["fid_bias"] = (
                f"{fewest:,} images bias FID upwards: it compares with FIDs of as many images alone; KID is unbiased"
            )
        train = None if self.train_images == 0 else _features(trainer, extractor, "train")[: self.train_images]
        others = _Others(evaluation, real.to(extractor.device), train, split, self.fid_sizes)
        values: dict[str, float] = {}
        for name, sampler in evaluation.samplers(trainer).items():
            fake = extract(extractor, evaluation.generate(trainer, sampler, n), progress=f"features of {name} samples")
            fid = FrechetDistance(extractor.num_features).to(extractor.device)
            fid.update(others.real[trainer.global_rank :: trainer.world_size], real=True)
            fid.update(fake.features, real=False)
            score = InceptionScore(self.splits).to(extractor.device)
            score.update(fake.probs)
            mean, std = score.compute()
            found = {"fid": fid.compute().item(), "is": mean.item(), "is_std": std.item()}
            whole = gather_in_order(fake.features.cpu(), trainer)
            found |= trainer.strategy.broadcast(others.scores(whole) if trainer.is_global_zero else {})
            values |= {f"{key}/{name}": value for key, value in found.items()}
        return values


class _Others:
    """Scores that need all features at once; made on rank 0.

    Args:
        evaluation: whose protocol they state themselves in.
        real: reference features [N, F].
        train: features [T, F] of training images, None where they are not asked for.
        split: name of the reference split.
        fid_sizes: as for `GenerationScores`.
    """

    def __init__(
        self, evaluation: Evaluation, real: Tensor, train: Tensor | None, split: SplitName, fid_sizes: int
    ) -> None:
        self.evaluation, self.real, self.split, self.fid_sizes = evaluation, real, split, fid_sizes
        self.train = None if train is None else train.to(real.device)

    def scores(self, fake: Tensor) -> dict[str, float]:
        """Scores by name of features [M, F]; those that they do not have are named in the protocol."""
        parts: dict[str, Callable[[Tensor], dict[str, float]]] = {"kid": self._kid, "manifold": self._manifold}
        if self.train is not None:
            parts["train_distance_ratio"] = self._train_distance_ratio
        if self.fid_sizes:
            parts["fid_infinity"] = self._fid_infinity
        values: dict[str, float] = {}
        for name, part in parts.items():
            try:
                values |= part(fake.to(self.real.device))
            except ValueError as error:
                self.evaluation.protocol[name] = f"none: {error}"
        return values

    def _kid(self, fake: Tensor) -> dict[str, float]:
        from lit_ae.metrics.kernel_distance import kernel_distance

        kid = kernel_distance(self.real, fake, self.evaluation.seed)
        self.evaluation.protocol["kid"] = f"unbiased, (x·y / F + 1)³, {kid.subsets} disjoint subsets of {kid.size:,}"
        return {"kid": kid.mean, "kid_std": kid.std}

    @cached_property
    def _real_manifold(self) -> Manifold:
        return Manifold(self.real)

    def _manifold(self, fake: Tensor) -> dict[str, float]:
        note = "precision, recall, density, coverage in feature space; open balls to the neighbour k ="
        self.evaluation.protocol["manifold"] = f"{note} {self._real_manifold.k}"
        return self._real_manifold.scores(fake)

    @cached_property
    def _unseen_distances(self) -> Tensor:
        assert self.train is not None
        return nearest_distances(spread(self.real, COMPARED), self.train)  # all over the split, which may be sorted

    def _train_distance_ratio(self, fake: Tensor) -> dict[str, float]:
        assert self.train is not None
        some = spread(fake, COMPARED)
        ratio = median_ratio(nearest_distances(some, self.train), self._unseen_distances)
        self.evaluation.protocol["train_distance_ratio"] = (
            f"median feature distance to the nearest of {len(self.train):,} training images: {len(some):,} generated "
            f"images over {len(self._unseen_distances):,} of the {self.split} split"
        )
        return {"train_distance_ratio": ratio}

    def _fid_infinity(self, fake: Tensor) -> dict[str, float]:
        from lit_ae.metrics.frechet import frechet_infinity

        value = frechet_infinity(self.real, fake, self.fid_sizes, self.evaluation.seed)
        self.evaluation.protocol["fid_infinity"] = (
            f"line through FID at {self.fid_sizes} numbers of images up to {len(fake):,}, all {len(self.real):,} real"
        )
        return {"fid_infinity": value}


def _features(trainer: Trainer, extractor: FeatureExtractor, split: SplitName) -> Tensor:
    """Features [N, F] of a whole split in its order, on every rank; kept on disk by the first."""
    data = datamodule(trainer)
    cache = FeatureCache(extractor, data, split)
    kept: Tensor | None = trainer.strategy.broadcast(cache.read() if trainer.is_global_zero else None)
    if kept is not None:
        return kept
    shares = data.split(split).x[trainer.global_rank :: trainer.world_size].split(10 * CHUNK)
    found = [
        extract(extractor, as_images(x, trainer.lightning_module), progress=f"features of the {split} split").features
        for x in shares
    ]
    features = gather_in_order(torch.cat(found).cpu(), trainer)
    if trainer.is_global_zero:
        cache.write(features)
    return features
