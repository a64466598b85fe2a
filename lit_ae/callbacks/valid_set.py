"""Are the generated images among those that there can be, and are they all of them?"""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule, save_figure
from lit_ae.metrics.valid_set import HasValidSet, ValidSetDistance

POINTS = 50  # of a curve


class ValidSet(ScoreCallback):
    """`nn_distance/SAMPLER`, `valid_coverage/SAMPLER` and `dkl_bits/SAMPLER` against all valid images.

    What each is stands in `ValidSetDistance`. `unseen_coverage/SAMPLER` is the coverage of the valid images that are
    not in the training split: lower than that of all where a sampler repeats what was trained on. Only where the data
    know every valid image, as the shapes do. Figure `coverage-by-n`: coverage by the first n generated images, beside
    that of n uniform draws that come near one valid image each, 1 - (1 - 1/V)^n.

    Args:
        threshold: Euclidean distance over pixels in [0, 1] within which a generated image counts as a valid one.
        n: images generated for each sampler; as many as there are valid ones where null.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True
    needs_codes = False
    rank_zero = False

    def __init__(self, threshold: float = 3.0, n: int | None = None, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.threshold, self.n = threshold, n

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
        coverage = {"uniform draws": [(float(k), 1 - (1 - 1 / len(valid)) ** k) for k in steps]}
        for name, sampler in evaluation.samplers(trainer).items():
            metric = ValidSetDistance(valid, self.threshold).to(valid.device)
            images = evaluation.generate(trainer, sampler, n)
            metric.update(images, torch.arange(n)[trainer.global_rank :: trainer.world_size])
            found = metric.compute()
            values |= {f"{key}/{name}": value for key, value in found.values.items()}
            if unseen.any():
                values[f"unseen_coverage/{name}"] = (found.first[unseen] < n).double().mean().item()
            coverage[name] = [(float(k), found.coverage(k)) for k in steps]
        title = f"Coverage of the {len(valid):,} valid images within distance {self.threshold:g}"
        figure = plots.curves(coverage, "generated images", "share of valid images covered", title)
        save_figure(trainer, figure, "coverage-by-n")
        evaluation.protocol["valid_set"] = (
            f"{n:,} images a sampler against {len(valid):,} valid ones, Euclidean distance over pixels in [0, 1], "
            f"near within {self.threshold:g}; counts of 0 add nothing to dkl_bits"
        )
        return values
