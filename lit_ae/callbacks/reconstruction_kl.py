"""How a VAE divides its loss, epoch by epoch."""

from lightning.pytorch import Trainer

from lit_ae import plots, tracking
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, save_figure
from lit_ae.models.vae import VAE
from lit_ae.run_logger import run_logger

STAGES = {"train": "training", "val": "validation"}


class ReconstructionKL(ScoreCallback):
    """Figure `recon-kl` of a VAE from what its training logged: nll above, KL to N(0, I) below; others have none.

    KL is the logged penalty over β. While training, annealing and free bits change the penalty; then KL is that of
    validation alone, where they do not act.
    """

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """No values; nothing for a run that is not tracked."""
        module, logger = trainer.lightning_module, run_logger(trainer)
        if not isinstance(module, VAE) or not module.beta or logger is None or logger.run_id is None:
            return {}
        run = tracking.get_run(logger.run_id)
        nll = {name: run.history(f"{stage}/nll") for stage, name in STAGES.items()}
        plain = module.annealing is None and not module.free_bits
        kl = {
            name: [(epoch, value / module.beta) for epoch, value in run.history(f"{stage}/penalty")]
            for stage, name in STAGES.items()
            if plain or stage == "val"
        }
        if not any(nll.values()):
            return {}
        unit = "nats" if module.likelihood.pixels == "sum" else "nats per pixel"
        panels = {f"reconstruction nll ({unit})": nll, "KL to N(0, I) (nats)": kl}
        save_figure(trainer, plots.stacked_curves(panels, "epoch", "Reconstruction and KL by epoch"), "recon-kl")
        return {}
