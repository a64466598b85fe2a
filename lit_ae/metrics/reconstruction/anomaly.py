"""How well a score that is larger for unusual samples separates anomalies from normal samples."""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable


def detection_scores(scores: Tensor, anomalous: Tensor) -> dict[str, float]:
    """`auroc`, `auprc` (average precision, anomalies positive) and `fpr95` of scores [N]; anomalous [N] bool.

    `fpr95` is the false positive rate at a recall of at least 95 %: the share of normal samples at or above the largest
    threshold that 95 % of the anomalies reach (Hendrycks & Gimpel 2017; Liang et al. 2018). Higher `auroc` and `auprc`
    and a lower `fpr95` are better.

    Raises:
        NotComputable: no anomalies or no normal samples.
        ValueError: scores that are not finite, or shapes that differ.
    """
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    if scores.shape != anomalous.shape or scores.ndim != 1:
        raise ValueError(f"scores and anomalous must be [N]: {list(scores.shape)}, {list(anomalous.shape)}")
    if not scores.isfinite().all():
        raise ValueError("a score is not finite")
    anomalous = anomalous.bool()
    found = int(anomalous.sum())
    if not 0 < found < len(scores):
        raise NotComputable(
            f"{found} of {len(scores)} samples are anomalies: detection needs anomalies and normal samples"
        )
    # Ranks: torchmetrics applies a sigmoid to values outside [0, 1], which makes all large ones equal
    ranks = torch.unique(scores, return_inverse=True)[1].double() / len(scores)
    labels = anomalous.long()
    enough = -(-95 * found // 100)  # 95 % of the anomalies, rounded up
    threshold = scores[anomalous].sort(descending=True).values[enough - 1]
    return {
        "auroc": binary_auroc(ranks, labels).item(),
        "auprc": binary_average_precision(ranks, labels).item(),
        "fpr95": (scores[~anomalous] >= threshold).double().mean().item(),
    }


def auroc_by_sample(scores: Tensor, anomalous: Tensor) -> Tensor:
    """What each sample adds to the AUROC of scores [N]; anomalous [N] bool: values [N] of which it is the mean.

    A sample's placement V is the share of samples of the other kind that it is ordered rightly with, ties counting
    half. Of the n samples of its kind the value is AUROC + N / n (V - AUROC), with a factor close to 1 by which the
    variance of the mean of these values, and of the mean of two models' differences, is that of DeLong, DeLong &
    Clarke-Pearson (1988), equations 4 to 6. A paired t-test over the samples is therefore their test of two AUROCs.

    Raises:
        NotComputable: fewer than two anomalies or normal samples.
    """
    scores, anomalous = scores.double(), anomalous.bool()
    n = {kind: int((anomalous == kind).sum()) for kind in (True, False)}
    if min(n.values()) < 2:
        raise NotComputable(f"{n[True]} anomalies and {n[False]} normal samples: the variance needs two of each")
    values = torch.empty_like(scores)
    for kind in (True, False):
        own, others = scores[anomalous == kind], scores[anomalous != kind].sort().values
        below = torch.searchsorted(others, own) + torch.searchsorted(others, own, right=True)
        placements = below.double() / (2 * len(others))
        placements = placements if kind else 1 - placements
        area = placements.mean()
        exact = (n[kind] / (n[kind] - 1) * (len(scores) - 1) / len(scores)) ** 0.5
        values[anomalous == kind] = area + exact * len(scores) / n[kind] * (placements - area)
    return values


def threshold_scores(normal: Tensor, scores: Tensor, anomalous: Tensor, quantile: float) -> dict[str, float]:
    """`threshold`, a quantile of normal validation scores [M], and its rates on scores [N]; anomalous [N] bool.

    `false_positive_rate` and `recall`: share of normal and of anomalous samples above the threshold. The expected value
    of the former is 1 - quantile if the normal samples are distributed as those of validation.

    Raises:
        ValueError: no validation scores, one that is not finite, a quantile outside (0, 1), no anomalies or no normal
            samples.
    """
    if not len(normal) or not normal.isfinite().all():
        raise ValueError("a threshold needs validation scores, all of which must be finite")
    if not 0 < quantile < 1:
        raise ValueError(f"the quantile must lie between 0 and 1, got {quantile}")
    anomalous = anomalous.bool()
    if anomalous.all() or not anomalous.any():
        raise ValueError("a threshold's rates need anomalies and normal samples")
    import numpy as np

    threshold = float(np.quantile(normal.double().cpu().numpy(), quantile))  # torch's refuses more than 2^24 values
    above = scores.double() > threshold
    return {
        "threshold": threshold,
        "false_positive_rate": above[~anomalous].double().mean().item(),
        "recall": above[anomalous].double().mean().item(),
    }
