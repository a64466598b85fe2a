"""How many units of the code are at work."""

from lightning.pytorch import Trainer

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback


class Sparsity(ScoreCallback):
    """`mean_activation`, `active_share` and `used_share` of the mean codes.

    A unit is active where |h| is above the threshold: `active_share` is the share of all units times samples that are,
    `used_share` the share of units that are active for any sample at all. What they mean depends on the code's scale:
    compare them between codes of the same activation.

    Args:
        threshold: activation above which a unit counts as active.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, threshold: float = 0.1, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.threshold = threshold

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        codes, _ = evaluation.codes(trainer)
        active = codes.abs() > self.threshold
        evaluation.protocol["sparsity"] = f"a unit is active where |activation| > {self.threshold:g}"
        return {
            "mean_activation": codes.mean().item(),
            "active_share": active.float().mean().item(),
            "used_share": active.any(0).float().mean().item(),
        }
