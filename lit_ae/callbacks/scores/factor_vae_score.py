"""Disentanglement by the vote of the FactorVAE paper."""

from lightning.pytorch import Trainer

from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, scored_split
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.factor_votes import SIZE, VOTES, factor_vae_score


class FactorVAEScore(ScoreCallback):
    """`factor_vae_score` of the mean codes of the split being scored (Kim & Mnih 2018); higher is better.

    Logs nothing if the data set has no known factors.

    Args:
        seed: seed of the draws.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "FactorVAEScore.{}", seed=seed)
        self.seed = seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """The score by its name."""
        split = scored_split(trainer)
        if split.factors is None:
            raise NotComputable(f"{datamodule(trainer).name} has no known factors")
        codes = evaluation.codes(trainer)[0]
        evaluation.protocol["factor_vae_score"] = (
            f"majority vote of {VOTES} groups of {SIZE} codes with one factor fixed, scored on {VOTES} more, from "
            f"{len(codes):,} codes"
        )
        return {"factor_vae_score": factor_vae_score(codes, split.factors, self.seed)}
