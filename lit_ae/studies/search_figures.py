"""Figures of a search for settings."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lit_ae import tracking
from lit_ae.plots.bars import bars
from lit_ae.plots.curves import curves
from lit_ae.plots.style import save
from lit_ae.studies.spec import Tune

if TYPE_CHECKING:
    import optuna

FEWEST = 4  # trials from which importances are computed


def log_figures(trials: "optuna.Study", tune: Tune, run_id: str) -> None:
    """Log `tune-history`, the values of the trials, and `tune-importance`, the share of each setting in their variance.

    Importances are those of fANOVA (Hutter et al. 2014): they need a few trials, and no constant value.
    """
    ended = [(t.number, t.value) for t in trials.trials if t.value is not None and t.state.name == "COMPLETE"]
    better = min if tune.better == "lower" else max
    best = [(number, better(value for _, value in ended[: i + 1])) for i, (number, _) in enumerate(ended)]
    series = {"trial": ended, "best so far": best}
    with TemporaryDirectory() as scratch:
        title = f"Trials of {tune.row}, seeds {', '.join(map(str, tune.seeds))}"
        figures = {"tune-history": curves(series, "number of the trial", tune.metric, title)}
        if len(ended) >= FEWEST and len({value for _, value in ended}) > 1:
            figures["tune-importance"] = bars(
                importances(trials), "share of the variance between trials", f"Importance for {tune.metric}"
            )
        for name, figure in figures.items():
            tracking.log_file(run_id, save(figure, Path(scratch) / f"{name}.png"), "figures")


def importances(trials: "optuna.Study") -> dict[str, float]:
    """Setting -> its share, the largest first; they add up to 1."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    return dict(get_param_importances(trials, evaluator=FanovaImportanceEvaluator(seed=0)))
