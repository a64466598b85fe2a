"""How much models of several seeds disagree."""

import copy

import torch
from lightning.pytorch import Trainer

from lit_ae import plots, tracking
from lit_ae.callbacks.scores.uncertainty import calibration, code_uncertainty
from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.evaluation.access import drawn, first_images, first_labels, save_figure, shades
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.calibration import split_variance
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.tracking.logger import run_logger

SPLIT = "data.split_seed"


class EnsembleUncertainty(ScoreCallback):
    """`ensemble/{aleatoric,epistemic,models}`: variance of pixels over this model and the same model of other seeds.

    The other models are the study's finished runs of the same model and settings with other seeds (Lakshminarayanan et
    al. 2017). `aleatoric` is the mean of the models' variances over K draws of the code, `epistemic` the variance of
    their means; the total variance is the sum of both. Also logged are `ensemble-calibration/{pearson,spearman,
    image_spearman,error}` of the total variance (see `calibration`); figures `ensemble-uncertainty` and
    `ensemble-calibration`. A run finds only the runs that finished before it: take the values of the last run, or test
    a run again (`lit-ae test --run_id`).

    Args:
        draws: number K of draws of the code for each model.
        n: number of images in the figure.
        max_images: number of images over which means are taken, the first ones of the split.
        seed: seed of the draws, the same for every model.
    """

    needs_images = True

    def __init__(self, draws: int = 32, n: int = 10, max_images: int = 1000, seed: int = 0) -> None:
        super().__init__()
        require_at_least(0, "EnsembleUncertainty.{}", seed=seed)
        require_at_least(1, "EnsembleUncertainty.{}", n=n, max_images=max_images)
        require_at_least(2, "EnsembleUncertainty.{}", draws=draws)
        self.draws, self.n, self.max_images, self.seed = draws, n, max_images, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Mean variances of pixels in [0, 1], and how well they predict the error."""
        siblings = finished_siblings(trainer)
        x, y = first_images(trainer, self.max_images), first_labels(trainer, self.max_images)
        module = module_of(trainer)
        moments = [code_uncertainty(module, x, y, self.draws, self.seed)]
        other, seeds, left_out = copy_of(module), [], ""
        for run in siblings:
            try:
                load(other, run.id)
            except SettingError as reason:  # checkpoints may have been deleted
                left_out += f"; seed {run.seed} left out: {reason}"
                continue
            seeds.append(str(run.seed))
            moments.append(code_uncertainty(other, x, y, self.draws, self.seed))
        if not seeds:
            raise NotComputable(f"the study has no finished run on the same split that differs in its seed{left_out}")
        means, variances = (torch.stack(part) for part in zip(*moments, strict=True))  # [M, N, *shape]
        aleatoric, epistemic = split_variance(means, variances)
        mean, x = means.mean(0), x.cpu()
        kinds = {"aleatoric": aleatoric, "epistemic": epistemic}
        rows = [(label, drawn(trainer, part[: self.n])) for label, part in (("original", x), ("mean", mean))]
        rows += [(name, variance[: self.n]) for name, variance in kinds.items()]
        title = (
            f"Variance of each pixel over {len(moments)} models: mean of the variances over {self.draws} draws of the "
            f"code (aleatoric) and variance of the models' means (epistemic){shades(trainer)}"
        )
        heat = dict.fromkeys(kinds, "pixel²")
        save_figure(trainer, plots.image_rows(rows, title, heat=heat), "ensemble-uncertainty")
        of = f"aleatoric plus epistemic variance, {len(moments)} models"
        evaluation.protocol["ensemble"] = (
            f"{len(moments)} models: this one and those of seeds {', '.join(seeds)}; "
            f"{self.draws} draws of each code, first {len(x):,} images{left_out}"
        )
        return {
            "ensemble/models": float(len(moments)),
            "ensemble/aleatoric": aleatoric.mean().item(),
            "ensemble/epistemic": epistemic.mean().item(),
            **calibration(trainer, x, mean, aleatoric + epistemic, of, "ensemble-calibration"),
        }


def finished_siblings(trainer: Trainer) -> list[tracking.Run]:
    """The study's newest finished runs of the same model, settings and split of the data with other seeds, in order.

    One for each seed. Where each seed has a split of its own, a run's test samples may be training samples of others.
    """
    logger = run_logger(trainer)
    if logger is None or logger.run_id is None:
        return []
    own = tracking.get_run(logger.run_id)
    parent = own.tags.get("mlflow.parentRunId")
    if parent is None:
        return []
    alike = "fit_hash" if "fit_hash" in own.tags else "config_hash"  # the second also changes with the scores
    return tracking.newest(
        run
        for run in tracking.children(own.tags["study"], parent)
        if run.status == "FINISHED"
        and run.seed != own.seed
        and all(run.tags.get(tag) == own.tags.get(tag) for tag in ("kind", "model", alike))
        and run.params.get(SPLIT) == own.params.get(SPLIT)
    )


def copy_of(module: ReconstructionModule) -> ReconstructionModule:
    """A copy in evaluation mode that shares no weights and does not copy the trainer."""
    return copy.deepcopy(module, {id(module._trainer): None}).eval()


def load(module: ReconstructionModule, run_id: str) -> None:
    """Load the weights with which a run is scored.

    Raises:
        SettingError: the run has no checkpoint, or one that cannot be read or does not fit.
    """
    checkpoint = read_checkpoint(tracking.last_checkpoint(run_id), "its checkpoint")
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
