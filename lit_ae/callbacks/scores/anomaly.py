"""Detection of a class that was left out of training."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import ArrayDataset
from lit_ae.errors import NotComputable, SettingError
from lit_ae.evaluation.access import datamodule, save_figure, split_name
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.labelled import labelled_indices, labelled_split
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.anomaly import auroc_by_sample, detection_scores, threshold_scores
from lit_ae.models.capabilities import Conditional
from lit_ae.models.chunks import in_chunks
from lit_ae.objectives.divergences import kl_standard_normal
from lit_ae.plots.histograms import histograms
from lit_ae.statistics.samples import LEAST

LABELS = {"nll": "reconstruction error (nll at the mean code)", "kl": "KL divergence of the code from N(0, I) (nats)"}


class Anomaly(ScoreCallback):
    """`anomaly/{nll,kl}/{auroc,auprc,fpr95,threshold,false_positive_rate,recall}` of the class that `leave_out` names.

    The test samples of that class are the anomalies. A sample's anomaly score is `nll`, the reconstruction error from
    the mean code (without a random draw, so that it is the same for any number of processes), and, if the code is
    Gaussian, also `kl`. `auroc`, `auprc`, `fpr95`: see `detection_scores`. The threshold is a quantile of the scores of
    the validation split, which holds normal samples only; `false_positive_rate` and `recall` are those of this
    threshold. Of `auroc`, `recall` and `false_positive_rate` the values of single samples are kept, with which reports
    test over samples (`auroc`: DeLong's test, with 20 samples of either kind at least, see `auroc_by_sample`). Figures
    `anomaly-scores` and `anomaly-scores-kl`. It needs a class that is left out (`data.leave_out`) and labelled test
    samples of it and of others, and a family that is not given the class.

    Args:
        quantile: quantile of the validation scores; 1 minus the intended false positive rate.

    Raises:
        SettingError: `quantile` outside (0, 1).
    """

    version = 2  # no score of families that are given the class
    needs_labels = True
    rank_zero = False

    def __init__(self, quantile: float = 0.95) -> None:
        super().__init__()
        if not 0 < quantile < 1:
            raise SettingError(f"Anomaly.quantile is {quantile}: it must lie between 0 and 1, both excluded")
        self.quantile = quantile

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name, the same on every rank."""
        data = datamodule(trainer)
        if data.leave_out is None:
            raise NotComputable("no class was left out of training: set data.leave_out")
        test_split = labelled_split(trainer, evaluation, split_name(trainer))
        anomalous = test_split.y == data.left_out
        if anomalous.all() or not anomalous.any():
            raise NotComputable(
                f"{int(anomalous.sum())} of {len(anomalous):,} labelled test samples are of class {data.leave_out}"
            )
        validation = labelled_split(trainer, evaluation, "val")
        normal = self._scores(trainer, validation)
        places = labelled_indices(trainer, evaluation, split_name(trainer))
        values: dict[str, float] = {}
        for name, test in self._scores(trainer, test_split).items():
            found = detection_scores(test, anomalous)
            found |= threshold_scores(normal[name], test, anomalous, self.quantile)
            values |= {f"anomaly/{name}/{key}": value for key, value in found.items()}
            above = (test.double() > found["threshold"]).double()
            for key, kind in (("recall", anomalous), ("false_positive_rate", ~anomalous)):
                evaluation.keep_samples(f"anomaly/{name}/{key}", above[kind], places[kind])
            if min(int(kind.sum()) for kind in (anomalous, ~anomalous)) >= LEAST:
                evaluation.keep_samples(f"anomaly/{name}/auroc", auroc_by_sample(test, anomalous), places)
            groups = {"normal": test[~anomalous], f"anomalous, class {data.leave_out}": test[anomalous]}
            mark = {f"threshold ({self.quantile:.0%} of validation)": found["threshold"]}
            title = f"Test samples, class {data.leave_out} left out of training: AUROC {found['auroc']:.3f}"
            figure = histograms(groups, LABELS[name], title, mark)
            save_figure(trainer, figure, "anomaly-scores" if name == "nll" else f"anomaly-scores-{name}")
        evaluation.protocol["anomaly"] = (
            f"anomalies: class {data.leave_out}, left out of training, {int(anomalous.sum()):,} of "
            f"{len(anomalous):,} test samples; scores at the mean code; threshold: {self.quantile:g} quantile of "
            f"{len(validation):,} normal validation samples"
        )
        return values

    def _scores(self, trainer: Trainer, data: ArrayDataset) -> dict[str, Tensor]:
        """Score -> its values [N] in the order of the data; each rank computes its share."""
        module = module_of(trainer)
        if isinstance(module, Conditional):
            family = type(module).__name__
            raise NotComputable(f"{family} is given a sample's class, which tells whether the sample is an anomaly")

        def both(x: Tensor, y: Tensor | None) -> Tensor:  # [B, 1 or 2]
            mu, logvar = module.encode(x, y)[:2]
            scores = [module.likelihood.fit(module.raw(mu, y), x).nll]
            return torch.stack(scores if logvar is None else [*scores, kl_standard_normal(mu, logvar)], 1)

        own = slice(trainer.global_rank, None, trainer.world_size)
        found = gather_in_order(in_chunks(module, both, data.x[own], data.y[own]), trainer)
        return dict(zip(LABELS, found.T, strict=False))
