"""Disentanglement: does each code dimension represent one generative factor? Correlation, MIG, SAP and DCI.

A nominal factor is one whose values have no order, such as a kind of shape; all others are ordered. A factor that is
constant in the samples carries no information and is left out of every mean over factors.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 20  # bins of a code dimension, as in Locatello et al. 2019
TREES = 10  # trees of a random forest of DCI


def nominal_factors(factors: Tensor, labels: Tensor) -> tuple[int, ...]:
    """Columns of factors [N, F] that equal the class label [N], whose numbers have no order; -1 means no label."""
    known = labels >= 0
    same = (factors[known] == labels[known, None]).all(0) & known.any()  # [F]
    return tuple(same.nonzero().flatten().tolist())


def factor_code_correlation(codes: Tensor, factors: Tensor, nominal: Collection[int] = ()) -> Tensor:
    """Correlation [F, D], float64, of every factor [N, F] with every code dimension [N, D].

    For ordered factors Pearson's r in [-1, 1]. For nominal factors, whose numbers are arbitrary, the correlation ratio
    η = √(Σ_k n_k (z̄_k - z̄)² / Σ_i (z_i - z̄)²) in [0, 1] (Fisher 1925), which has no sign; with two values it is |r|.
    If a factor or a dimension is constant, r is 0 / 0 and is set to 0.

    Raises:
        ValueError: the numbers of samples differ or are 0, or a value is not finite.
    """
    z, v = _checked(codes, factors)
    z, varies = z - z.mean(0), (z != z[0]).any(0)  # [N, D], [D]
    total = z.square().sum(0)  # [D]
    rows = []
    for f in range(v.shape[1]):
        if f in nominal:
            _, kind, counts = v[:, f].unique(return_inverse=True, return_counts=True)
            sums = torch.zeros(len(counts), z.shape[1], dtype=z.dtype).index_add_(0, kind, z)
            row = ((sums.square() / counts.unsqueeze(1)).sum(0) / total).sqrt().clamp(max=1)
        else:
            u = v[:, f] - v[:, f].mean()
            row = (u @ z / (total * u.square().sum()).sqrt()).clamp(-1, 1)
        rows.append(torch.where(varies & (v[:, f] != v[0, f]).any(), row, 0.0))
    return torch.stack(rows)


def mutual_information_gap(codes: Tensor, factors: Tensor, nominal: Collection[int] = ()) -> float:
    """MIG in [0, 1] of codes [N, D] and factors [N, F] (Chen et al. 2018, equation 6).

    Mean over factors of (I(z_1; v) - I(z_2; v)) / H(v), where z_1 and z_2 are the two dimensions with the largest
    mutual information with v; for a code of a single dimension I(z_2; v) is 0. I is estimated from histograms with 20
    bins of equal width for each dimension, and for each ordered factor with more than 20 values (Locatello et al. 2019
    do not bin factors). The estimate is biased upwards by about bins² / 2N nats, which mostly cancels in the
    difference.

    Raises:
        NotComputable: no factor varies.
        ValueError: as for `factor_code_correlation`.
    """
    import numpy as np
    from sklearn.metrics import mutual_info_score

    z, v = (part.numpy() for part in _checked(codes, factors))
    binned = [_binned(column) for column in z.T]
    gaps = []
    for f in _varying(v):
        values, known = np.unique(v[:, f], return_inverse=True)
        if len(values) > BINS and f not in nominal:
            known = _binned(v[:, f])
        information = sorted(mutual_info_score(known, column) for column in binned)
        gaps.append(_gap(information) / mutual_info_score(known, known))
    return float(np.mean(gaps))


def separated_attribute_predictability(
    train_codes: Tensor, train_factors: Tensor, codes: Tensor, factors: Tensor, nominal: Collection[int] = ()
) -> float:
    """SAP in [0, 1]: difference between the prediction of a factor by the best and by the second best dimension.

    Kumar et al. 2018, section 3; mean over factors. Predictions are scored on codes [M, D] and factors [M, F]: for
    ordered factors by r²; for nominal factors by the accuracy of a linear SVM (C = 0.01 and balanced classes, as in
    Locatello et al. 2019) on one standardised dimension, fitted to train_codes [N, D] and train_factors [N, F].

    Raises:
        NotComputable: no factor varies.
        ValueError: as for `factor_code_correlation`.
    """
    import numpy as np
    from sklearn.svm import LinearSVC

    x, known = (part.numpy() for part in _checked(train_codes, train_factors))
    z, v = (part.numpy() for part in _checked(codes, factors))
    r2 = factor_code_correlation(codes, factors).square().numpy()  # [F, D]
    scale = np.where((x == x[0]).all(0), 1, x.std(0))
    x, z = (x - x.mean(0)) / scale, (z - x.mean(0)) / scale

    def accuracy(d: int, f: int) -> float:
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        return float(machine.fit(x[:, [d]], known[:, f]).score(z[:, [d]], v[:, f]))

    gaps = []
    for f in _varying(v, known):
        gaps.append(_gap([accuracy(d, f) for d in range(z.shape[1])] if f in nominal else list(r2[f])))
    return float(np.mean(gaps))


def dci(
    train_codes: Tensor,
    train_factors: Tensor,
    codes: Tensor,
    factors: Tensor,
    nominal: Collection[int] = (),
    seed: int = 0,
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, each in [0, 1] (Eastwood and Williams 2018).

    For each factor a random forest of 10 trees is fitted to train_codes [N, D] and train_factors [N, F]: a regression
    of an ordered factor, a classification of a nominal one. R_df is the importance (mean decrease in impurity) of
    dimension d for factor f.

    - `dci_disentanglement`: Σ_d ρ_d (1 - H(R_d· / Σ_f R_df)) with the entropy H to the base F and ρ_d the share of
      dimension d in the total importance; 0 if no dimension has any importance, 1 if F is 1.
    - `dci_completeness`: the same with the roles of factors and dimensions exchanged, entropy to the base D.
    - `dci_informativeness`: mean over factors of 1 - error / error of the best constant prediction on codes [M, D] and
      factors [M, F]: squared error for ordered factors (R²), share of wrong classes for nominal ones; at least 0.

    Raises:
        NotComputable: no factor varies.
        ValueError: as for `factor_code_correlation`.
    """
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    x, known = (part.numpy() for part in _checked(train_codes, train_factors))
    z, v = (part.numpy() for part in _checked(codes, factors))
    importances, explained = [], []
    for f in _varying(v, known):
        model: Callable[..., RandomForestClassifier | RandomForestRegressor]
        model = RandomForestClassifier if f in nominal else RandomForestRegressor
        forest = model(TREES, max_features=None, min_samples_leaf=2, random_state=seed)
        predicted = forest.fit(x, known[:, f]).predict(z)
        importances.append(forest.feature_importances_)
        if f in nominal:
            error, least = np.mean(predicted != v[:, f]), 1 - np.unique(v[:, f], return_counts=True)[1].max() / len(v)
        else:
            error, least = np.mean((predicted - v[:, f]) ** 2), v[:, f].var()
        explained.append(max(0.0, 1 - error / least))
    r = np.stack(importances)  # [F, D]
    return {
        "dci_disentanglement": concentration(r.T),
        "dci_completeness": concentration(r),
        "dci_informativeness": float(np.mean(explained)),
    }


def concentration(importance: "NDArray[np.float64]") -> float:
    """Σ_i ρ_i (1 - H(row i)) of importances [rows, K] ≥ 0: entropy to the base K, ρ_i the share of row i in the total.

    1 if each row has all its importance in one place, 0 if every row is spread evenly or all importances are 0.
    """
    import numpy as np
    from scipy.special import entr

    sums = importance.sum(1)
    rows = importance[sums > 0]
    if not len(rows):
        return 0.0
    if importance.shape[1] == 1:
        return 1.0
    entropy = entr(rows / rows.sum(1, keepdims=True)).sum(1) / np.log(importance.shape[1])
    return float(np.average(1 - entropy, weights=sums[sums > 0]))


def _gap(scores: list[float]) -> float:
    second, first = sorted([0.0, *scores])[-2:]  # with a single dimension the second score is 0
    return first - second


def _binned(column: "NDArray[np.float64]") -> "NDArray[np.int64]":
    import numpy as np

    return np.digitize(column, np.histogram_bin_edges(column, BINS)[1:-1])


def _varying(*factors: "NDArray[np.float64]") -> list[int]:
    columns = [f for f in range(factors[0].shape[1]) if all((part[:, f] != part[0, f]).any() for part in factors)]
    if not columns:
        raise NotComputable("no factor varies in the samples: use more data")
    return columns


def _checked(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.numel() or not factors.numel():
        raise ValueError(
            f"codes must be [N, D] and factors [N, F], not {tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    z, v = codes.detach().cpu().double(), factors.detach().cpu().double()
    if not (z.isfinite().all() and v.isfinite().all()):
        raise ValueError("a code or factor is NaN or infinite: they cannot be compared")
    return z, v
