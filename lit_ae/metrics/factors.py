"""Do single code dimensions hold single generative factors? Correlation, MIG, SAP and DCI.

A nominal factor is one whose values have no order, such as a kind of shape; all others are ordered. A factor that is
constant among the samples says nothing and is left out of every mean over factors.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 20  # of a code dimension, as in Locatello et al. 2019
TREES = 10  # of the forests behind DCI


def nominal_factors(factors: Tensor, labels: Tensor) -> tuple[int, ...]:
    """Columns of factors [N, F] that are the class label [N], whose numbers have no order."""
    return tuple(f for f in range(factors.shape[1]) if bool((factors[:, f] == labels).all()))


def factor_code_correlation(codes: Tensor, factors: Tensor, nominal: Collection[int] = ()) -> Tensor:
    """Correlation [F, D], float64, of every factor [N, F] with every code dimension [N, D].

    Pearson's r in [-1, 1] of ordered factors. Of nominal ones, whose numbers are arbitrary, the correlation ratio
    η = √(Σ_k n_k (z̄_k - z̄)² / Σ_i (z_i - z̄)²) in [0, 1] (Fisher 1925), which has no sign; with two values it is |r|.
    Where a factor or a dimension is constant it is 0: there is nothing to go together, though r is 0 / 0.

    Raises:
        ValueError: the numbers of samples differ, there is none, or one is not finite.
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


def mutual_information_gap(codes: Tensor, factors: Tensor) -> float:
    """MIG in [0, 1] of codes [N, D] and factors [N, F] (Chen et al. 2018, equation 6).

    Mean over factors of (I(z_1; v) - I(z_2; v)) / H(v), where z_1 and z_2 are the two dimensions that tell most of v; a
    single dimension has nothing to run up to it. I is that of the histogram: each dimension in 20 bins of equal width,
    as is a factor of more than 20 values (Locatello et al. 2019 take factors as they are). It is biased upwards by
    about bins² / 2N nats, which the gap mostly takes away again.

    Raises:
        SettingError: no factor varies.
        ValueError: as for `factor_code_correlation`.
    """
    import numpy as np
    from sklearn.metrics import mutual_info_score

    z, v = (part.numpy() for part in _checked(codes, factors))
    binned = [_binned(column) for column in z.T]
    gaps = []
    for f in _varying(v):
        values, known = np.unique(v[:, f], return_inverse=True)
        if len(values) > BINS:
            known = _binned(v[:, f])
        information = sorted(mutual_info_score(known, column) for column in binned)
        gaps.append(_gap(information) / mutual_info_score(known, known))
    return float(np.mean(gaps))


def separated_attribute_predictability(
    train_codes: Tensor, train_factors: Tensor, codes: Tensor, factors: Tensor, nominal: Collection[int] = ()
) -> float:
    """SAP in [0, 1]: by how much the best single dimension predicts a factor better than the second best.

    Kumar et al. 2018, section 3; mean over factors. Prediction is scored on codes [M, D] and factors [M, F]: by r² of
    ordered factors; of nominal ones by the accuracy of a linear SVM (C = 0.01, classes weighted alike, as Locatello et
    al. 2019 set it) on the one dimension, standardised, fitted to train_codes [N, D] and train_factors [N, F].

    Raises:
        SettingError: no factor varies.
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

    A random forest of 10 trees a factor is fitted to train_codes [N, D] and train_factors [N, F] (it regresses ordered
    factors and classifies nominal ones); R_df is the importance (mean decrease in impurity) of dimension d for factor
    f. `dci_disentanglement`: Σ_d ρ_d (1 - H(R_d· / Σ_f R_df)), entropy to the base F, ρ the dimensions' shares of all
    importance. `dci_completeness`: the same over factors, base D. Both are 0 where no dimension is of importance, 1
    where F or D is 1. `dci_informativeness`: mean over factors of the share of the error of the best constant guess
    that the forest removes on codes [M, D], factors [M, F]: of squared error for ordered factors (R²), of wrong classes
    for nominal ones; not below 0.

    Raises:
        SettingError: no factor varies.
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
    """Σ_i ρ_i (1 - H(row i)) of importances [rows, K] ≥ 0: entropy to the base K, ρ the rows' shares of the total.

    1 where each row has all its importance in one place, 0 where it is spread evenly or there is none.
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
    second, first = sorted([0.0, *scores])[-2:]  # one dimension alone runs against nothing
    return first - second


def _binned(column: "NDArray[np.float64]") -> "NDArray[np.int64]":
    import numpy as np

    return np.digitize(column, np.histogram_bin_edges(column, BINS)[1:-1])


def _varying(*factors: "NDArray[np.float64]") -> list[int]:
    columns = [f for f in range(factors[0].shape[1]) if all((part[:, f] != part[0, f]).any() for part in factors)]
    if not columns:
        raise SettingError("no factor varies among the samples: raise --data.limit or leave the callback Factors out")
    return columns


def _checked(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.numel() or not factors.numel():
        raise ValueError(f"codes [N, D] and factors [N, F], not {tuple(codes.shape)} and {tuple(factors.shape)}")
    z, v = codes.detach().cpu().double(), factors.detach().cpu().double()
    if not (z.isfinite().all() and v.isfinite().all()):
        raise ValueError("a code or factor is NaN or infinite: there is nothing to compare")
    return z, v
