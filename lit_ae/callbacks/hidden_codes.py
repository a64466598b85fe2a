"""The table of an N-M-N network's hidden codes."""

import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, first_images, save_figure
from lit_ae.models.nmn import NMN


class HiddenCodes(ScoreCallback):
    """`memorised`, the share of vectors whose largest output is their own, and figure `hidden-codes`.

    The figure is the table of Ackley et al. 1985: a row a vector, a column a hidden unit. Other families have none.
    """

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Share of vectors memorised."""
        module = trainer.lightning_module
        if not isinstance(module, NMN):
            return {}
        (n,) = module.input_shape
        x = first_images(trainer, n)
        with torch.no_grad():
            codes, right = module.encode(x).mu.cpu(), module(x).argmax(1) == x.argmax(1)
        save_figure(trainer, table(codes, f"Hidden codes, {n}-{codes.shape[1]}-{n}"), "hidden-codes")
        return {"memorised": right.float().mean().item()}


def table(codes: Tensor, title: str) -> Figure:
    """Codes [N, M] in [0, 1] as N rows of M shaded cells with their values."""
    with plots._style():
        figure = Figure(figsize=(1.2 + 0.6 * codes.shape[1], 1.0 + 0.35 * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(codes, cmap="gray", vmin=0, vmax=1, aspect="auto")
        for i, row in enumerate(codes.tolist()):
            for j, value in enumerate(row):
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
        axes.set(xlabel="hidden unit", ylabel="input", xticks=range(codes.shape[1]), yticks=range(len(codes)))
        figure.suptitle(title)
    return figure
