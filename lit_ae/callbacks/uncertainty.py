"""What the code's noise does to each pixel."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.evaluation import (
    CHUNK,
    Evaluation,
    ScoreCallback,
    first_images,
    first_labels,
    save_figure,
)
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.models.base import ReconstructionModule


def pixel_moments(module: ReconstructionModule, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """Mean and variance (ddof = 1) of each pixel over draws of the code of x [B, *shape]; both [B, *shape]."""
    images = torch.stack([module.decode(module.encode(x).z) for _ in range(draws)])  # [K, B, *shape]
    return images.mean(0), images.var(0)


class Uncertainty(ScoreCallback):
    """`uncertainty`, the mean per-pixel variance over K draws of the code, and a figure of the same name.

    The variance is what the code's noise makes (aleatoric); the first report calls it epistemic, which would need
    several models. A model without noise on its code has none.

    Args:
        draws: number K of draws.
        n: images in the figure.
        max_images: the split's first images that the mean is taken over.
        seed: of the draws.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(
        self, draws: int = 32, n: int = 10, max_images: int = 1000, seed: int = 0, every_n_epochs: int = 0
    ) -> None:
        super().__init__(every_n_epochs)
        self.draws, self.n, self.max_images, self.seed = draws, n, max_images, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Mean variance of pixels in [0, 1]."""
        module = module_of(trainer)
        x, y = first_images(trainer, self.max_images), first_labels(trainer, self.max_images)
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            with module.given(y[:1]):
                if module.encode(x[:1]).logvar is None:
                    return {"uncertainty": 0.0}
            moments = []
            for part, labels in zip(x.split(CHUNK // 4), y.split(CHUNK // 4), strict=True):
                with module.given(labels):
                    moments.append(pixel_moments(module, part, self.draws))
        mean, variance = (torch.cat(part).cpu() for part in zip(*moments, strict=True))
        rows = [("original", x[: self.n].cpu()), ("mean", mean[: self.n]), ("variance", variance[: self.n])]
        title = f"Per-pixel variance over {self.draws} draws of the code"
        save_figure(trainer, plots.image_rows(rows, title, heat={"variance": "variance (pixel²)"}), "uncertainty")
        evaluation.protocol["uncertainty"] = f"{self.draws} draws of the code, first {len(x):,} images"
        return {"uncertainty": variance.mean().item()}
