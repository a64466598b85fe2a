"""Interpolation between the codes of two samples."""

import math

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import is_drawn, on_device, save_figure, scored_split
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.interpolation import different_pairs, mixing_l2, mixing_psnr, path_ratio

PATH = 20  # steps along the path whose length is measured


class Interpolation(ScoreCallback):
    """`interpolation_psnr/α`, `interpolation_l2/α`, `interpolation_path_ratio`, and figure `interpolation`.

    For pairs of samples with different labels (without labels, for random pairs), codes that are mixed before decoding,
    z_α = (1 - α) E(x1) + α E(x2), are compared with the codes of images that are mixed before encoding,
    z'_α = E((1 - α) x1 + α x2). PSNR is that of D(z_α) against D(z'_α) in dB for pixels in [0, 1], the mean of the
    pairs' own values; L2 is ‖z_α - z'_α‖ in units of the code, the mean over pairs. At α = 0 and 1 both are the same,
    so that PSNR is infinite and L2 zero: these are not logged. In between, a pair's PSNR is infinite if encoder or
    decoder is linear along its path, as a ReLU network is where no unit switches, or if the decoder ignores the code.
    Such a pair counts as 100 dB, and the protocol gives their number; if all pairs are such, PSNR is infinite and not
    logged.

    The original publication on sparse and contractive autoencoders defines neither quantity, so this is our
    interpretation. Its L2 cannot be a distance between images in [0, 1]: 157 is above their largest distance, 28, and a
    mean of 0.1453 would mean at least 45 dB, not 28. If it were the distance of codes to the nearer end, it would be
    symmetric about α = ½ and double from α = 0.2 to 0.4, but it grows by factors of 1.68 and 1.56. Mixing before
    encoding gives factors of 1.2 to 1.6 (MNIST, three MLP families). PSNR against the nearer end's reconstruction would
    be about 17 dB at α = 0.4, not 23; PSNR against a mix of both ends' reconstructions cannot be ruled out by the
    table. The published infinite mean needs only one infinite pair, so it does not prove that its decoder ignored the
    code.

    `interpolation_path_ratio`: see `path_ratio`, over 20 steps. A conditional model is given the class of the nearer
    end.

    Args:
        pairs: number of pairs; 20 as published.
        steps: number of steps of α from 0 to 1; 5 as published.
        shown: number of pairs in the figure.
        seed: seed of the choice of pairs.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True
    needs_unit_range = True

    def __init__(self, pairs: int = 20, steps: int = 5, shown: int = 6, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "Interpolation.{}", seed=seed)
        require_at_least(1, "Interpolation.{}", pairs=pairs, steps=steps, shown=shown)
        self.pairs, self.steps, self.shown, self.seed = pairs, steps, shown, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name, those that are finite."""
        module, split = module_of(trainer), scored_split(trainer)
        pair = different_pairs(split.y, self.pairs, self.seed)
        a, b = (on_device(split.x[indices], module) for indices in pair)
        y_a, y_b = (split.y[indices].to(module.device) for indices in pair)

        def label(alpha: float) -> Tensor:
            return y_a if alpha < 0.5 else y_b

        def encode(x: Tensor, alpha: float) -> Tensor:
            codes: Tensor = module.encode(x, label(alpha)).mu
            return codes.float()

        def decode(z: Tensor, alpha: float) -> Tensor:
            return module.decode(z, label(alpha)).float()

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
        for k in inner:
            if math.isfinite(decibels[k]):
                values[f"interpolation_psnr/{alphas[k]:g}"] = decibels[k]
            else:
                evaluation.leave_out("all pairs agree up to rounding", f"interpolation_psnr/{alphas[k]:g}")
        kind = "pairs of samples with different labels" if (split.y >= 0).any() else "random pairs of samples"
        note = (
            f"{len(a)} {kind}; decoded mixed codes against decoded codes of mixed images; PSNR in dB, L2 between codes"
        )
        exact = [f"{agree[k]} at α = {alphas[k]:g}" for k in inner if agree[k]]
        if exact:
            note += f"; pairs that agree up to rounding (counted as 100 dB; not logged if all do): {', '.join(exact)}"
        with evaluation.leaving_out("interpolation_path_ratio"):
            values["interpolation_path_ratio"] = path_ratio(fine)
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
        if not is_drawn(trainer, "interpolation"):
            return
        shown = images[:, : self.shown].clamp(0, 1).cpu().transpose(0, 1)  # [P, input, α = 0 … 1, input]
        rows = list(zip(names, shown, strict=False))
        below = {
            "α": ["input", *(f"{alpha:g}" for alpha in alphas), "input"],
            "mean PSNR (dB)": ["", *("∞" if math.isinf(value) else f"{value:.1f}" for value in decibels), ""],
            "mean L2 (code)": ["", *(f"{value:.3g}" for value in distances), ""],
        }
        title = (
            f"Interpolation between codes; PSNR and L2 against the codes of mixed images, means over {images.shape[1]} "
            "pairs"
        )
        save_figure(trainer, plots.image_rows(rows, title, below=below), "interpolation")
