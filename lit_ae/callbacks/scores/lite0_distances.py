"""Distances of generated images from real ones, in features of a network that was trained on ImageNet."""

from lightning.pytorch import Trainer

from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.evaluation.split_features import split_features
from lit_ae.metrics.images.extractors import extract


class Lite0Distances(ScoreCallback):
    """`fd_lite0/SAMPLER`, `kid_lite0/SAMPLER` and `kid_lite0_std/SAMPLER` of every sampler's images; lower is better.

    The Fréchet distance and the kernel distance (see `kernel_distance`) between features of EfficientNet-Lite0. They
    are no FID and no KID, which are those of Inception: compare them only with each other, on the same data, with as
    many images. Unlike those of `GenerationScores` their network is the same for all data sets, needs no labels and has
    seen colour photographs; docs/fid.md has measured what they react to.

    Args:
        n: number of images generated for each sampler; if null, as many as there are reference images.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: the package that holds the weights is not installed.
    """

    needs_images = True
    needs_unit_range = True
    needs_codes = False
    rank_zero = False

    def __init__(self, n: int | None = None, every_n_epochs: int = 0) -> None:
        from lit_ae.metrics.images.lite0 import weights_file

        super().__init__(every_n_epochs)
        require_at_least(1, "Lite0Distances.{}", n=n)
        weights_file()  # refuse it before the training, not after
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Both distances of each sampler."""
        from lit_ae.metrics.images.frechet import FrechetDistance
        from lit_ae.metrics.images.kernel_distance import kernel_distance
        from lit_ae.metrics.images.lite0 import Lite0Extractor

        extractor, split = Lite0Extractor().to(trainer.strategy.root_device), split_name(trainer)
        real = split_features(trainer, extractor, split)[: len(scored_split(trainer))].to(extractor.device)
        n = self.n or len(real)
        evaluation.protocol |= {f"lite0_{key}": value for key, value in extractor.description().items()}
        evaluation.protocol["fd_lite0"] = (
            f"Fréchet distance of {n:,} generated and {len(real):,} real images of the {split} split. It is no FID and "
            "does not compare with published ones: another network, trained on ImageNet at 224 px, sees the images "
            "enlarged or reduced. Few images bias it upwards, fewer than 1,281 strongly: compare it only at as many"
        )
        values: dict[str, float] = {}
        for name, sampler in evaluation.samplers(trainer).items():
            images = evaluation.generate(trainer, sampler, n)
            fake = extract(extractor, images, progress=f"lite0 features of {name} samples").features
            with evaluation.leaving_out(f"fd_lite0/{name}"):
                distance = FrechetDistance(extractor.num_features).to(extractor.device)
                distance.update(real[trainer.global_rank :: trainer.world_size], real=True)
                distance.update(fake, real=False)
                values[f"fd_lite0/{name}"] = distance.compute().item()
            whole = gather_in_order(fake.cpu(), trainer).to(extractor.device)
            with evaluation.leaving_out(f"kid_lite0/{name}", f"kid_lite0_std/{name}"):
                kid = kernel_distance(real, whole, evaluation.seed)
                values |= {f"kid_lite0/{name}": kid.mean, f"kid_lite0_std/{name}": kid.std}
                evaluation.protocol["kid_lite0"] = (
                    f"unbiased estimate, kernel (x·y / F + 1)³, mean over {kid.subsets} disjoint subsets of "
                    f"{kid.size:,} images, not multiplied by 1,000"
                )
        return values
