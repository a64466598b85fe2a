"""Images decoded while one code dimension is varied."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.errors import SettingError, require_at_least
from lit_ae.evaluation.access import drawn, is_drawn, save_figure, shades
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.chunks import decoded


def most_active(codes: Tensor, n: int) -> list[int]:
    """The n dimensions of mean codes [N, D] with the largest variance, largest first."""
    return codes.var(0, correction=0).argsort(descending=True, stable=True)[:n].tolist()


class Traversals(ScoreCallback):
    """Figure `traversals`: one row for each code dimension, which takes values from -limit to limit.

    Values are in standard deviations of the prior N(0, I) for models that are trained towards it dimension by dimension
    (VAEs), and for others, whose codes may have any scale, in standard deviations of each dimension over the split,
    around its mean; the figure says which. The other dimensions keep their value in the mean code of the split, or in
    the code of one sample. A conditional model is given the class of that sample (by default of the first one).

    Args:
        dimensions: the dimensions that are varied; if null, those with the largest variance of the mean code.
        n: number of dimensions if `dimensions` is null.
        limit: largest value.
        steps: number of values.
        sample: index in the split of the sample whose code is varied; if null, the mean code.
        figure: name of the figure, so that there can be several of these callbacks.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: no dimensions, a dimension or sample that does not exist, or a number below its bound.
    """

    needs_images = True

    def __init__(
        self,
        dimensions: list[int] | None = None,
        n: int = 10,
        limit: float = 3.0,
        steps: int = 7,
        sample: int | None = None,
        figure: str = "traversals",
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "Traversals.{}", n=n, steps=steps)
        require_at_least(0, "Traversals.{}", limit=limit)
        if dimensions == []:
            raise SettingError("Traversals.dimensions is empty: name dimensions, or give null for the most active ones")
        self.dimensions, self.n, self.limit, self.steps = dimensions, n, limit, steps
        self.sample, self.figure = sample, figure

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        module, (codes, labels) = module_of(trainer), evaluation.codes(trainer)
        chosen = most_active(codes, self.n) if self.dimensions is None else self.dimensions
        for setting, indices, size in (
            ("dimensions", chosen, codes.shape[1]),
            ("sample", [self.sample or 0], len(codes)),
        ):
            if not all(0 <= index < size for index in indices):
                raise SettingError(f"Traversals.{setting} is {indices}: each must lie from 0 to {size - 1}")
        start = codes.mean(0) if self.sample is None else codes[self.sample]
        values = torch.linspace(-self.limit, self.limit, self.steps)  # in standard deviations
        mean, std = codes.mean(0), codes.std(0, correction=0)
        if module.scaled_by_prior:
            mean, std = torch.zeros_like(mean), torch.ones_like(std)
        z = start.repeat(len(chosen), self.steps, 1)  # [rows, steps, D]
        for row, dimension in enumerate(chosen):
            z[row, :, dimension] = mean[dimension] + values * std[dimension]
        label = labels[self.sample or 0].repeat(z[..., 0].numel())
        images = drawn(trainer, decoded(module, z.flatten(0, 1), label))
        if not is_drawn(trainer, self.figure):
            return {}
        strips = images.unflatten(0, z.shape[:2])
        rows = [(f"z {dimension}", strip) for dimension, strip in zip(chosen, strips, strict=True)]
        scale = "the prior" if module.scaled_by_prior else "its own codes"
        below = {f"σ of {scale.split()[-1]}": [f"{value:.3g}".replace("-", "−") for value in values.tolist()]}
        origin = "the mean code" if self.sample is None else f"the code of sample {self.sample}"
        order = ", largest variance first" if self.dimensions is None and len(rows) > 1 else ""
        title = (
            f"Images decoded from {origin} with one dimension varied at a time{order}; values in standard deviations "
            f"of {scale}{'' if module.scaled_by_prior else ', around their mean'}{shades(trainer)}"
        )
        save_figure(trainer, plots.image_rows(rows, title, below=below), self.figure)
        return {}
