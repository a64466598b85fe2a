"""Linear and nearest-neighbour classification of the codes."""

from lightning.pytorch import Trainer

from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_codes, labelled_indices, labelled_train_codes
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.probe import probe_by_sample


class LinearProbe(ScoreCallback):
    """`probe_accuracy`, `probe_f1`, `probe_auc`, `probe_converged` and `knn_accuracy` of the mean codes.

    Logistic regression and nearest neighbours learn from the training split and are evaluated on the split being
    scored. What each value is: see `probe_scores`; higher is better.

    Args:
        max_train: number of training codes from which the regression learns, stratified by class; if null, all.
        max_knn: number of training codes among which neighbours are searched, stratified by class.
        k: number of neighbours.
        seed: seed of the choice of these codes.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # keeps whether each test sample is classified correctly
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
        require_at_least(0, "LinearProbe.{}", seed=seed)
        require_at_least(1, "LinearProbe.{}", max_train=max_train, max_knn=max_knn, k=k)
        self.max_train, self.max_knn, self.k, self.seed = max_train, max_knn, k, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        codes, labels = labelled_codes(trainer, evaluation)
        learnt, y = labelled_train_codes(trainer, evaluation)
        values, correct = probe_by_sample(learnt, y, codes, labels, self.seed, self.max_train, self.max_knn, self.k)
        for name, hits in correct.items():
            evaluation.keep_samples(name, hits, labelled_indices(trainer, evaluation, split_name(trainer)))
        if "probe_auc" not in values:
            evaluation.leave_out(f"the {len(labels):,} labelled samples that are scored are of one class", "probe_auc")
        used, near = (min(len(y), most or len(y)) for most in (self.max_train, self.max_knn))
        evaluation.protocol["probe"] = (
            f"logistic regression (L2, C = 1) on {used:,} standardised training codes, macro F1, one-vs-rest AUC; "
            f"{min(self.k, near)} nearest neighbours among {near:,} training codes; scored on {len(labels):,} codes"
        )
        return values
