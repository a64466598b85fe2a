"""Disentanglement: how well code dimensions represent known generative factors."""

from lightning.pytorch import Trainer

from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, scored_split
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.factors import (
    BINS,
    TREES,
    dci,
    factor_code_correlation,
    mutual_information_gap,
    nominal_factors,
    separated_attribute_predictability,
)


class Factors(ScoreCallback):
    """`mig`, `sap`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness` and `factor_correlation`.

    The last is the mean over factors of the largest |correlation| with any code dimension; for the others see
    `metrics.codes.factors`. Higher is better. All are computed on the mean codes of the split being scored; random
    forests and SVMs are trained on the training split. A factor that is the class label counts as nominal. Logs nothing
    if the data set has no known factors.

    Args:
        seed: seed of the random forests.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "Factors.{}", seed=seed)
        self.seed = seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        data = datamodule(trainer)
        train, split = data.split("train"), scored_split(trainer)
        if split.factors is None or train.factors is None:
            raise NotComputable(f"{data.name} has no known factors")
        nominal = nominal_factors(train.factors, train.y)
        codes, factors, learnt = evaluation.codes(trainer)[0], split.factors, evaluation.train_codes(trainer)
        names = [f"{name} (nominal)" if f in nominal else name for f, name in enumerate(data.factor_names)]
        evaluation.protocol["factors"] = (
            f"factors: {', '.join(names)}; MIG with {BINS} bins; SAP by r² and linear SVM; DCI by random forests of "
            f"{TREES} trees; trained on {len(learnt):,} training codes, scored on {len(codes):,} codes"
        )
        pairs = (learnt, train.factors, codes, factors)
        values: dict[str, float] = {}
        with evaluation.leaving_out("mig", "factor_correlation"):
            values["mig"] = mutual_information_gap(codes, factors, nominal)
            correlation = factor_code_correlation(codes, factors, nominal)
            values["factor_correlation"] = correlation.abs().amax(1).mean().item()
        with evaluation.leaving_out("sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"):
            values |= {
                "sap": separated_attribute_predictability(*pairs, nominal),
                **dci(*pairs, nominal, self.seed),
            }
        return values
