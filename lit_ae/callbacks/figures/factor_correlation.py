"""Correlation of code dimensions with known factors."""

from lightning.pytorch import Trainer

from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, save_figure, scored_split
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.plots import codes as plots_codes


class FactorCorrelation(ScoreCallback):
    """Figure `factor-correlation`: correlation r of each known factor with the mean codes, from -1 to 1.

    It has a row for each dimension. For a factor whose values have no order it shows the correlation ratio η, from 0 to
    1: see `factor_code_correlation`. Data sets without known factors have no such figure.

    Args:
        n: number of dimensions; those with the largest |correlation| with any factor are shown.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, n: int = 16, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "FactorCorrelation.{}", n=n)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        from lit_ae.metrics.codes.factors import factor_code_correlation, nominal_factors

        codes, labels = evaluation.codes(trainer)
        data = datamodule(trainer)
        factors = scored_split(trainer).factors
        if factors is None:
            raise NotComputable(f"{data.name} has no known factors")
        nominal = nominal_factors(factors, labels)
        r = factor_code_correlation(codes, factors, nominal)  # [F, D]
        strongest = r.abs().amax(0).argsort(descending=True, stable=True)[: self.n].sort().values
        title = "Correlation of known factors with code dimensions"
        if len(strongest) < r.shape[1]:
            title += f", the {len(strongest)} of {r.shape[1]} with the largest correlation"
        names = [f"{name} (η)" if k in nominal else name for k, name in enumerate(data.factor_names)]
        rows = [str(dimension) for dimension in strongest.tolist()]
        figure = plots_codes.correlations(r[:, strongest].T, rows, names, "", "code dimension", title)
        save_figure(trainer, figure, "factor-correlation")
        return {}
