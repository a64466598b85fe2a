"""Generated images compared with the set of all valid images."""

import math
from typing import ClassVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.data.containers import ArrayDataset
from lit_ae.data.rows import PART
from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.evaluation.access import datamodule, on_device, save_figure, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.images.valid_set import HasValidSet, ValidSetDistance, ValidSetScores

POINTS = 50  # points of a curve


class ValidSet(ScoreCallback):
    """`nn_distance/SAMPLER`, `valid_share/SAMPLER`, `valid_coverage/SAMPLER` and `dkl_bits/SAMPLER`.

    Generated images are compared with all valid ones; see `ValidSetDistance`. `nn_distance` and `dkl_bits`: lower is
    better; `valid_share` and `valid_coverage`: higher is better. `unseen_coverage/SAMPLER` is the coverage of the valid
    images that are not in the training split; it is below `valid_coverage` if a sampler repeats training images. The
    data set has to know every valid image, as the shapes do. Scores of the validation split leave the images of the
    test split out of the valid ones, so that a search for settings sees nothing of them; `unseen_coverage` is then that
    of the validation images. Figure `coverage-by-n`: coverage by the first n generated images, and for comparison that
    of n uniform draws that are each close to one valid image, 1 - (1 - 1/V)^n.

    With `lowest_entropy`, the same scores are also logged as `NAME/SAMPLER/lowest_entropy` for the n images with the
    lowest pixel entropy Σ -x ln x - (1 - x) ln(1 - x) of n / lowest_entropy images. Blends of two valid images have a
    high entropy. Neither valid nor training images are used for the choice. As with truncation (Brock et al. 2019,
    section 3.1), images become more faithful but less varied.

    With `rounded`, the same scores are also logged as `NAME/SAMPLER/rounded` for the first few images with each pixel
    rounded to 0 or 1: a reading of the lost formulas of the publication on shapes, whose "coverage" is then
    `valid_share`.

    Args:
        threshold: Euclidean distance over pixels in [0, 1] within which a generated image counts as a valid one.
        n: number of images generated for each sampler; if null, as many as there are valid images.
        lowest_entropy: share of images that is kept, in (0, 1); if null, none of these scores is computed.
        rounded: number of images whose pixels are rounded, at most `n`; if null, none of these scores is computed.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `lowest_entropy` outside (0, 1), or `rounded` below 1 or above `n`.
    """

    version: ClassVar[int] = 3  # 2: names of the scores of the lowest-entropy images; 3: valid_share
    needs_images = True
    needs_unit_range = True
    needs_codes = False
    rank_zero = False

    def __init__(
        self,
        threshold: float = 3.0,
        n: int | None = None,
        lowest_entropy: float | None = None,
        rounded: int | None = None,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "ValidSet.{}", n=n)
        if lowest_entropy is not None and not 0 < lowest_entropy < 1:
            raise SettingError(
                f"ValidSet.lowest_entropy is {lowest_entropy}: it must lie between 0 and 1, both excluded"
            )
        if rounded is not None and not 1 <= rounded <= (n or rounded):
            raise SettingError(f"ValidSet.rounded is {rounded}: it must lie between 1 and the number of images, {n}")
        self.threshold, self.n, self.lowest_entropy, self.rounded = threshold, n, lowest_entropy, rounded

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores of each sampler."""
        data = datamodule(trainer)
        if not isinstance(data, HasValidSet):
            raise NotComputable(f"the set of all valid images is not known of {data.name}")
        images = data.valid_set()
        if split_name(trainer) == "val":
            images = images[~_are_in(images, data.split("test"))]
            if not len(images):
                raise NotComputable("all valid images are in the test split")
        unseen = ~_are_in(images, data.split("train"))
        valid = on_device(images, trainer.lightning_module)
        n = self.n or len(valid)
        steps = sorted({round(n * step / POINTS) for step in range(POINTS + 1)})
        values: dict[str, float] = {}
        metric = ValidSetDistance(valid, self.threshold).to(valid.device)

        def found(images: Tensor, places: Tensor, name: str) -> ValidSetScores:
            metric.reset()
            metric.update(images, places)
            scores = metric.compute()
            values.update({f"{key}/{name}": value for key, value in scores.values.items()})
            if "dkl_bits" not in scores.values:
                evaluation.leave_out("no generated image is close to a valid one", f"dkl_bits/{name}")
            if unseen.any():
                values[f"unseen_coverage/{name}"] = (scores.first[unseen] < n).double().mean().item()
            return scores

        coverage = {"uniform draws": [(float(k), 1 - (1 - 1 / len(valid)) ** k) for k in steps]}
        for name, sampler in evaluation.samplers(trainer).items():
            images = evaluation.generate(trainer, sampler, n).clamp_(0, 1)
            places = torch.arange(n)[trainer.global_rank :: trainer.world_size]
            scores = found(images, places, name)
            coverage[name] = [(float(k), scores.coverage(k)) for k in steps]
            if self.rounded:
                first = places < self.rounded
                found((images[first] >= 0.5).to(images), places[first], f"{name}/rounded")
            if self.lowest_entropy:
                images = evaluation.generate(trainer, sampler, math.ceil(n / self.lowest_entropy)).clamp_(0, 1)
                found(*lowest_entropy(images, n, trainer), f"{name}/lowest_entropy")
        title = f"Coverage of the {len(valid):,} valid images, within a distance of {self.threshold:g}"
        figure = plots.curves(coverage, "generated images", "share of valid images covered", title)
        save_figure(trainer, figure, "coverage-by-n")
        evaluation.protocol["valid_set"] = (
            f"{n:,} images per sampler compared with {len(valid):,} valid images by Euclidean distance over pixels in "
            f"[0, 1]; close: within {self.threshold:g}; valid images without a close one add nothing to dkl_bits"
        )
        if self.lowest_entropy:
            evaluation.protocol["lowest_entropy"] = (
                f"the {n:,} images with the lowest pixel entropy of {math.ceil(n / self.lowest_entropy):,}"
            )
        if self.rounded:
            evaluation.protocol["rounded"] = (
                f"the first {self.rounded:,} images, with pixels of at least 1/2 as 1 and others as 0"
            )
        return values


def _are_in(images: Tensor, split: ArrayDataset) -> Tensor:
    """Which of the images [V, *shape] the split holds, [V]."""
    held = {image.numpy().tobytes() for part in split.x.split(PART) for image in part}
    return torch.tensor([image.numpy().tobytes() in held for image in images])


def lowest_entropy(images: Tensor, n: int, trainer: Trainer) -> tuple[Tensor, Tensor]:
    """The n images with the lowest pixel entropy of all ranks' images: this rank's share of them, and their places."""
    entropy = torch.special.entr(images).flatten(1).sum(1) + torch.special.entr(1 - images).flatten(1).sum(1)
    kept = gather_in_order(entropy, trainer).argsort(stable=True)[:n].sort().values  # in the order of generation
    mine = kept % trainer.world_size == trainer.global_rank
    return images[kept[mine] // trainer.world_size], torch.arange(n)[mine]
