"""Generated images by class."""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, reconstruction_module, save_figure
from lit_ae.models.conditional import ConditionalAE


class ClassSamples(ScoreCallback):
    """Figure `samples-by-class` of a conditional model: a row a class, the same codes of the first sampler in each.

    Args:
        n: images a class.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        module = reconstruction_module(trainer)
        if not isinstance(module, ConditionalAE):
            return {}
        name, sampler = next(iter(evaluation.samplers(trainer).items()))
        z = sampler.sample(self.n, torch.Generator().manual_seed(evaluation.seed)).to(module.device)
        rows = []
        for label in range(module.decoder.num_classes):
            with torch.no_grad(), module.given(torch.full((self.n,), label, device=module.device)):
                rows.append((str(label), module.decode(z).float().cpu().clamp(0, 1)))
        title = f"Samples by class, the same codes from the {name} sampler in each row"
        save_figure(trainer, plots.image_rows(rows, title), "samples-by-class")
        return {}
