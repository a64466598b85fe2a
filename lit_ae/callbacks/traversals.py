"""What each code dimension draws."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.evaluation import (
    Evaluation,
    ScoreCallback,
    first_images,
    first_labels,
    save_figure,
)
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.errors import SettingError
from lit_ae.metrics.zeroing import zeroing_errors


def most_active(codes: Tensor, n: int) -> list[int]:
    """The n dimensions of mean codes [N, D] with the largest variance, largest first."""
    return codes.var(0, correction=0).argsort(descending=True, stable=True)[:n].tolist()


class Traversals(ScoreCallback):
    """Figure `traversals`: one row a code dimension, set to values from -limit to limit with the others kept.

    Values are in standard deviations of the prior N(0, I), whatever the codes' own scale is. The others stand at the
    mean code of the split, or at one sample's; a model that is told the class is told that sample's (the first one's).

    Args:
        dimensions: which; the most active ones (largest variance of the mean code) where null.
        n: how many, where `dimensions` is null.
        limit: largest value.
        steps: number of values.
        sample: index in the split of the sample whose code is varied; the mean code where null.
        figure: the figure's name, for more than one of these callbacks.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: a dimension or sample that is not there.
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
                raise SettingError(f"Traversals: {setting} {indices} must lie from 0 to {size - 1}")
        start = codes.mean(0) if self.sample is None else codes[self.sample]
        values = torch.linspace(-self.limit, self.limit, self.steps)
        z = start.repeat(len(chosen), self.steps, 1)  # [rows, steps, D]
        for row, dimension in enumerate(chosen):
            z[row, :, dimension] = values
        with torch.no_grad(), module.given(labels[self.sample or 0].to(module.device).repeat(z[..., 0].numel())):
            images = module.decode(z.flatten(0, 1).to(module.device)).float().clamp(0, 1).cpu()
        strips = images.unflatten(0, z.shape[:2])
        rows = [(f"z {dimension}", strip) for dimension, strip in zip(chosen, strips, strict=True)]
        below = {"value (prior σ)": [f"{value:.3g}".replace("-", "−") for value in values.tolist()]}
        origin = "the mean code" if self.sample is None else f"the code of sample {self.sample}"
        order = ", most active first" if self.dimensions is None and len(rows) > 1 else ""
        title = f"One dimension of {origin} varied at a time{order}"
        save_figure(trainer, plots.image_rows(rows, title, below=below), self.figure)
        return {}


class ZeroedDimensions(ScoreCallback):
    """`zeroed_mse_max`, the largest increase of the error over dimensions set to 0, and two figures.

    Figure `zeroed`: inputs, reconstructions, and reconstructions without one dimension each, those that matter most
    first, with the increase of the mean squared error. Figure `zeroed-mse`: that increase for every dimension. 0 is the
    prior's mean, and need not be that of a code without a prior.

    Args:
        dimensions: number of dimensions in the figure.
        n: images in the figure.
        max_images: the split's first images that the error is taken over.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, dimensions: int = 6, n: int = 8, max_images: int = 100, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.dimensions, self.n, self.max_images = dimensions, n, max_images

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Largest increase in squared pixels in [0, 1]."""
        module, x = module_of(trainer), first_images(trainer, self.max_images)
        with torch.no_grad(), module.given(first_labels(trainer, self.max_images)):
            z = module.encode(x).mu.float()
            increase = zeroing_errors(module.decode, z, x).cpu()  # [D]
            ranked = increase.sort(descending=True, stable=True)
            rows = [("input", x), ("output", module.decode(z))]
            for dimension, change in zip(*(part[: self.dimensions].tolist() for part in ranked[::-1]), strict=True):
                without = z.clone()
                without[:, dimension] = 0
                rows.append((f"z {dimension} = 0\nMSE {change:+.4f}".replace("-", "−"), module.decode(without)))
        rows = [(label, images[: self.n].float().clamp(0, 1).cpu()) for label, images in rows]
        save_figure(trainer, plots.image_rows(rows, "Reconstructions with one code dimension set to 0"), "zeroed")
        points = [(float(rank), value) for rank, value in enumerate(ranked.values.tolist(), 1)]
        title = "Increase of the error by the code dimension that is set to 0"
        curve = plots.curves(
            {"increase": points}, "code dimension, largest increase first", "MSE increase (pixel²)", title
        )
        save_figure(trainer, curve, "zeroed-mse")
        evaluation.protocol["zeroed"] = f"one dimension of the mean code set to 0, first {len(x):,} images"
        return {"zeroed_mse_max": ranked.values[0].item()}
