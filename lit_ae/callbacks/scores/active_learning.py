"""Active learning on the codes."""

import numpy as np
import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.errors import SettingError, require_at_least
from lit_ae.evaluation.access import save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_codes, labelled_train_codes
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.active_learning import Strategy, area_between, learning_curve

NAMES: dict[Strategy, str] = {
    "variance": "largest predictive variance",
    "bald": "largest mutual information (BALD)",
    "margin": "smallest margin",
    "margin_diverse": "small margins, diverse",
    "random": "random",
}


class ActiveLearning(ScoreCallback):
    """`active_learning/{accuracy_STRATEGY,area}`: a classifier on codes that chooses the samples to be labelled.

    `accuracy_variance`, `accuracy_random` and so on are accuracies at the last budget with the samples that a strategy
    chooses (`learning_curve`); higher is better. `area`, or `area_STRATEGY` of one that is not the first, is the mean
    difference from random samples over all budgets; positive: choosing is better. All are means over repeats, which
    differ in pool, start and random choice. Figure `active-learning` shows the accuracies by number of labels, with a
    band from the lowest to the highest repeat. Codes are centred and divided by one common standard deviation,
    so that dimensions with a small variance keep it.

    Args:
        pool: number of training codes that may be labelled, chosen at random.
        start: number of random labels at the start.
        step: number of labels that are added at a time.
        budget: number of labels at the end.
        members: number of classifiers in the ensemble.
        repeats: number of repeats of the whole procedure.
        seed: seed of the first repeat.
        strategies: of `variance`, `bald`, `margin` and `margin_diverse`, those that are compared with random labels;
            null: `variance`.
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
        strategies: list[Strategy] | None = None,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "ActiveLearning.{}", seed=seed)
        require_at_least(
            1, "ActiveLearning.{}", pool=pool, start=start, step=step, budget=budget, members=members, repeats=repeats
        )
        chosen: list[Strategy] = strategies or ["variance"]
        self.strategies = [s for s in dict.fromkeys(chosen) if s != "random"]
        if not self.strategies:
            raise SettingError("ActiveLearning.strategies names random alone, with which the others are compared")
        self.pool, self.start, self.step, self.budget = pool, start, step, budget
        self.members, self.repeats, self.seed = members, repeats, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Means over repeats, and the figure."""
        (train, known), (codes, labels) = labelled_train_codes(trainer, evaluation), labelled_codes(trainer, evaluation)
        train, y = train.double(), known.numpy()
        mean, scale = train.mean(0), train.std(0, correction=0).square().mean().sqrt().clamp(min=1e-12)
        x, x_test = ((part - mean).div(scale).numpy() for part in (train, codes.double()))
        compared: list[Strategy] = [*self.strategies, "random"]
        found: dict[Strategy, list[list[tuple[int, float]]]] = {}
        for seed in range(self.seed, self.seed + self.repeats):
            some = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: self.pool].numpy()
            for strategy in compared:
                settings = (self.start, self.step, self.budget, self.members, seed)
                curve = learning_curve(x[some], y[some], x_test, labels.numpy(), strategy, *settings)
                found.setdefault(strategy, []).append(curve)
        budgets = [n for n, _ in found["random"][0]]
        accuracy = {name: np.array([[a for _, a in curve] for curve in curves]) for name, curves in found.items()}
        series = {NAMES[s]: list(zip(budgets, a.mean(0).tolist(), strict=True)) for s, a in accuracy.items()}
        bands = {NAMES[s]: (a.min(0).tolist(), a.max(0).tolist()) for s, a in accuracy.items()}
        title = f"Active learning on codes: mean of {self.repeats} repeats, band from the lowest to the highest"
        axis = "test accuracy" if trainer.testing else "validation accuracy"
        figure = plots.curves(series, "number of labels", axis, title, bands)
        save_figure(trainer, figure, "active-learning")
        values = {f"active_learning/accuracy_{name}": float(a[:, -1].mean()) for name, a in accuracy.items()}
        for strategy in self.strategies:
            areas = [area_between(a, b) for a, b in zip(found[strategy], found["random"], strict=True)]
            name = "area" if strategy == self.strategies[0] else f"area_{strategy}"
            values[f"active_learning/{name}"] = float(np.mean(areas))
        chosen = ", ".join(NAMES[s] for s in self.strategies)
        evaluation.protocol["active_learning"] = (
            f"logistic regression on codes; {self.start} random labels, then {self.step} more at a time up to "
            f"{budgets[-1]} of {len(some):,} samples, scored on {len(labels):,}; {chosen}; "
            f"ensembles of {self.members} regressions (Bayesian bootstrap); mean of {self.repeats} repeats; area: mean "
            "over budgets of the accuracy with chosen labels minus that with random labels"
        )
        return values
