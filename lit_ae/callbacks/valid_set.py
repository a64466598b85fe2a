"""Are the generated images among those that there can be, and are they all of them?"""

import math

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.evaluation import (
    Evaluation,
    ScoreCallback,
    as_images,
    datamodule,
    gather_in_order,
    save_figure,
)
from lit_ae.errors import SettingError
from lit_ae.metrics.valid_set import HasValidSet, ValidSetDistance, ValidSetScores

POINTS = 50  # of a curve


class ValidSet(ScoreCallback):
    """`nn_distance/SAMPLER`, `valid_coverage/SAMPLER` and `dkl_bits/SAMPLER` against all valid images.

    What each is stands in `ValidSetDistance`. `unseen_coverage/SAMPLER` is the coverage of the valid images that are
    not in the training split: lower than that of all where a sampler repeats what was trained on. Only where the data
    know every valid image, as the shapes do. Figure `coverage-by-n`: coverage by the first n generated images, beside
    that of n uniform draws that come near one valid image each, 1 - (1 - 1/V)^n.

    With `surest`, the same under `NAME/SAMPLER/surest` for the n images of which the decoder is surest, out of
    n / surest: those of least entropy Σ -x ln x - (1 - x) ln(1 - x) over pixels. Blends of two valid images have a high
    one. Neither valid nor training images are looked at; fidelity is bought with variety, as by truncation (Brock et
    al. 2019, section 3.1).

    Args:
        threshold: Euclidean distance over pixels in [0, 1] within which a generated image counts as a valid one.
        n: images generated for each sampler; as many as there are valid ones where null.
        surest: share that is kept, in (0, 1); null for none of these scores.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `surest` outside (0, 1).
    """

    needs_images = True
    needs_codes = False
    rank_zero = False

    def __init__(
        self, threshold: float = 3.0, n: int | None = None, surest: float | None = None, every_n_epochs: int = 0
    ) -> None:
        super().__init__(every_n_epochs)
        if surest is not None and not 0 < surest < 1:
            raise SettingError(f"surest of ValidSet is {surest}: it must lie between 0 and 1, both excluded")
        self.threshold, self.n, self.surest = threshold, n, surest

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores of each sampler."""
        data = datamodule(trainer)
        if not isinstance(data, HasValidSet):
            return {}
        valid = as_images(data.valid_set(), trainer.lightning_module)
        n = self.n or len(valid)
        seen = {image.numpy().tobytes() for image in data.split("train").x}
        unseen = torch.tensor([image.numpy().tobytes() not in seen for image in data.valid_set()])
        steps = sorted({round(n * step / POINTS) for step in range(POINTS + 1)})
        values: dict[str, float] = {}

        def found(images: Tensor, places: Tensor, name: str) -> ValidSetScores:
            metric = ValidSetDistance(valid, self.threshold).to(valid.device)
            metric.update(images, places)
            scores = metric.compute()
            values.update({f"{key}/{name}": value for key, value in scores.values.items()})
            if unseen.any():
                values[f"unseen_coverage/{name}"] = (scores.first[unseen] < n).double().mean().item()
            return scores

        coverage = {"uniform draws": [(float(k), 1 - (1 - 1 / len(valid)) ** k) for k in steps]}
        for name, sampler in evaluation.samplers(trainer).items():
            images = evaluation.generate(trainer, sampler, n)
            scores = found(images, torch.arange(n)[trainer.global_rank :: trainer.world_size], name)
            coverage[name] = [(float(k), scores.coverage(k)) for k in steps]
            if self.surest:
                images = evaluation.generate(trainer, sampler, math.ceil(n / self.surest))
                found(*_surest(images, n, trainer), f"{name}/surest")
        title = f"Coverage of the {len(valid):,} valid images within distance {self.threshold:g}"
        figure = plots.curves(coverage, "generated images", "share of valid images covered", title)
        save_figure(trainer, figure, "coverage-by-n")
        evaluation.protocol["valid_set"] = (
            f"{n:,} images a sampler against {len(valid):,} valid ones, Euclidean distance over pixels in [0, 1], "
            f"near within {self.threshold:g}; counts of 0 add nothing to dkl_bits"
        )
        if self.surest:
            evaluation.protocol["surest"] = (
                f"the {n:,} images of least pixel entropy out of {math.ceil(n / self.surest):,}"
            )
        return values


def _surest(images: Tensor, n: int, trainer: Trainer) -> tuple[Tensor, Tensor]:
    """Of all ranks' images the n of least entropy over pixels: this rank's share of them, and their places."""
    entropy = torch.special.entr(images).flatten(1).sum(1) + torch.special.entr(1 - images).flatten(1).sum(1)
    kept = gather_in_order(entropy, trainer).argsort(stable=True)[:n].sort().values  # in the order of generation
    mine = kept % trainer.world_size == trainer.global_rank
    return images[kept[mine] // trainer.world_size], torch.arange(n)[mine]
