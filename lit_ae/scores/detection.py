"""How well a score separates anomalies from normal samples."""

from lit_ae.scores.arrays import Array, labels, tensor


def detection(scores: Array, anomalous: Array) -> dict[str, float]:
    """`auroc` and `auprc` (higher is better), `fpr95` (lower is better), each in [0, 1], of an anomaly score.

    `auprc` is the average precision with anomalies as positives; `fpr95` the share of normal samples at or above the
    threshold that keeps 95 % of the anomalies (Hendrycks & Gimpel 2017; Liang et al. 2018).

    Args:
        scores: anomaly scores [N], larger for more unusual samples.
        anomalous: [N], whether each sample is an anomaly (True and False, or 1 and 0).

    Raises:
        ValueError: arrays that do not fit, or samples of one kind only.

    >>> import lit_ae
    >>> lit_ae.scores.detection([0.1, 0.2, 0.9, 0.8], [False, False, True, True])
    {'auroc': 1.0, 'auprc': 1.0, 'fpr95': 0.0}
    """
    from lit_ae.metrics.reconstruction.anomaly import detection_scores

    values = tensor(scores, "scores", 1, "one score a sample, [N]").double()
    kinds = labels(anomalous, "anomalous", len(values))
    if int(kinds.max() if len(kinds) else 0) > 1:
        raise ValueError("anomalous must hold True and False, or 1 and 0")
    return detection_scores(values, kinds.bool())
