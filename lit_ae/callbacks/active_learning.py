"""Which samples are worth a label?"""

import numpy as np
import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule, save_figure
from lit_ae.metrics.active_learning import STRATEGIES, area_between, learning_curve


class ActiveLearning(ScoreCallback):
    """`active_learning/{accuracy_variance,accuracy_random,area}`: a classifier on codes that chooses its labels.

    Accuracy at the last budget where the samples with the largest predictive variance are labelled, and where random
    ones are (`metrics.active_learning`); `area`: mean difference over budgets. Means over repeats, which differ in
    pool, start and random choice. A figure `active-learning` shows both by number of labels, lowest to highest repeat.
    Codes are centred and divided by one standard deviation, so that small dimensions stay small.

    Args:
        pool: training codes that may be labelled, chosen at random.
        start: random labels at the start.
        step: labels asked for at a time.
        budget: labels at the end.
        members: classifiers in the ensemble.
        repeats: of the whole.
        seed: of the first repeat.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_labels = True

    def __init__(
        self,
        pool: int = 2000,
        start: int = 20,
        step: int = 10,
        budget: int = 200,
        members: int = 5,
        repeats: int = 5,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.pool, self.start, self.step, self.budget = pool, start, step, budget
        self.members, self.repeats, self.seed = members, repeats, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Means over repeats, and the figure."""
        train, y = evaluation.train_codes(trainer).double(), datamodule(trainer).split("train").y.numpy()
        codes, labels = evaluation.codes(trainer)
        mean, scale = train.mean(0), train.std(0, correction=0).square().mean().sqrt().clamp(min=1e-12)
        x, x_test = ((part - mean).div(scale).numpy() for part in (train, codes.double()))
        found: dict[str, list[list[tuple[int, float]]]] = {}
        for seed in range(self.seed, self.seed + self.repeats):
            some = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: self.pool].numpy()
            for strategy in STRATEGIES:
                settings = (self.start, self.step, self.budget, self.members, seed)
                curve = learning_curve(x[some], y[some], x_test, labels.numpy(), strategy, *settings)
                found.setdefault(strategy, []).append(curve)
        budgets = [n for n, _ in found["random"][0]]
        accuracy = {name: np.array([[a for _, a in curve] for curve in curves]) for name, curves in found.items()}
        names = {"variance": "by predictive variance", "random": "at random"}
        series = {names[s]: list(zip(budgets, accuracy[s].mean(0).tolist(), strict=True)) for s in names}
        bands = {names[s]: (accuracy[s].min(0).tolist(), accuracy[s].max(0).tolist()) for s in names}
        title = f"Labels chosen on codes: mean of {self.repeats} repeats, band from lowest to highest"
        figure = plots.curves(series, "labels", "test accuracy" if trainer.testing else "accuracy", title, bands)
        save_figure(trainer, figure, "active-learning")
        values = {f"active_learning/accuracy_{name}": float(a[:, -1].mean()) for name, a in accuracy.items()}
        areas = [area_between(a, b) for a, b in zip(found["variance"], found["random"], strict=True)]
        evaluation.protocol["active_learning"] = (
            f"logistic regression on codes, {self.start} random labels, then {self.step} at a time to {budgets[-1]} of "
            f"{len(some):,}; variance: of the label under {self.members} regressions (Bayesian bootstrap); "
            f"{self.repeats} repeats; area: mean accuracy by variance minus at random"
        )
        return values | {"active_learning/area": float(np.mean(areas))}
