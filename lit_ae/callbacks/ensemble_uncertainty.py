"""What models of several seeds disagree on."""

import copy

import torch
from lightning.pytorch import Trainer

from lit_ae import plots, tracking
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, first_images, first_labels, save_figure
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.callbacks.uncertainty import calibration, code_uncertainty
from lit_ae.errors import SettingError
from lit_ae.metrics.calibration import split_variance
from lit_ae.models.base import ReconstructionModule
from lit_ae.run_logger import run_logger


class EnsembleUncertainty(ScoreCallback):
    """`ensemble/{aleatoric,epistemic,models}`: per-pixel variance split over this model and its siblings.

    Siblings are the study's finished runs of the same model and settings with other seeds (Lakshminarayanan et al.
    2017). Total = mean of the models' variances over K draws of the code + variance of their means. Beside them
    the total's `ensemble-calibration/{pearson,spearman,image_spearman,error}`, figures `ensemble-uncertainty` and
    `ensemble-calibration`. A run sees those that have finished before
    it: read the last one's, or test again (`lit-ae test --run_id`). A run without siblings scores nothing.

    Args:
        draws: number K of draws of the code for each model.
        n: images in the figure.
        max_images: the test split's first images that the means are taken over.
        seed: of the draws, the same for every model.
    """

    needs_images = True

    def __init__(self, draws: int = 32, n: int = 10, max_images: int = 1000, seed: int = 0) -> None:
        super().__init__()
        self.draws, self.n, self.max_images, self.seed = draws, n, max_images, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Mean variances of pixels in [0, 1], and what they say of the error."""
        siblings = finished_siblings(trainer)
        x, y = first_images(trainer, self.max_images), first_labels(trainer, self.max_images)
        module = module_of(trainer)
        moments = [code_uncertainty(module, x, y, self.draws, self.seed)]
        other, seeds, left_out = copy_of(module), [], ""
        for run in siblings:
            try:
                load(other, run.id)
            except SettingError as reason:  # checkpoints may have been cleared away
                left_out += f"; seed {run.seed} left out: {reason}"
                continue
            seeds.append(str(run.seed))
            moments.append(code_uncertainty(other, x, y, self.draws, self.seed))
        if not seeds:
            evaluation.protocol["ensemble"] = (
                f"not scored: no finished run of the study differs in its seed alone{left_out}"
            )
            return {}
        means, variances = (torch.stack(part) for part in zip(*moments, strict=True))  # [M, N, *shape]
        aleatoric, epistemic = split_variance(means, variances)
        mean, x = means.mean(0), x.cpu()
        kinds = {"aleatoric": aleatoric, "epistemic": epistemic}
        rows = [("original", x[: self.n]), ("mean", mean[: self.n])]
        rows += [(name, variance[: self.n]) for name, variance in kinds.items()]
        title = (
            f"Variance of each pixel over {len(moments)} models: mean variance over {self.draws} draws of the code "
            "(aleatoric), variance of the models' means (epistemic)"
        )
        heat = dict.fromkeys(kinds, "pixel²")
        save_figure(trainer, plots.image_rows(rows, title, heat=heat), "ensemble-uncertainty")
        of = f"aleatoric plus epistemic, {len(moments)} models"
        evaluation.protocol["ensemble"] = (
            f"{len(moments)} models, this one and seeds {', '.join(seeds)}; "
            f"{self.draws} draws of each code, first {len(x):,} images{left_out}"
        )
        return {
            "ensemble/models": float(len(moments)),
            "ensemble/aleatoric": aleatoric.mean().item(),
            "ensemble/epistemic": epistemic.mean().item(),
            **calibration(trainer, x, mean, aleatoric + epistemic, of, "ensemble-calibration"),
        }


def finished_siblings(trainer: Trainer) -> list[tracking.Run]:
    """The study's newest finished runs of the same model and settings, one for each other seed, by seed."""
    logger = run_logger(trainer)
    if logger is None or logger.run_id is None:
        return []
    own = tracking.get_run(logger.run_id)
    parent = own.tags.get("mlflow.parentRunId")
    if parent is None:
        return []
    return tracking.newest(
        run
        for run in tracking.children(own.tags["study"], parent)
        if run.status == "FINISHED"
        and run.seed != own.seed
        and all(run.tags.get(tag) == own.tags.get(tag) for tag in ("kind", "model", "config_hash"))
    )


def copy_of(module: ReconstructionModule) -> ReconstructionModule:
    """A copy in evaluation that shares no weights, without the trainer and what hangs on it."""
    return copy.deepcopy(module, {id(module._trainer): None}).eval()


def load(module: ReconstructionModule, run_id: str) -> None:
    """Take over the weights that a run's training ended with.

    Raises:
        SettingError: the run left no checkpoint, or one that cannot be read or does not fit.
    """
    path = tracking.last_checkpoint(run_id)
    try:
        checkpoint = torch.load(path, map_location=module.device, weights_only=True)
        state = checkpoint["state_dict"]
    except Exception as error:
        raise SettingError(f"{path} cannot be read as a checkpoint ({type(error).__name__})") from error
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(state)
