"""Share of active units of the code."""

from lightning.pytorch import Trainer

from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback


class Sparsity(ScoreCallback):
    """`mean_activation`, `active_share` and `used_share` of the mean codes.

    A unit h is active for a sample if |h| is above the threshold. `active_share`: share of active units, mean over
    samples; `used_share`: share of units that are active for at least one sample. Both depend on the scale of the code:
    compare them only between codes with the same activation function.

    Args:
        threshold: absolute activation above which a unit counts as active.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, threshold: float = 0.1, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.threshold = threshold

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        codes, _ = evaluation.codes(trainer)
        active = codes.abs() > self.threshold
        evaluation.protocol["sparsity"] = f"a unit is active for a sample if |activation| > {self.threshold:g}"
        return {
            "mean_activation": codes.mean().item(),
            "active_share": active.float().mean().item(),
            "used_share": active.any(0).float().mean().item(),
        }
