"""Recall and capacity of an associative memory."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import datamodule, on_device, save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.capabilities import StoresPatterns
from lit_ae.models.hopfield import Rule, sign, sweep, weights

RULES: tuple[Rule, ...] = ("hebb", "pseudo_inverse")


class HopfieldRecall(ScoreCallback):
    """`recall` and `recall_error` of the stored patterns, and figures `recall`, `energy` and `capacity`.

    `recall`: share of stored patterns that are retrieved without an error after the model's own noise, higher is
    better; `recall_error`: share of wrong pixels, lower is better. Figure `capacity`: mean share of wrong pixels after
    synchronous retrieval from patterns with a tenth of the pixels flipped, by the number of patterns per unit, for both
    learning rules, random patterns and training images (Hertz et al. 1991, section 2.2).

    Args:
        loads: values of P / N, patterns per unit, in the figure of capacity.
        n: number of images in the figure of recall.
        seed: seed of noise and random patterns.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(
        self,
        loads: list[float] = [0.02, 0.05, 0.1, 0.14, 0.2, 0.3, 0.5],  # noqa: B006 - a YAML default, never mutated
        n: int = 10,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "HopfieldRecall.{}", seed=seed)
        require_at_least(1, "HopfieldRecall.{}", n=n)
        self.loads, self.n, self.seed = loads, n, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Recall of the stored patterns; nothing for models that store none."""
        module = trainer.lightning_module
        if not isinstance(module, StoresPatterns):
            return {}
        patterns, shape = module.patterns, datamodule(trainer).input_shape
        generator = torch.Generator().manual_seed(self.seed)
        noisy = flipped(patterns, module.noise, generator)
        states = module.retrieve(noisy)
        wrong = (states[-1] != patterns).float().mean(1)  # [P]
        energies = [module.energy(state).mean().item() for state in states]
        title = f"Energy during retrieval, mean over {len(noisy)} patterns"
        save_figure(trainer, plots.curves({"energy": list(enumerate(energies))}, "sweep", "energy", title), "energy")
        if len(shape) == 3:
            shown = (("stored", patterns), ("corrupted", noisy), ("retrieved", states[-1]))
            rows = [(name, (part[: self.n] / 2 + 0.5).view(-1, *shape).cpu()) for name, part in shown]
            save_figure(
                trainer, plots.image_rows(rows, f"Retrieval with {module.noise:.0%} of the pixels flipped"), "recall"
            )
        most = max(1, round(max(self.loads) * patterns.shape[1]))
        x = on_device(datamodule(trainer).split("train").x[:most], trainer.lightning_module).flatten(1)
        curves = plots.curves(
            self.capacity(x, generator),
            "patterns per unit",
            "share of wrong pixels",
            "Capacity: retrieval with a tenth of the pixels flipped",
        )
        save_figure(trainer, curves, "capacity")
        evaluation.protocol["recall"] = (
            f"{len(wrong)} stored patterns, retrieved with {module.noise:.0%} of the pixels flipped"
        )
        return {"recall": (wrong == 0).float().mean().item(), "recall_error": wrong.mean().item()}

    def capacity(self, x: Tensor, generator: torch.Generator) -> dict[str, list[tuple[float, float]]]:
        """Share of wrong pixels by load, for random patterns and images x [N, units] in [0, 1]."""
        units = x.shape[1]
        random = sign(torch.randn(len(x), units, generator=generator)).to(x)
        series = {}
        for name, source in (("random", random), ("images", sign(x - 0.5))):
            for rule in RULES:
                counts = sorted({max(1, min(len(source), round(load * units))) for load in self.loads})
                series[f"{name}, {rule}"] = [
                    (count / units, recall_error(source[:count], rule, generator)) for count in counts
                ]
        return series


def flipped(patterns: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Patterns ±1 [P, N] with a share of the units flipped, on average."""
    flip = torch.rand(patterns.shape, generator=generator) < share
    return torch.where(flip.to(patterns.device), -patterns, patterns)


def recall_error(patterns: Tensor, rule: Rule, generator: torch.Generator) -> float:
    """Share of wrong units of the first 50 of the stored patterns [P, N], 10 sweeps after a tenth was flipped."""
    w, bias = weights(patterns, rule), patterns.new_zeros(patterns.shape[1])
    state = flipped(patterns[:50], 0.1, generator)
    for _ in range(10):
        state = sweep(state, w, bias, "synchronous")
    return (state != patterns[:50]).float().mean().item()
