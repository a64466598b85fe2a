"""Which code dimension follows which known factor."""

from lightning.pytorch import Trainer

from lit_ae import plots_codes
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule, save_figure


class FactorCorrelation(ScoreCallback):
    """Figure `factor-correlation`: correlation r of each known factor with the mean codes, from -1 to 1.

    A factor without an order gets the correlation ratio η, from 0 to 1: see `metrics.factors.factor_code_correlation`.
    Data without known factors have none.

    Args:
        n: at most this many dimensions, those with the strongest correlation to any factor.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, n: int = 16, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.n = n

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure; no values."""
        from lit_ae.metrics.factors import factor_code_correlation, nominal_factors

        codes, labels = evaluation.codes(trainer)
        data = datamodule(trainer)
        factors = data.split("test" if trainer.testing else "val").factors
        if factors is None:
            return {}
        factors = factors[: len(codes)]
        nominal = nominal_factors(factors, labels)
        r = factor_code_correlation(codes, factors, nominal)  # [F, D]
        strongest = r.abs().amax(0).argsort(descending=True, stable=True)[: self.n].sort().values
        title = "Correlation of known factors with code dimensions"
        if len(strongest) < r.shape[1]:
            title += f", the {len(strongest)} strongest of {r.shape[1]}"
        names = [f"{name} (η)" if k in nominal else name for k, name in enumerate(data.factor_names)]
        columns = [str(dimension) for dimension in strongest.tolist()]
        figure = plots_codes.correlations(r[:, strongest], names, columns, "code dimension", title)
        save_figure(trainer, figure, "factor-correlation")
        return {}
