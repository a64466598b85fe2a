"""The table of an N-M-N network's hidden codes."""

import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import Tensor

from lit_ae.evaluation.access import first_images, reconstruction_module, save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.capabilities import Memorises
from lit_ae.plots.style import styled


class HiddenCodes(ScoreCallback):
    """`memorised`, the share of input vectors whose largest output is at the right place, and figure `hidden-codes`.

    Higher is better. The figure is the table of Ackley et al. 1985: one row for each vector, one column for each hidden
    unit. Logs nothing for models that do not memorise vectors.
    """

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Share of memorised vectors."""
        module = reconstruction_module(trainer)
        memory = trainer.lightning_module
        if not isinstance(memory, Memorises):
            return {}
        (n,) = module.input_shape
        x = first_images(trainer, n)
        with torch.no_grad():
            codes, right = module.encode(x).mu.cpu(), memory.memorised(x)
        save_figure(trainer, table(codes, f"Hidden codes of the {n}-{codes.shape[1]}-{n} network"), "hidden-codes")
        return {"memorised": right.float().mean().item()}


def table(codes: Tensor, title: str) -> Figure:
    """Codes [N, M] in [0, 1] as N rows of M shaded cells with their values."""
    with styled():
        figure = Figure(figsize=(1.2 + 0.6 * codes.shape[1], 1.0 + 0.35 * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(codes, cmap="gray", vmin=0, vmax=1, aspect="auto")
        for i, row in enumerate(codes.tolist()):
            for j, value in enumerate(row):
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
        axes.set(xlabel="hidden unit", ylabel="input", xticks=range(codes.shape[1]), yticks=range(len(codes)))
        figure.suptitle(title)
    return figure
