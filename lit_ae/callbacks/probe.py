"""Can a linear classifier read the labels from the codes?"""

from lightning.pytorch import Trainer

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, datamodule
from lit_ae.metrics.probe import probe_scores


class LinearProbe(ScoreCallback):
    """`probe_accuracy`, `probe_f1`, `probe_auc`, `probe_converged` and `knn_accuracy` of the mean codes.

    Logistic regression and nearest neighbours learn from the training split and are scored on the split at hand; what
    each value is stands in `probe_scores`.

    Args:
        max_train: training codes that the regression learns from, stratified by class; all where null.
        max_knn: training codes among which neighbours are sought, stratified by class.
        k: neighbours.
        seed: of the choice of these codes.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_labels = True

    def __init__(
        self,
        max_train: int | None = None,
        max_knn: int = 10_000,
        k: int = 5,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.max_train, self.max_knn, self.k, self.seed = max_train, max_knn, k, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        codes, labels = evaluation.codes(trainer)
        learnt, y = evaluation.train_codes(trainer), datamodule(trainer).split("train").y
        values = probe_scores(learnt, y, codes, labels, self.seed, self.max_train, self.max_knn, self.k)
        used, near = (min(len(y), most or len(y)) for most in (self.max_train, self.max_knn))
        evaluation.protocol["probe"] = (
            f"logistic regression (L2, C = 1) on {used:,} standardised training codes, macro F1, one-vs-rest AUC; "
            f"{self.k} nearest of {near:,} training codes"
        )
        return values
