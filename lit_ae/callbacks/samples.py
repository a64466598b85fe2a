"""Generated images."""

from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, save_figure


class SamplesGrid(ScoreCallback):
    """Figures `samples-SAMPLER`: images decoded from codes that each sampler draws.

    Args:
        n: number of images, drawn in rows of ten.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True
    needs_codes = False
    rank_zero = False  # every rank draws its share of the same codes; rank 0's are shown

    def __init__(self, n: int = 50, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figures; no values."""
        for name, sampler in evaluation.samplers(trainer).items():
            images = evaluation.generate(trainer, sampler, self.n * trainer.world_size)
            title = f"Samples, codes from the {name} sampler"
            save_figure(trainer, plots.image_grid(images[: self.n], title, columns=10), f"samples-{name}")
        return {}
