"""Generated images."""

from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import drawn, is_drawn, save_figure, shades
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback


class SamplesGrid(ScoreCallback):
    """Figures `samples-SAMPLER`: images decoded from codes that are drawn by each sampler.

    Args:
        n: number of images, shown in rows of ten.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True
    needs_codes = False
    rank_zero = False  # every rank generates its share; the figure shows that of rank 0

    def __init__(self, n: int = 50, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "SamplesGrid.{}", n=n)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figures; no values."""
        for name, sampler in evaluation.samplers(trainer).items():
            images = evaluation.generate(trainer, sampler, self.n * trainer.world_size)
            if is_drawn(trainer, f"samples-{name}"):
                title = f"Samples, codes from the {name} sampler{shades(trainer)}"
                shown = drawn(trainer, images[: self.n])
                save_figure(trainer, plots.image_grid(shown, title, columns=10), f"samples-{name}")
        return {}
