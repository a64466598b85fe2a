"""Generated images of each class."""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, drawn, reconstruction_module, save_figure, shades
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.capabilities import Conditional
from lit_ae.models.chunks import decoded


class ClassSamples(ScoreCallback):
    """Figure `samples-by-class` of a conditional model: one row for each class, by its name, with the same
    codes in every row.

    The codes are drawn by the first sampler of `Evaluation`. Other models have no such figure.

    Args:
        n: number of images of each class.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "ClassSamples.{}", n=n)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        module = reconstruction_module(trainer)
        if not isinstance(module, Conditional):
            return {}
        samplers = evaluation.samplers(trainer)
        if not samplers:
            raise NotComputable("no sampler could be fitted to the training codes")
        name, sampler = next(iter(samplers.items()))
        z = sampler.sample(self.n, torch.Generator().manual_seed(evaluation.seed))
        rows, names = [], datamodule(trainer).class_names
        for label in range(module.classes):
            row = names[label] if names else str(label)
            rows.append((row, drawn(trainer, decoded(module, z, torch.full((self.n,), label)))))
        title = f"Samples by class, with the same codes from the {name} sampler in every row{shades(trainer)}"
        save_figure(trainer, plots.image_rows(rows, title), "samples-by-class")
        return {}
