"""Uncertainty of each pixel, and how well it predicts the error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import drawn, first_images, first_labels, is_drawn, save_figure, shades
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.calibration import (
    LEVELS,
    calibration_error,
    error_correlation,
    interval_coverage,
)
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.chunks import CHUNK, in_chunks

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
Moments = tuple[Tensor, Tensor]  # mean and variance


def pixel_moments(module: ReconstructionModule, x: Tensor, y: Tensor | None, draws: int) -> Moments:
    """Mean and variance (ddof = 1) of each pixel over draws of the code of x [B, *shape]; both [B, *shape]."""
    images = torch.stack([module.decode(module.encode(x, y).z, y) for _ in range(draws)])  # [K, B, *shape]
    return images.mean(0), images.var(0)


def dropout_moments(module: ReconstructionModule, x: Tensor, y: Tensor | None, draws: int) -> Moments:
    """The same over draws of the dropout masks, from the mean code (Gal & Ghahramani 2016, MC dropout)."""
    with dropout_active(module):
        images = torch.stack([module(x, y) for _ in range(draws)])  # [K, B, *shape]
    return images.mean(0), images.var(0)


def dropout_layers(module: nn.Module) -> list[nn.Module]:
    """The dropout layers with a positive rate."""
    return [part for part in module.modules() if isinstance(part, DROPOUT) and part.p > 0]


@contextmanager
def dropout_active(module: nn.Module) -> Iterator[None]:
    """Inside it dropout is active, and everything else, such as batch norm, stays in evaluation mode."""
    before = [(part, part.training) for part in dropout_layers(module)]
    for part, _ in before:
        part.train()
    try:
        yield
    finally:
        for part, training in before:
            part.train(training)


def code_uncertainty(module: ReconstructionModule, x: Tensor, y: Tensor, draws: int, seed: int) -> Moments:
    """`pixel_moments` of x [N, *shape] with labels y [N], in chunks, on the CPU; a code without noise: variance 0."""
    with seeded(module, seed):
        if module.encode(x[:1], y[:1]).logvar is not None:
            return moments_of(module, lambda part, labels: pixel_moments(module, part, labels, draws), x, y)
        return moments_of(module, lambda part, labels: (module(part, labels), torch.zeros_like(part)), x, y)


def dropout_uncertainty(module: ReconstructionModule, x: Tensor, y: Tensor, draws: int, seed: int) -> Moments | None:
    """The same with `dropout_moments`; None for a network without dropout."""
    if not dropout_layers(module):
        return None
    with seeded(module, seed):
        return moments_of(module, lambda part, labels: dropout_moments(module, part, labels, draws), x, y)


@contextmanager
def seeded(module: ReconstructionModule, seed: int) -> Iterator[None]:
    """Inside it random numbers start from the seed, and nothing is differentiated; the state before is restored."""
    with torch.no_grad(), torch.random.fork_rng([module.device] if module.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def moments_of(
    module: ReconstructionModule, moments: Callable[[Tensor, Tensor | None], Moments], x: Tensor, y: Tensor
) -> Moments:
    """Mean and variance [N, *shape] of x [N, *shape] with labels y [N], given the function for a part of x."""
    both = in_chunks(module, lambda part, labels: torch.stack(moments(part, labels), 1), x, y, size=CHUNK // 4)
    mean, variance = both.unbind(1)
    return mean, variance


def calibration(
    trainer: Trainer, x: Tensor, mean: Tensor, variance: Tensor, of: str, name: str = "calibration"
) -> dict[str, float]:
    """How well a variance of pixels predicts (x - mean)², all [N, *shape]: scores, and figure NAME.

    `NAME/pearson`, `NAME/spearman`: correlation over pixels; `NAME/image_spearman`: correlation of the images' means;
    higher is better. `NAME/error`: mean distance of the intervals' coverage from the nominal level; lower is better. If
    all values are equal there is no correlation, and it is left out.
    """
    evaluation, error = Evaluation.of(trainer), (x - mean).square()
    levels = interval_coverage(x, mean, variance)
    values = {f"{name}/error": calibration_error(levels)}
    with evaluation.leaving_out(f"{name}/pearson", f"{name}/spearman"):
        values |= {f"{name}/{kind}": r for kind, r in error_correlation(variance, error).items()}
    with evaluation.leaving_out(f"{name}/image_spearman"):
        by_image = error_correlation(variance.flatten(1).mean(1), error.flatten(1).mean(1))
        values[f"{name}/image_spearman"] = by_image["spearman"]
    evaluation.protocol[name] = (
        f"{of} compared with the squared error: correlations over pixels and over images' means, Gaussian intervals"
    )
    if is_drawn(trainer, name):
        series = {
            "perfectly calibrated": [(0.0, 0.0), (100.0, 100.0)],
            "observed": [(100 * n, 100 * c) for n, c in zip(LEVELS, levels, strict=True)],
        }
        title = f"Coverage of Gaussian intervals from the mean and variance of each pixel ({of})"
        figure = plots.curves(series, "nominal coverage (%)", "observed coverage (%)", title)
        save_figure(trainer, figure, name)
    return values


class Uncertainty(ScoreCallback):
    """`uncertainty`, the mean variance of a pixel over K draws of the code, and a figure of the same name.

    It is the variance due to the noise of the code (aleatoric); the publication on stochastic autoencoders calls it
    epistemic. It is 0 for a model whose code has no noise. The variance due to what the model has not learnt
    (epistemic) is `uncertainty_dropout`, the same over K dropout masks, for networks with dropout; see also
    `EnsembleUncertainty`. The sum of both is compared with the squared error:
    `calibration/{pearson,spearman,image_spearman,error}` and figure `calibration`. All are variances of the mean image
    and do not include the pixel noise of the likelihood.

    Args:
        draws: number K of draws.
        n: number of images in the figure.
        max_images: number of images over which means are taken, the first ones of the split.
        seed: seed of the draws.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(
        self, draws: int = 32, n: int = 10, max_images: int = 1000, seed: int = 0, every_n_epochs: int = 0
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "Uncertainty.{}", seed=seed)
        require_at_least(1, "Uncertainty.{}", n=n, max_images=max_images)
        require_at_least(2, "Uncertainty.{}", draws=draws)
        self.draws, self.n, self.max_images, self.seed = draws, n, max_images, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Mean variances of pixels, and how well they predict the error."""
        module = module_of(trainer)
        x, y = first_images(trainer, self.max_images), first_labels(trainer, self.max_images)
        mean, aleatoric = code_uncertainty(module, x, y, self.draws, self.seed)
        found, values = {"aleatoric": aleatoric}, {"uncertainty": aleatoric.mean().item()}
        dropped = dropout_uncertainty(module, x, y, self.draws, self.seed)
        if dropped is not None:
            mean, found["epistemic"] = dropped
            values["uncertainty_dropout"] = found["epistemic"].mean().item()
        x = x.cpu()
        shown = {name: variance for name, variance in found.items() if variance.any()}
        if not shown:
            return values
        sources = {"aleatoric": "draws of the code", "epistemic": "dropout masks"}
        of = " plus ".join(f"{name} variance over {self.draws} {sources[name]}" for name in shown)
        if is_drawn(trainer, "uncertainty"):
            rows = [(label, drawn(trainer, part[: self.n])) for label, part in (("original", x), ("mean", mean))]
            rows += [(name, variance[: self.n]) for name, variance in shown.items()]
            heat = dict.fromkeys(shown, "pixel²")
            title = f"Uncertainty of each pixel: {of}{shades(trainer)}"
            save_figure(trainer, plots.image_rows(rows, title, heat=heat), "uncertainty")
        evaluation.protocol["uncertainty"] = f"{of}, first {len(x):,} images"
        return values | calibration(trainer, x, mean, torch.stack(list(shown.values())).sum(0), of)
