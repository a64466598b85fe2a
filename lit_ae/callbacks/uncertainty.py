"""How uncertain each pixel is, why, and whether the variance says how large the error is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

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
from lit_ae.metrics.calibration import LEVELS, calibration_error, error_correlation, interval_coverage
from lit_ae.models.base import ReconstructionModule

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def pixel_moments(module: ReconstructionModule, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """Mean and variance (ddof = 1) of each pixel over draws of the code of x [B, *shape]; both [B, *shape]."""
    images = torch.stack([module.decode(module.encode(x).z) for _ in range(draws)])  # [K, B, *shape]
    return images.mean(0), images.var(0)


def dropout_moments(module: ReconstructionModule, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """The same over draws of the dropout masks, from the mean code (Gal & Ghahramani 2016, MC dropout)."""
    with dropout_active(module):
        images = torch.stack([module(x) for _ in range(draws)])  # [K, B, *shape]
    return images.mean(0), images.var(0)


def dropout_layers(module: nn.Module) -> list[nn.Module]:
    """The layers that drop units."""
    return [part for part in module.modules() if isinstance(part, DROPOUT) and part.p > 0]


@contextmanager
def dropout_active(module: nn.Module) -> Iterator[None]:
    """Inside it dropout drops, and everything else, such as batch norm, stays in evaluation."""
    before = [(part, part.training) for part in dropout_layers(module)]
    for part, _ in before:
        part.train()
    try:
        yield
    finally:
        for part, training in before:
            part.train(training)


def code_uncertainty(
    module: ReconstructionModule, x: Tensor, y: Tensor, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """`pixel_moments` of x [N, *shape] with labels y [N], in chunks, on the CPU; a code without noise varies by 0."""
    with seeded(module, seed):
        with module.given(y[:1]):
            noisy = module.encode(x[:1]).logvar is not None
        if noisy:
            return in_chunks(module, x, y, lambda images: pixel_moments(module, images, draws))
        return in_chunks(module, x, y, lambda images: (module(images), torch.zeros_like(images)))


def dropout_uncertainty(
    module: ReconstructionModule, x: Tensor, y: Tensor, draws: int, seed: int
) -> tuple[Tensor, Tensor] | None:
    """`dropout_moments` likewise; None for a net without dropout."""
    if not dropout_layers(module):
        return None
    with seeded(module, seed):
        return in_chunks(module, x, y, lambda images: dropout_moments(module, images, draws))


@contextmanager
def seeded(module: ReconstructionModule, seed: int) -> Iterator[None]:
    """Random numbers of their own, and no gradients."""
    with torch.no_grad(), torch.random.fork_rng([module.device] if module.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def in_chunks(
    module: ReconstructionModule, x: Tensor, y: Tensor, moments: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Mean and variance [N, *shape] of x [N, *shape] with labels y [N], as `moments` gives them for a part of x."""
    parts = []
    for images, labels in zip(x.split(CHUNK // 4), y.split(CHUNK // 4), strict=True):
        with module.given(labels):
            parts.append(tuple(part.cpu() for part in moments(images)))
    mean, variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return mean, variance


def calibration(
    trainer: Trainer, x: Tensor, mean: Tensor, variance: Tensor, of: str, name: str = "calibration"
) -> dict[str, float]:
    """Scores of a variance of pixels against (x - mean)², all [N, *shape], and their figure NAME.

    `NAME/pearson`, `NAME/spearman`: correlation over pixels; `NAME/image_spearman`: of the images' means; `NAME/error`:
    the interval coverage's mean distance from nominal. What is all equal has no correlation: left out, with a word.
    """
    evaluation, error = Evaluation.of(trainer), (x - mean).square()
    levels = interval_coverage(x, mean, variance)
    values = {f"{name}/error": calibration_error(levels)}
    note = f"{of} against squared error, correlations over pixels (and over images' means), Gaussian intervals"
    try:
        values |= {f"{name}/{kind}": r for kind, r in error_correlation(variance, error).items()}
        by_image = error_correlation(variance.flatten(1).mean(1), error.flatten(1).mean(1))
        values[f"{name}/image_spearman"] = by_image["spearman"]
    except ValueError as reason:
        note += f"; {reason}"
    evaluation.protocol[name] = note
    series = {
        "perfect": [(0.0, 0.0), (100.0, 100.0)],
        "observed": [(100 * n, 100 * c) for n, c in zip(LEVELS, levels, strict=True)],
    }
    title = f"Pixels within the Gaussian interval of mean and variance ({of})"
    figure = plots.curves(series, "nominal coverage (%)", "observed coverage (%)", title)
    save_figure(trainer, figure, name)
    return values


class Uncertainty(ScoreCallback):
    """`uncertainty`, the mean per-pixel variance over K draws of the code, and a figure of the same name.

    It is what the code's noise makes (aleatoric); the first report calls it epistemic. A model without noise on its
    code has none. What the model does not know (epistemic) shows in `uncertainty_dropout`, the same over K dropout
    masks, for nets with dropout, and over several models in `EnsembleUncertainty`. The sum of what there is against the
    squared error: `calibration/{pearson,spearman,image_spearman,error}` and figure `calibration`. It is a variance of
    the mean image: pixel noise of the likelihood is not part of it.

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
        """Mean variances of pixels in [0, 1], and what they say of the error."""
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
        of = " plus ".join(f"{name}, {self.draws} {sources[name]}" for name in shown)
        rows = [("original", x[: self.n]), ("mean", mean[: self.n])]
        rows += [(name, variance[: self.n]) for name, variance in shown.items()]
        heat = dict.fromkeys(shown, "pixel²")
        save_figure(trainer, plots.image_rows(rows, f"Variance of each pixel: {of}", heat=heat), "uncertainty")
        evaluation.protocol["uncertainty"] = f"{of}, first {len(x):,} images"
        return values | calibration(trainer, x, mean, torch.stack(list(shown.values())).sum(0), of)
