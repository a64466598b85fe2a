"""Dependence between code dimensions, information in the codes, intrinsic dimension."""

import math

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

SINGULAR = 1e-12  # eigenvalues of a correlation matrix of float32 codes below this are rounding


def total_correlation(mu: Tensor, logvar: Tensor | None = None) -> float:
    """Total correlation in nats of a Gaussian with the covariance of the codes: -½ log det of the correlation matrix.

    KL(q(z) ‖ Π_d q(z_d)) (Watanabe 1960) in closed form. The covariance is that of the aggregated posterior, Cov(μ) +
    mean of diag σ², of mu and logvar [N, D]; if logvar is None, that of the mean codes. It measures only linear
    dependence: 0 means uncorrelated, not independent. The finite sample adds about D (D - 1) / 4N. Constant dimensions
    are independent of all others and are left out.

    Raises:
        NotComputable: a dimension is a linear function of others (as always if N ≤ D), so that the total correlation is
            infinite.
        ValueError: a code is not finite.
    """
    z, noise = _checked(mu, logvar)
    covariance = (z - z.mean(0)).T @ (z - z.mean(0)) / len(z)
    if noise is None:
        varies = (z != z[0]).any(0)
    else:
        covariance += noise.exp().mean(0).diag()
        varies = torch.ones(z.shape[1], dtype=torch.bool)
    covariance = covariance[varies][:, varies]
    if len(covariance) < 2:
        return 0.0
    scale = covariance.diagonal().sqrt()
    values = torch.linalg.eigvalsh(covariance / scale / scale.unsqueeze(1))
    if values[0] < SINGULAR:
        raise NotComputable(
            f"{len(scale)} dimensions of {len(z)} codes are linearly dependent: their total correlation is infinite"
        )
    return max(0.0, -0.5 * float(values.log().sum()))


def posterior_total_correlation(z: Tensor, mu: Tensor, logvar: Tensor) -> float:
    """Total correlation in nats of the aggregated posterior q(z) = 1/N Σ_n q(z | x_n), estimated on draws z [M, D].

    Mean over draws of log q(z) - Σ_d log q(z_d) (Chen et al. 2018, equation 2), where q is the mixture of all N
    Gaussians mu, logvar [N, D]; in training it is estimated from a weighted batch of them. It measures any dependence,
    but if the Gaussians hardly overlap it is that of N separate points and grows with N, up to (D - 1) log N. It takes
    time N M D and memory N M. As a mean over draws it may be slightly below 0.

    Raises:
        ValueError: a code is not finite.
    """
    mu, noise = _checked(mu, logvar)
    assert noise is not None
    z = z.detach().cpu().float()
    joint, marginals = torch.zeros(len(z), len(mu)), torch.zeros(len(z))
    for d in range(mu.shape[1]):
        centre, spread = mu[:, d].float(), noise[:, d].float()
        log_q = -0.5 * ((z[:, d, None] - centre).square() * (-spread).exp() + spread + math.log(2 * math.pi))  # [M, N]
        marginals += log_q.logsumexp(1) - math.log(len(mu))
        joint += log_q
    return (joint.logsumexp(1) - math.log(len(mu)) - marginals).double().mean().item()


def information_rate(mu: Tensor, logvar: Tensor) -> float:
    """R = Σ_d ½ log2(1 + Var_x(μ_d) / mean_x σ²_d) in bits, of posteriors N(mu, diag exp(logvar)), both [N, D].

    The capacity of D parallel Gaussian channels (Shannon 1948) whose signal is the mean code and whose noise has the
    posterior's mean variance: an upper bound of I(x; z) if the noise is the same for all x. Variances have divisor N.

    Raises:
        ValueError: a code is not finite.
    """
    z, noise = _checked(mu, logvar)
    assert noise is not None
    ratio = z.var(0, correction=0).log() - noise.exp().mean(0).log()  # logarithms, since the noise may be tiny
    return (0.5 / math.log(2) * torch.nn.functional.softplus(ratio)).sum().item()


def intrinsic_dimension(codes: Tensor) -> float:
    """TwoNN estimate of the dimension of the manifold that codes [N, D] lie on (Facco et al. 2017).

    The maximum-likelihood form (N - 1) / Σ_i ln(r_i2 / r_i1), where r_i1 and r_i2 are the distances to the nearest and
    the second nearest other code (the paper fits a line to the same ratios). Equal codes count once; fewer than 3
    different codes have dimension 0. High dimensions are underestimated: 10,000 uniform points in a cube of 20
    dimensions give about 14.

    Raises:
        NotComputable: each code's first and second neighbour are equally far away.
        ValueError: a code is not finite.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    z = np.unique(_checked(codes, None)[0].numpy(), axis=0)
    if len(z) < 3:
        return 0.0
    method = "brute" if z.shape[1] > 10 else "auto"
    near = (
        NearestNeighbors(n_neighbors=3, algorithm=method).fit(z).kneighbors(z)[1]
    )  # [N, 3], each code itself included
    distances = np.sort(
        np.linalg.norm(z[near] - z[:, None], axis=2), axis=1
    )  # from differences: sums of squares are inexact for near codes
    logs = np.log(distances[:, 2] / distances[:, 1])
    if not logs.sum():
        raise NotComputable("each code's first and second neighbour are equally far away, as on a grid")
    return float((len(z) - 1) / logs.sum())


def _checked(mu: Tensor, logvar: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if mu.ndim != 2 or not mu.numel():
        raise ValueError(f"codes must be [N, D] with N, D > 0, not {tuple(mu.shape)}")
    parts = [part.detach().cpu().double() for part in (mu, logvar) if part is not None]
    if not all(part.isfinite().all() for part in parts):
        raise ValueError("a code is NaN or infinite: the codes cannot be scored")
    return parts[0], parts[1] if logvar is not None else None
