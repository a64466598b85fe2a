"""Active units and the KL divergence of each code dimension."""

from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.evaluation.access import generative_module, is_drawn, save_figure, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.objectives.divergences import kl_standard_normal_by_dimension


class Posterior(ScoreCallback):
    """`active_units`, and for a Gaussian code `kl`, the mean KL divergence from N(0, I), with a figure by dimension.

    A unit is active if Var_x(E[z_d | x]) is above the threshold (Burda et al. 2016, section 5.2). Active units can be
    compared between models with a prior; codes of other models are unbounded, and nearly all their units are above the
    threshold. `kl` is left out for a model that logs it as a term of its loss, such as a VAE. Figure `kl-by-dimension`:
    mean KL divergence of each code dimension in nats, largest first.

    Args:
        threshold: threshold of the variance.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, threshold: float = 0.01, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.threshold = threshold

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        mu, _ = evaluation.codes(trainer)
        active = (mu.var(0, correction=0) > self.threshold).sum().item()
        evaluation.protocol["active_units"] = (
            f"of {mu.shape[1]} code dimensions: those whose mean code has a variance above {self.threshold}"
        )
        logvar = evaluation.logvar(trainer)
        if logvar is None:
            return {"active_units": active}
        kl = kl_standard_normal_by_dimension(mu, logvar).mean(0)  # [D]
        if is_drawn(trainer, "kl-by-dimension"):
            points = list(enumerate(kl.sort(descending=True).values.tolist(), 1))
            title = f"KL divergence from N(0, I) by code dimension, {active:.0f} of {len(kl)} active"
            figure = plots.curves({"mean KL": points}, "code dimension, largest KL first", "KL (nats)", title)
            save_figure(trainer, figure, "kl-by-dimension")
        values = {"active_units": active}
        if "kl" not in generative_module(trainer).tracked(split_name(trainer)):
            values["kl"] = kl.sum().item()
        return values
