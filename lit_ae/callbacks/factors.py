"""Do code dimensions stand for the generative factors?"""

from lightning.pytorch import Trainer

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule
from lit_ae.metrics.factors import (
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

    The last is the mean over factors of the largest |correlation| with any code dimension. Over the mean codes of the
    split at hand; forests and SVMs learn from the training split. Nothing where the data have no known factors. The
    factor that is the class label counts as nominal.

    Args:
        seed: of the forests.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.seed = seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        data = datamodule(trainer)
        train, split = data.split("train"), data.split("test" if trainer.testing else "val")
        if split.factors is None or train.factors is None:
            return {}
        nominal = nominal_factors(train.factors, train.y)
        codes, learnt = evaluation.codes(trainer)[0], evaluation.train_codes(trainer)
        factors = split.factors[: len(codes)]  # of as many samples as the trainer was told to take
        names = [f"{name} (nominal)" if f in nominal else name for f, name in enumerate(data.factor_names)]
        evaluation.protocol["factors"] = (
            f"{', '.join(names)}; MIG of {BINS} bins; SAP by r² and linear SVM; DCI by forests of {TREES} trees on "
            f"{len(learnt):,} training codes, scored on {len(codes):,}"
        )
        pairs = (learnt, train.factors, codes, factors)
        correlation = factor_code_correlation(codes, factors, nominal)
        return {
            "mig": mutual_information_gap(codes, factors),
            "sap": separated_attribute_predictability(*pairs, nominal),
            **dci(*pairs, nominal, self.seed),
            "factor_correlation": correlation.abs().amax(1).mean().item(),
        }
