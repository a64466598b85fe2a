"""Which code dimensions a model uses."""

from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, save_figure
from lit_ae.divergences import kl_standard_normal_by_dimension


class Posterior(ScoreCallback):
    """`active_units`, and where the code is a Gaussian `kl`, the mean KL to N(0, I), with a figure by dimension.

    A unit is active where Var_x(E[z_d | x]) is above the threshold (Burda et al. 2016, section 5.2). Active units are
    comparable between models with a prior; the unbounded codes of the others all are above it. Figure
    `kl-by-dimension`: mean KL of each code dimension in nats, largest first.

    Args:
        threshold: of the variance.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, threshold: float = 0.01, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.threshold = threshold

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        mu, _ = evaluation.codes(trainer)
        active = (mu.var(0, correction=0) > self.threshold).sum().item()
        evaluation.protocol["active_units"] = f"of {mu.shape[1]}: variance of the mean code above {self.threshold}"
        logvar = evaluation.logvar(trainer)
        if logvar is None:
            return {"active_units": active}
        kl = kl_standard_normal_by_dimension(mu, logvar).mean(0)  # [D]
        points = list(enumerate(kl.sort(descending=True).values.tolist(), 1))
        title = f"KL to N(0, I) by code dimension, {active:.0f} of {len(kl)} active"
        figure = plots.curves({"mean KL": points}, "code dimension, largest KL first", "KL (nats)", title)
        save_figure(trainer, figure, "kl-by-dimension")
        return {"active_units": active, "kl": kl.sum().item()}
