"""Quality of the images that every sampler generates."""

from collections.abc import Callable
from functools import cached_property
from typing import Literal

from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import SplitName
from lit_ae.errors import SettingError, require_at_least
from lit_ae.evaluation.access import scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.evaluation.shared_classifier import lenet_of
from lit_ae.evaluation.split_features import split_features
from lit_ae.metrics.images.extractors import FeatureExtractor, extract
from lit_ae.metrics.images.manifold import Manifold, median_ratio, nearest_distances, spread

COMPARED = 1000  # generated and reference images whose nearest training image is searched
UNBIASED = 10_000  # images that published FIDs usually have at least


class GenerationScores(ScoreCallback):
    """Scores of every sampler's images, compared with the split being scored, and the protocol of these scores.

    - `fid/SAMPLER`: Heusel et al. 2017, equation 6; lower is better. Compare it only with FIDs of the same extractor on
      the same data: docs/fid.md has measured what it reacts to.
    - `fid_normalised/SAMPLER`: the FID divided by the trace of the covariance of the reference features
      (`total_variance`), so that the scale of the features no longer matters; lower is better.
    - `is/SAMPLER`, `is_std/SAMPLER`: Inception Score, Salimans et al. 2016, section 4; higher is better.
    - `kid/SAMPLER`, `kid_std/SAMPLER`: see `kernel_distance`; lower is better. Unlike FID it is not biased if there are
      few images.
    - `precision/`, `recall/`, `density/`, `coverage/SAMPLER`: Naeem et al. 2020, k = 5, see `Manifold`; higher is
      better.
    - `train_distance_ratio/SAMPLER`: median feature distance of generated images to their nearest training image,
      divided by the same median of the reference images. About 1: generated images are as far from the training images
      as unseen real images are. Far below 1: they are copies of training images, or they are all alike and near the
      centre of a class (then recall is low as well).
    - `fid_infinity/SAMPLER`, on request: see `frechet_infinity`; lower is better.

    Args:
        extractor: `lenet`, trained on the data set's own labels, or `inception`; never mix both in one table.
        inception_weights: file of the torch-fidelity Inception weights; if null, torchmetrics' download.
        n: number of images generated for each sampler; if null, as many as there are reference images.
        splits: number of splits of the Inception Score.
        fid_sizes: number of sample sizes at which FID is computed for `fid_infinity` (15 in the paper); 0 leaves
            `fid_infinity` out.
        train_images: number of training images among which copies are searched, the first ones of the split; if null,
            all; 0 leaves `train_distance_ratio` out. Their features are computed once and cached.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `fid_sizes` is 1 or negative, or `train_images` negative.
    """

    version = 2  # fid_normalised
    needs_images = True
    needs_unit_range = True
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
        require_at_least(1, "GenerationScores.{}", n=n, splits=splits)
        if fid_sizes < 0 or fid_sizes == 1:
            raise SettingError(
                f"GenerationScores.fid_sizes is {fid_sizes}: it must be 0 (no fid_infinity) or at least 2"
            )
        if train_images is not None and train_images < 0:
            raise SettingError(f"GenerationScores.train_images is {train_images}: it must be null, 0 or positive")
        self.extractor, self.inception_weights, self.n, self.splits = extractor, inception_weights, n, splits
        self.fid_sizes, self.train_images = fid_sizes, train_images

    def _extractor(self, trainer: Trainer) -> FeatureExtractor:
        if self.extractor == "inception":
            from lit_ae.metrics.images.inception import InceptionExtractor

            return InceptionExtractor(self.inception_weights).to(trainer.strategy.root_device)
        return lenet_of(trainer)

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """All scores of each sampler."""
        from lit_ae.metrics.images.frechet import FrechetDistance, total_variance
        from lit_ae.metrics.images.inception_score import InceptionScore

        extractor = self._extractor(trainer)
        split: SplitName = split_name(trainer)
        real = split_features(trainer, extractor, split)[: len(scored_split(trainer))]
        n = self.n or len(real)
        evaluation.protocol |= {
            **extractor.description(),
            "generated": f"{n:,} images per sampler",
            "reference": f"{split} split, {len(real):,} images",
            "inception_score_splits": self.splits,
            "fid": (
                "depends on the extractor's own training and does not compare between data sets; a lower FID need not "
                "mean that no class is missing (measured in docs/fid.md)"
            ),
            "fid_normalised": "the FID divided by the trace of the covariance of the reference features",
        }
        variance = total_variance(real)
        fewest = min(n, len(real))
        if fewest < max(UNBIASED, 5 * extractor.num_features):
            evaluation.protocol["fid_bias"] = (
                f"{fewest:,} images are few, which biases FID upwards: compare it only with FIDs of as many images; "
                "KID is unbiased"
            )
        train = None if self.train_images == 0 else split_features(trainer, extractor, "train")[: self.train_images]
        others = _Others(evaluation, real.to(extractor.device), train, split, self.fid_sizes)
        values: dict[str, float] = {}
        for name, sampler in evaluation.samplers(trainer).items():
            fake = extract(extractor, evaluation.generate(trainer, sampler, n), progress=f"features of {name} samples")
            fid = FrechetDistance(extractor.num_features).to(extractor.device)
            fid.update(others.real[trainer.global_rank :: trainer.world_size], real=True)
            fid.update(fake.features, real=False)
            score = InceptionScore(self.splits).to(extractor.device)
            score.update(fake.probs)
            found: dict[str, float] = {}
            with evaluation.leaving_out(f"fid/{name}", f"fid_normalised/{name}"):
                found["fid"] = fid.compute().item()
            if found and variance > 0:
                found["fid_normalised"] = found["fid"] / variance
            elif found:
                evaluation.leave_out("all reference images have the same features", f"fid_normalised/{name}")
            with evaluation.leaving_out(f"is/{name}", f"is_std/{name}"):
                mean, std = score.compute()
                found |= {"is": mean.item(), "is_std": std.item()}
            whole = gather_in_order(fake.features.cpu(), trainer)
            found |= trainer.strategy.broadcast(others.scores(whole, name) if trainer.is_global_zero else {})
            values |= {f"{key}/{name}": value for key, value in found.items()}
        return values


class _Others:
    """Scores that need all features at once; they are computed on rank 0.

    Args:
        evaluation: the holder of the protocol, to which they add their own.
        real: reference features [N, F].
        train: features [T, F] of training images, None if `train_distance_ratio` is left out.
        split: name of the reference split.
        fid_sizes: as for `GenerationScores`.
    """

    def __init__(
        self, evaluation: Evaluation, real: Tensor, train: Tensor | None, split: SplitName, fid_sizes: int
    ) -> None:
        self.evaluation, self.real, self.split, self.fid_sizes = evaluation, real, split, fid_sizes
        self.train = None if train is None else train.to(real.device)

    def scores(self, fake: Tensor, sampler: str) -> dict[str, float]:
        """Scores by name of a sampler's features [M, F]; each that cannot be had is left out with its reason."""
        parts: dict[tuple[str, ...], Callable[[Tensor], dict[str, float]]] = {
            ("kid", "kid_std"): self._kid,
            ("precision", "recall", "density", "coverage"): self._manifold,
        }
        if self.train is not None:
            parts[("train_distance_ratio",)] = self._train_distance_ratio
        if self.fid_sizes:
            parts[("fid_infinity",)] = self._fid_infinity
        values: dict[str, float] = {}
        for names, part in parts.items():
            with self.evaluation.leaving_out(*(f"{name}/{sampler}" for name in names)):
                values |= part(fake.to(self.real.device))
        return values

    def _kid(self, fake: Tensor) -> dict[str, float]:
        from lit_ae.metrics.images.kernel_distance import kernel_distance

        kid = kernel_distance(self.real, fake, self.evaluation.seed)
        self.evaluation.protocol["kid"] = (
            f"unbiased estimate, kernel (x·y / F + 1)³, mean over {kid.subsets} disjoint subsets of {kid.size:,} images"
            ", not multiplied by 1,000; its size depends on the scale of the extractor's features"
        )
        return {"kid": kid.mean, "kid_std": kid.std}

    @cached_property
    def _real_manifold(self) -> Manifold:
        return Manifold(self.real)

    def _manifold(self, fake: Tensor) -> dict[str, float]:
        self.evaluation.protocol["manifold"] = (
            "precision, recall, density, coverage in feature space; open balls up to the nearest neighbour number "
            f"{self._real_manifold.k}"
        )
        return self._real_manifold.scores(fake)

    @cached_property
    def _unseen_distances(self) -> Tensor:
        assert self.train is not None
        return nearest_distances(spread(self.real, COMPARED), self.train)  # at equal steps: the split may be sorted

    def _train_distance_ratio(self, fake: Tensor) -> dict[str, float]:
        assert self.train is not None
        some = spread(fake, COMPARED)
        ratio = median_ratio(nearest_distances(some, self.train), self._unseen_distances)
        self.evaluation.protocol["train_distance_ratio"] = (
            f"median feature distance to the nearest of {len(self.train):,} training images, of {len(some):,} "
            f"generated images divided by that of {len(self._unseen_distances):,} images of the {self.split} split"
        )
        return {"train_distance_ratio": ratio}

    def _fid_infinity(self, fake: Tensor) -> dict[str, float]:
        from lit_ae.metrics.images.frechet import frechet_infinity

        value = frechet_infinity(self.real, fake, self.fid_sizes, self.evaluation.seed)
        self.evaluation.protocol["fid_infinity"] = (
            f"extrapolated from FID at {self.fid_sizes} numbers of generated images up to {len(fake):,}, each with all "
            f"{len(self.real):,} real images"
        )
        return {"fid_infinity": value}
