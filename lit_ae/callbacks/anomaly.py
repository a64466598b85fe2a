"""Does a class that was never trained on stand out?"""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import (
    CHUNK,
    Evaluation,
    ScoreCallback,
    as_images,
    datamodule,
    gather_in_order,
    save_figure,
)
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.data.base import ArrayDataset
from lit_ae.divergences import kl_standard_normal
from lit_ae.errors import SettingError
from lit_ae.metrics.anomaly import detection_scores, threshold_scores
from lit_ae.plots_histograms import histograms

LABELS = {"nll": "reconstruction error, nll at the mean code", "kl": "KL of the code to N(0, I) (nats)"}


class Anomaly(ScoreCallback):
    """`anomaly/{nll,kl}/{auroc,auprc,fpr95,threshold,false_positive_rate,recall}` of the class that `leave_out` names.

    The test split's samples of that class are the anomalies. Scores: `nll`, the reconstruction error from the mean code
    (no draw, so that it is the same for any number of processes), and where the code is a Gaussian `kl`. The threshold
    is a quantile of the validation split, which is normal throughout. Figures `anomaly-scores`,
    `anomaly-scores-kl`. Nothing where no class is left out (`data.leave_out`) or test has no sample of it.

    Args:
        quantile: of the validation split's scores, 1 minus the false positive rate aimed at.

    Raises:
        SettingError: `quantile` outside (0, 1).
    """

    needs_labels = True
    rank_zero = False

    def __init__(self, quantile: float = 0.95) -> None:
        super().__init__()
        if not 0 < quantile < 1:
            raise SettingError(f"quantile of Anomaly is {quantile}: it must lie between 0 and 1")
        self.quantile = quantile

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name, the same on every rank."""
        data = datamodule(trainer)
        if data.leave_out is None:
            evaluation.protocol["anomaly"] = "not scored: no class was left out of training (data.leave_out)"
            return {}
        anomalous = data.split("test").y == data.leave_out
        if anomalous.all() or not anomalous.any():
            evaluation.protocol["anomaly"] = (
                f"not scored: {int(anomalous.sum())} of {len(anomalous):,} test samples are of class {data.leave_out}"
            )
            return {}
        normal = self._scores(trainer, data.split("val"))
        values: dict[str, float] = {}
        for name, test in self._scores(trainer, data.split("test")).items():
            found = detection_scores(test, anomalous)
            found |= threshold_scores(normal[name], test, anomalous, self.quantile)
            values |= {f"anomaly/{name}/{key}": value for key, value in found.items()}
            groups = {"normal": test[~anomalous], f"anomalous, class {data.leave_out}": test[anomalous]}
            mark = {f"{self.quantile:.0%} of validation": found["threshold"]}
            title = f"Test samples, class {data.leave_out} left out of training: AUROC {found['auroc']:.3f}"
            figure = histograms(groups, LABELS[name], title, mark)
            save_figure(trainer, figure, "anomaly-scores" if name == "nll" else f"anomaly-scores-{name}")
        evaluation.protocol["anomaly"] = (
            f"class {data.leave_out}, unseen in training: {int(anomalous.sum()):,} of {len(anomalous):,} test samples; "
            f"scores at the mean code; threshold: {self.quantile:g} quantile of {len(data.split('val')):,} normal "
            "validation samples"
        )
        return values

    def _scores(self, trainer: Trainer, data: ArrayDataset) -> dict[str, Tensor]:
        """Score -> its values [N] in the data's order, each rank having done its share."""
        module = module_of(trainer)
        parts: dict[str, list[Tensor]] = {}
        for own in torch.arange(trainer.global_rank, len(data), trainer.world_size).split(CHUNK):
            x, y = as_images(data.x[own], module), data.y[own].to(module.device)
            with torch.no_grad(), module.given(y):
                mu, logvar, _ = module.encode(x)
                parts.setdefault("nll", []).append(module.likelihood.fit(module.decoder(mu), x).nll.cpu())
            if logvar is not None:
                parts.setdefault("kl", []).append(kl_standard_normal(mu, logvar).cpu())
        return {name: gather_in_order(torch.cat(part), trainer) for name, part in parts.items()}
