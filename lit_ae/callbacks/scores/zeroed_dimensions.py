"""What each code dimension contributes to the reconstruction."""

from functools import partial

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import drawn, first_images, first_labels, is_drawn, save_figure, shades
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.zeroing import zeroing_errors


class ZeroedDimensions(ScoreCallback):
    """`zeroed_mse_max`, the largest increase of the error when one code dimension is set to 0, and two figures.

    Figure `zeroed`: inputs, reconstructions, and reconstructions with one dimension set to 0, those with the largest
    increase of the mean squared error first. Figure `zeroed-mse`: this increase for every dimension. 0 is the mean of
    the prior; the codes of a model without a prior may have another mean.

    Args:
        dimensions: number of dimensions in the figure.
        n: number of images in the figure.
        max_images: number of images over which the error is computed, the first ones of the split.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, dimensions: int = 6, n: int = 8, max_images: int = 100, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "ZeroedDimensions.{}", dimensions=dimensions, n=n, max_images=max_images)
        self.dimensions, self.n, self.max_images = dimensions, n, max_images

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Largest increase in squared pixels."""
        module, x = module_of(trainer), first_images(trainer, self.max_images)
        y = first_labels(trainer, self.max_images)
        decode = partial(module.decode, y=y)
        with torch.no_grad():
            z = module.encode(x, y).mu.float()
            increase = zeroing_errors(decode, z, x).cpu()  # [D]
            ranked = increase.sort(descending=True, stable=True)
            rows = [("input", x), ("output", decode(z))]
            for dimension, change in zip(*(part[: self.dimensions].tolist() for part in ranked[::-1]), strict=True):
                without = z.clone()
                without[:, dimension] = 0
                rows.append((f"z {dimension} = 0\nMSE {change:+.4f}".replace("-", "−"), decode(without)))
        if is_drawn(trainer, "zeroed"):
            rows = [(label, drawn(trainer, images[: self.n])) for label, images in rows]
            title = f"Reconstructions with one code dimension set to 0{shades(trainer)}"
            save_figure(trainer, plots.image_rows(rows, title), "zeroed")
        if is_drawn(trainer, "zeroed-mse"):
            points = [(float(rank), value) for rank, value in enumerate(ranked.values.tolist(), 1)]
            title = "Increase of the error when one code dimension is set to 0"
            xlabel, ylabel = "code dimension, largest increase first", "MSE increase (pixel²)"
            save_figure(trainer, plots.curves({"increase": points}, xlabel, ylabel, title), "zeroed-mse")
        evaluation.protocol["zeroed"] = f"one dimension of the mean code set to 0 at a time, first {len(x):,} images"
        return {"zeroed_mse_max": ranked.values[0].item()}
