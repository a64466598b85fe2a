"""Reconstruction and KL term of a variational model, epoch by epoch."""

from lightning.pytorch import Trainer

from lit_ae import plots, tracking
from lit_ae.evaluation.access import reconstruction_module, save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.tracking.logger import run_logger

STAGES = {"train": "training", "val": "validation"}


class ReconstructionKL(ScoreCallback):
    """Figure `recon-kl` of the terms logged in training: nll above, `kl` below; only for models that log `kl`."""

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figure, unless the run is not tracked; no values."""
        logger = run_logger(trainer)
        if logger is None or logger.run_id is None:
            return {}
        run = tracking.get_run(logger.run_id)
        nll, kl = ({name: run.history(f"{s}/{term}") for s, name in STAGES.items()} for term in ("nll", "kl"))
        if not any(kl.values()):
            return {}
        summed = reconstruction_module(trainer).likelihood.pixels == "sum"
        panels = {
            f"reconstruction nll ({'nats' if summed else 'nats per pixel'})": nll,
            "KL divergence from the prior (nats)": kl,
        }
        save_figure(trainer, plots.stacked_curves(panels, "epoch", "Reconstruction and KL by epoch"), "recon-kl")
        return {}
