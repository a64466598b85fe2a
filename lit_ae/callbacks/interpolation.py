"""From one sample to another through the code."""

import math

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule, save_figure
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.metrics.interpolation import different_pairs, mixing_l2, mixing_psnr, path_ratio

PATH = 20  # steps of the path whose length is measured


class Interpolation(ScoreCallback):
    """`interpolation_psnr/α`, `interpolation_l2/α`, `interpolation_path_ratio`, and figure `interpolation`.

    Between pairs of samples with different labels, codes mixed before decoding, z_α = (1 - α) E(x1) + α E(x2), are
    held against images mixed before encoding, z'_α = E((1 - α) x1 + α x2): PSNR is that of D(z_α) against D(z'_α) (dB,
    pixels in [0, 1], mean over pairs of each pair's own), L2 is ‖z_α - z'_α‖ (units of the code, mean over pairs). At
    α = 0 and 1 the reference is the end point's own reconstruction, so there PSNR is infinite and L2 zero: these are
    not logged. Between them a pair's PSNR is infinite where encoder or decoder is linear on its way, as a ReLU net is
    where no unit switches, or where the decoder ignores the code. Such a pair counts as 100 dB, and the protocol says
    how many there are; where all pairs are such, PSNR is infinite and not logged.

    The sparse and contractive report defines neither figure, and this is our reading of it. Of images in [0, 1] its L2
    cannot be: 157 is above their largest, 28, and a mean of 0.1453 would mean at least 45 dB, not 28. As a distance of
    codes to the nearer end it would mirror exactly about α = ½ and double from α = 0.2 to 0.4; it grows 1.68 and 1.56
    times. Mixing before encoding gives 1.2 to 1.6 times (MNIST, three MLP families). For PSNR the nearer end's
    reconstruction leaves about 17 dB at α = 0.4 there, not 23; a mix of both ends' reconstructions is not ruled out by
    the table. Its infinite mean needs one infinite pair only, and so need not mean that the decoder was dead.

    `interpolation_path_ratio`: see `metrics.interpolation.path_ratio`, over 20 steps. A model that is told the class is
    told that of the nearer end.

    Args:
        pairs: number of pairs; the report has 20.
        steps: number of steps of α from 0 to 1; the report has 5.
        shown: pairs in the figure.
        seed: of the choice of pairs.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, pairs: int = 20, steps: int = 5, shown: int = 6, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.pairs, self.steps, self.shown, self.seed = pairs, steps, shown, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name, those that are finite."""
        module, split = module_of(trainer), datamodule(trainer).split("test" if trainer.testing else "val")
        try:
            pair = different_pairs(split.y, self.pairs, self.seed)
        except ValueError as error:
            evaluation.protocol["interpolation"] = f"none: {error}"
            return {}
        a, b = (as_images(split.x[indices], module) for indices in pair)
        y_a, y_b = (split.y[indices].to(module.device) for indices in pair)

        def told(alpha: float) -> Tensor:
            return y_a if alpha < 0.5 else y_b

        def encode(x: Tensor, alpha: float) -> Tensor:
            with module.given(told(alpha)):
                return module.encode(x).mu.float()

        def decode(z: Tensor, alpha: float) -> Tensor:
            with module.given(told(alpha)):
                return module.decode(z).float()

        alphas = [k / self.steps for k in range(self.steps + 1)]
        with torch.no_grad():
            ideal = [encode(torch.lerp(a, b, alpha), alpha) for alpha in alphas]
            mixed = [torch.lerp(ideal[0], ideal[-1], alpha) for alpha in alphas]
            images, references = (
                torch.stack([decode(z, alpha) for z, alpha in zip(codes, alphas, strict=True)])
                for codes in (mixed, ideal)
            )  # [A, P, *shape]
            path = [k / PATH for k in range(PATH + 1)]
            fine = torch.stack([decode(torch.lerp(ideal[0], ideal[-1], alpha), alpha) for alpha in path])
        decibels, agree = (part.tolist() for part in mixing_psnr(images, references))
        distances = mixing_l2(torch.stack(mixed), torch.stack(ideal)).tolist()
        ends = zip(y_a.tolist(), y_b.tolist(), strict=True)
        names = [f"{first} → {second}" if first >= 0 else "" for first, second in ends]
        self._draw(trainer, names, torch.cat([a[None], images, b[None]]), alphas, decibels, distances)

        inner = range(1, self.steps)
        values = {f"interpolation_l2/{alphas[k]:g}": distances[k] for k in inner}
        values |= {f"interpolation_psnr/{alphas[k]:g}": decibels[k] for k in inner if math.isfinite(decibels[k])}
        note = f"{len(a)} pairs of different labels; D(mixed codes) against D(E(mixed images)), PSNR in dB, L2 in codes"
        exact = [f"{agree[k]} at α = {alphas[k]:g}" for k in inner if agree[k]]
        if exact:
            note += f"; pairs that agree up to rounding (100 dB, not logged where all do): {', '.join(exact)}"
        try:
            values["interpolation_path_ratio"] = path_ratio(fine)
        except ValueError as error:
            note += f"; no path ratio: {error}"
        evaluation.protocol["interpolation"] = note
        return values

    def _draw(
        self,
        trainer: Trainer,
        names: list[str],
        images: Tensor,
        alphas: list[float],
        decibels: list[float],
        distances: list[float],
    ) -> None:
        shown = images[:, : self.shown].clamp(0, 1).cpu().transpose(0, 1)  # [P, input, α = 0 … 1, input]
        rows = list(zip(names, shown, strict=False))
        below = {
            "α": ["input", *(f"{alpha:g}" for alpha in alphas), "input"],
            "mean PSNR (dB)": ["", *("∞" if math.isinf(value) else f"{value:.1f}" for value in decibels), ""],
            "mean L2 (codes)": ["", *(f"{value:.3g}" for value in distances), ""],
        }
        title = f"Interpolation between codes; PSNR and L2 over {images.shape[1]} pairs, against mixed images"
        save_figure(trainer, plots.image_rows(rows, title, below=below), "interpolation")
