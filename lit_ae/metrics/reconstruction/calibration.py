"""Calibration: how well a predicted variance agrees with the size of the error."""

from collections.abc import Sequence

from torch import Tensor

from lit_ae.errors import NotComputable

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def split_variance(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Aleatoric and epistemic part of a prediction's variance, from M models' means and variances [M, ...]: both [...].

    The law of total variance: the mean of the models' variances, and the variance (ddof = 1) of their means (Depeweg et
    al. 2018, equation 6). If the means are estimated from K draws, the epistemic part contains 1/K of the aleatoric
    part.

    Raises:
        ValueError: fewer than 2 models, or shapes that differ.
    """
    if means.shape != variances.shape or len(means) < 2:
        raise ValueError(
            f"needs means and variances of the same models, at least 2: {list(means.shape)} and {list(variances.shape)}"
        )
    return variances.mean(0), means.var(0)


def error_correlation(variance: Tensor, squared_error: Tensor) -> dict[str, float]:
    """`pearson` and `spearman` correlation of variances with squared errors of the same shape.

    Raises:
        NotComputable: fewer than 2 values, or values that are all equal.
        ValueError: shapes that differ, or values that are not finite.
    """
    from scipy.stats import pearsonr, spearmanr

    a, b = (part.detach().cpu().double().flatten().numpy() for part in (variance, squared_error))
    if a.shape != b.shape or len(a) < 2:
        kind = NotComputable if a.shape == b.shape else ValueError
        raise kind(f"a correlation needs two or more pairs, not {len(a)} variances and {len(b)} squared errors")
    for name, values in (("variance", a), ("squared error", b)):
        if not abs(values).max() < float("inf"):
            raise ValueError(f"a {name} is not finite")
        if values.max() - values.min() <= 1e-12 * abs(values).max():
            raise NotComputable(f"every {name} is {values[0]:.3g}: there is no correlation")
    return {"pearson": float(pearsonr(a, b).statistic), "spearman": float(spearmanr(a, b).statistic)}


def interval_coverage(x: Tensor, mean: Tensor, variance: Tensor, levels: Sequence[float] = LEVELS) -> list[float]:
    """Share of values x within the central interval of N(mean, variance) at each nominal level; all have one shape.

    |x - mean| ≤ Φ⁻¹((1 + level) / 2) √variance (the reliability of Kuleshov et al. 2018, for central intervals). If the
    variance is 0, only x = mean lies within it.

    Raises:
        ValueError: no values, a variance that is negative, infinite or NaN, or a level outside (0, 1).
    """
    from statistics import NormalDist

    import torch

    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels must lie between 0 and 1: {list(levels)}")
    error, variance = (x.double() - mean.double()).abs(), variance.double()
    if not error.numel() or not (variance >= 0).all() or not (error + variance).isfinite().all():
        raise ValueError("coverage needs values that are finite and variances of at least 0")
    std = variance.sqrt()
    wide = torch.tensor([NormalDist().inv_cdf((1 + level) / 2) for level in levels])
    return [(error <= width * std).double().mean().item() for width in wide.tolist()]


def calibration_error(coverage: Sequence[float], levels: Sequence[float] = LEVELS) -> float:
    """Mean over levels of |coverage - level|; 0 for perfectly calibrated intervals.

    Raises:
        ValueError: the numbers of values and levels differ.
    """
    return sum(abs(c - level) for c, level in zip(coverage, levels, strict=True)) / len(levels)
