"""Classification of the codes by a linear probe and by nearest neighbours."""

import warnings
from typing import TYPE_CHECKING

from torch import Tensor

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ITERATIONS = 1000  # iterations of L-BFGS; usually some tens are enough


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
    """Scores of classifiers that are trained on codes [N, D] with labels [N], on other codes [M, D] with labels [M].

    Codes are standardised by the mean and standard deviation of the training codes; a dimension that is constant in
    training is not used.

    - `probe_accuracy`, `probe_f1` (macro, over classes that occur among labels or predictions) and `probe_auc` (one
      versus rest, mean over the classes among the labels; left out if there is only one) of multinomial logistic
      regression with an L2 penalty (C = 1) by L-BFGS (Alain and Bengio 2017). A class without training codes is never
      predicted, and its AUC is 0.5.
    - `probe_converged`: 1 if L-BFGS reached its tolerance, else 0.
    - `knn_accuracy`: majority vote of the k nearest training codes (of all if there are fewer) by Euclidean distance;
      in a tie the lowest class wins.

    Args:
        train_codes: mean codes on which the classifiers are trained.
        train_labels: classes of `train_codes`.
        codes: mean codes that are scored.
        labels: classes of `codes`.
        seed: seed of the choice of training codes.
        max_train: number of training codes of the regression, stratified by class; if null, all.
        max_knn: number of training codes among which neighbours are searched; the cost is proportional to N M D.
        k: number of neighbours.

    Raises:
        NotComputable: a label is below 0 (unlabelled data), the training codes have fewer than 2 classes, or there are
            no codes to score.
        ValueError: a code is not finite.
    """
    return probe_by_sample(train_codes, train_labels, codes, labels, seed, max_train, max_knn, k)[0]


def probe_by_sample(
    train_codes: Tensor,
    train_labels: Tensor,
    codes: Tensor,
    labels: Tensor,
    seed: int = 0,
    max_train: int | None = None,
    max_knn: int = 10_000,
    k: int = 5,
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """What `probe_scores` returns, and for each accuracy whether each code is classified correctly [M], 0 or 1."""
    import numpy as np
    import torch
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score, roc_auc_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    if bool((train_labels < 0).any()) or bool((labels < 0).any()):
        raise NotComputable("a probe needs labels, and some samples have none: leave these samples out")
    x, y = train_codes.detach().cpu().float().numpy(), train_labels.cpu().numpy()
    x_test, y_test = codes.detach().cpu().float().numpy(), labels.cpu().numpy()
    if len(y_test) == 0:
        raise NotComputable("there are no codes on which to score the probe")
    if not (np.isfinite(x).all() and np.isfinite(x_test).all()):
        raise ValueError("a code is NaN or infinite: the codes cannot be probed")
    if len(np.unique(y)) < 2:
        raise NotComputable(
            f"the {len(y)} labelled training samples are all of one class, and a probe needs two: use more of them"
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
    correct = {"probe_accuracy": predicted == y_test, "knn_accuracy": knn.predict(z_test) == y_test}
    values = {
        "probe_accuracy": float(correct["probe_accuracy"].mean()),
        "probe_f1": float(f1_score(y_test, predicted, average="macro")),
        "probe_converged": float(converged),
        "knn_accuracy": float(correct["knn_accuracy"].mean()),
    }
    if len(np.unique(y_test)) > 1:
        column = {c: probs[:, i] for i, c in enumerate(probe.classes_)}
        unknown = np.zeros(len(y_test))
        areas = [roc_auc_score(y_test == c, column.get(c, unknown)) for c in np.unique(y_test)]
        values["probe_auc"] = float(np.mean(areas))
    return values, {name: torch.from_numpy(hits).float() for name, hits in correct.items()}


def stratified(labels: "NDArray[np.int64]", n: int | None, seed: int) -> "NDArray[np.int64]":
    """Sorted indices of n random samples with the class shares of labels [N]; all indices if n is None or at least N.

    Each class keeps at least one sample unless n is below the number of classes.
    """
    import numpy as np

    if n is None or n >= len(labels):
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    quantile = np.empty(len(labels))  # of each sample within its class in random order: the lowest n are chosen
    for c in np.unique(labels):
        members = order[labels[order] == c]
        quantile[members] = np.arange(len(members)) / len(members)
    return np.sort(order[np.argsort(quantile[order], kind="stable")[:n]])
