"""Samples and their reconstructions."""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import (
    drawn,
    first_images,
    first_labels,
    is_drawn,
    reconstruction_module,
    save_figure,
    shades,
)
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback


class ReconstructionGrid(ScoreCallback):
    """Figure `reconstructions`: the split's first images (top) and their reconstructions (bottom).

    Args:
        n: number of images.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "ReconstructionGrid.{}", n=n)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        module, x = reconstruction_module(trainer), first_images(trainer, self.n)
        with torch.no_grad():
            x_hat = module(x, first_labels(trainer, self.n))
        if is_drawn(trainer, "reconstructions"):
            rows = [("input", drawn(trainer, x)), ("output", drawn(trainer, x_hat))]
            title = f"Inputs (top) and reconstructions (bottom){shades(trainer)}"
            save_figure(trainer, plots.image_rows(rows, title), "reconstructions")
        return {}
