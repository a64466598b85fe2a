"""How well the codes tell the classes apart: a linear probe and the nearest neighbours."""

import warnings
from typing import TYPE_CHECKING

from torch import Tensor

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ITERATIONS = 1000  # of L-BFGS; some tens are usual


def probe_scores(
    train_codes: Tensor,
    train_labels: Tensor,
    codes: Tensor,
    labels: Tensor,
    seed: int = 0,
    max_train: int | None = None,
    max_knn: int = 10_000,
    k: int = 5,
) -> dict[str, float]:
    """Classifiers trained on codes [N, D] with labels [N], scored on other codes [M, D] with labels [M].

    Codes are standardised by the training codes' mean and standard deviation; a dimension that is constant there has
    no say. `probe_accuracy`, `probe_f1` (macro, over classes that occur among labels or predictions) and `probe_auc`
    (one against the rest, mean over the classes among the labels; left out where there is only one) of multinomial
    logistic regression with an L2 penalty (C = 1) by L-BFGS (Alain and Bengio 2017); a class that the training codes
    lack is never predicted and its AUC is 0.5. `probe_converged`: 1 where L-BFGS reached its tolerance, else 0.
    `knn_accuracy`: majority of the k nearest training codes (all of them where there are fewer), Euclidean; of equal
    votes the lowest class wins.

    Args:
        train_codes: mean codes that are learnt from.
        train_labels: their classes.
        codes: mean codes that are scored.
        labels: their classes.
        seed: of the choice below.
        max_train: at most this many training codes for the regression, stratified by class; all where null.
        max_knn: the same for the neighbours, whose cost is N M D.
        k: neighbours.

    Raises:
        SettingError: a label is below 0 (unlabelled data), or the training codes are of fewer than 2 classes.
        ValueError: a code is not finite, or there is none to score.
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    if bool((train_labels < 0).any()) or bool((labels < 0).any()):
        raise SettingError("a probe learns labels, which the data lack: leave the callback LinearProbe out")
    x, y = train_codes.detach().cpu().float().numpy(), train_labels.cpu().numpy()
    x_test, y_test = codes.detach().cpu().float().numpy(), labels.cpu().numpy()
    if len(y_test) == 0:
        raise ValueError("no codes to score the probe on")
    if not (np.isfinite(x).all() and np.isfinite(x_test).all()):
        raise ValueError("a code is NaN or infinite: there is nothing to probe")
    if len(np.unique(y)) < 2:
        raise SettingError(
            f"the {len(y)} training samples are of one class: a probe needs two; raise --data.limit or "
            "leave the callback LinearProbe out"
        )
    some = stratified(y, max_train, seed)
    scaler = StandardScaler().fit(x[some])
    z, z_test = scaler.transform(x), scaler.transform(x_test)

    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        probe = LogisticRegression(max_iter=MAX_ITERATIONS).fit(z[some], y[some])
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in raised)
    predicted, probs = probe.predict(z_test), probe.predict_proba(z_test)  # [M], [M, classes learnt]
    near = stratified(y, max_knn, seed)
    knn = KNeighborsClassifier(min(k, len(near)), algorithm="brute").fit(z[near], y[near])
    values = {
        "probe_accuracy": float(accuracy_score(y_test, predicted)),
        "probe_f1": float(f1_score(y_test, predicted, average="macro")),
        "probe_converged": float(converged),
        "knn_accuracy": float(accuracy_score(y_test, knn.predict(z_test))),
    }
    if len(np.unique(y_test)) > 1:
        column = {c: probs[:, i] for i, c in enumerate(probe.classes_)}
        unknown = np.zeros(len(y_test))
        areas = [roc_auc_score(y_test == c, column.get(c, unknown)) for c in np.unique(y_test)]
        values["probe_auc"] = float(np.mean(areas))
    return values


def stratified(labels: "NDArray[np.int64]", n: int | None, seed: int) -> "NDArray[np.int64]":
    """Sorted indices of n random samples with the classes' shares as in labels [N]; every one where n is null or ≥ N.

    Each class keeps a sample as long as n is not below the number of classes.
    """
    import numpy as np

    if n is None or n >= len(labels):
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    quantile = np.empty(len(labels))  # of each sample among its class in that order: the lowest n are taken
    for c in np.unique(labels):
        members = order[labels[order] == c]
        quantile[members] = np.arange(len(members)) / len(members)
    return np.sort(order[np.argsort(quantile[order], kind="stable")[:n]])
