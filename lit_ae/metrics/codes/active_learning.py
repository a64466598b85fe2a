"""Accuracy by number of labels, if a classifier chooses the samples about which it is most uncertain."""

from typing import TYPE_CHECKING, Literal

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

Strategy = Literal["variance", "bald", "margin", "margin_diverse", "random"]
CANDIDATES = 10  # as many samples with small margins as are wanted, from which diverse ones are taken


def predictive_variance(probs: "Floats") -> "Floats":
    """Variance of the one-hot label under the mean of an ensemble's class probabilities [M, N, K]: [N] in [0, 1 - 1/K].

    Σ_k p̄_k (1 - p̄_k) = E Σ_k p_k (1 - p_k) + Σ_k Var p_k: the members' mean variance plus the variance of their means
    (law of total variance; Depeweg et al. 2018).

    Raises:
        ValueError: another shape.
    """
    if probs.ndim != 3:
        raise ValueError(f"probabilities must be [M, N, K], got {list(probs.shape)}")
    mean = probs.mean(0)
    variance: Floats = (mean * (1 - mean)).sum(1)
    return variance


def bald(probs: "Floats") -> "Floats":
    """Mutual information in nats of label and member of an ensemble with class probabilities [M, N, K]: [N].

    H(p̄) - E H(p) (Houlsby et al. 2011, equation 2): high where the members are sure and disagree.
    """
    from scipy.special import entr

    information: Floats = entr(probs.mean(0)).sum(1) - entr(probs).sum(2).mean(0)
    return information


def margin(probs: "Floats") -> "Floats":
    """The most likely class's probability minus the second's, [N], of class probabilities [N, K]."""
    import numpy as np

    second, first = np.sort(probs, axis=1)[:, -2:].T
    difference: Floats = first - second
    return difference


def diverse(codes: "Floats", wanted: int, seed: int) -> "Labels":
    """Places [wanted] of codes [N, D] that lie next to the centres of as many KMeans clusters, each another code."""
    import numpy as np
    from sklearn.cluster import KMeans

    centres = KMeans(wanted, n_init=1, random_state=seed).fit(codes).cluster_centers_
    squared = ((codes[:, None] - centres) ** 2).sum(2)  # [N, wanted]
    taken: list[int] = []
    for column in squared.T:
        column[taken] = np.inf
        taken.append(int(column.argmin()))
    return np.array(taken)


def learning_curve(
    pool: "Floats",
    pool_labels: "Labels",
    x: "Floats",
    labels: "Labels",
    strategy: Strategy,
    start: int = 20,
    step: int = 10,
    budget: int = 200,
    members: int = 5,
    seed: int = 0,
) -> list[tuple[int, float]]:
    """(number of labels, accuracy on x [M, D]) while samples of the pool [N, D] are labelled, `step` at a time.

    The first `start` samples are random, the same for every strategy with the same seed. Then follow (pool-based
    uncertainty sampling in batches, Settles 2009, section 3.1)

    - `random` samples;
    - those with the largest `predictive_variance`, or `bald`, under `members` logistic regressions (L2, C = 1), each of
      which weights the labelled samples by Exp(1) weights (Bayesian bootstrap, Rubin 1981);
    - those with the smallest `margin` under a single regression;
    - `margin_diverse`: of ten times as many with the smallest margins, those next to the centres of KMeans clusters
      (Zhdanov 2019), since the smallest margins of a batch are often those of samples like each other.

    The accuracy is that of a single unweighted regression.

    Raises:
        NotComputable: labels are missing, the pool has fewer than `start` samples or a single class, or x is empty.
        ValueError: settings out of range.
    """
    import numpy as np

    if min(start, step, members) < 1 or budget < start:
        raise ValueError(
            f"start {start}, step {step} and members {members} must be positive, and budget {budget} at least start"
        )
    if (pool_labels < 0).any() or (labels < 0).any():
        raise NotComputable("active learning needs labels, and some samples have none: leave these samples out")
    if len(pool) < start or len(np.unique(pool_labels)) < 2:
        raise NotComputable(
            f"active learning starts from {start} labels of two classes or more, and the pool has {len(pool)} samples "
            f"and {len(np.unique(pool_labels))} classes: use more labelled training data, or lower `start`"
        )
    if not len(x):
        raise NotComputable("there are no samples on which active learning could be scored")
    random = np.random.default_rng(seed)
    order = random.permutation(len(pool))
    chosen, left = order[:start], order[start:]
    classes = int(max(pool_labels.max(), labels.max())) + 1
    curve = []
    while True:
        both = _probabilities(pool, pool_labels, chosen, np.concatenate([x, pool[left]]), classes)
        accuracy = (both[: len(x)].argmax(1) == labels).mean()
        curve.append((len(chosen), float(accuracy)))
        wanted = min(step, budget - len(chosen), len(left))
        if wanted == 0:
            return curve
        taken = np.arange(wanted)
        if strategy in ("variance", "bald"):
            weights = random.exponential(size=(members, len(chosen)))
            ensemble = [_probabilities(pool, pool_labels, chosen, pool[left], classes, own) for own in weights]
            measure = predictive_variance if strategy == "variance" else bald
            taken = np.argsort(-measure(np.stack(ensemble)), kind="stable")[:wanted]
        elif strategy != "random":
            some = wanted * (1 if strategy == "margin" else CANDIDATES)
            taken = np.argsort(margin(both[len(x) :]), kind="stable")[:some]
            if len(taken) > wanted:
                taken = taken[diverse(pool[left[taken]], wanted, seed)]
        chosen, left = np.concatenate([chosen, left[taken]]), np.delete(left, taken)


def _probabilities(
    pool: "Floats", labels: "Labels", chosen: "Labels", x: "Floats", classes: int, weights: "Floats | None" = None
) -> "Floats":
    """Class probabilities [M, K] of x [M, D], learnt from the chosen samples; 0 for a class without a sample yet."""
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    seen = np.unique(labels[chosen])
    probs = np.zeros((len(x), classes))
    if len(seen) < 2:
        probs[:, seen] = 1
        return probs
    model: LogisticRegression = LogisticRegression(max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with ten labels convergence does not matter
        model.fit(pool[chosen], labels[chosen], weights)
    probs[:, model.classes_] = model.predict_proba(x)
    return probs


def area_between(curve: list[tuple[int, float]], other: list[tuple[int, float]]) -> float:
    """Mean of curve - other over the range of numbers of labels by the trapezoidal rule, in units of the accuracy.

    Raises:
        ValueError: the curves have different numbers of labels.
    """
    from scipy.integrate import trapezoid

    n, difference = [k for k, _ in curve], [a - b for (_, a), (_, b) in zip(curve, other, strict=True)]
    if n != [k for k, _ in other]:
        raise ValueError("both curves must have the same numbers of labels")
    if len(n) == 1:
        return difference[0]
    return float(trapezoid(difference, n)) / (n[-1] - n[0])
