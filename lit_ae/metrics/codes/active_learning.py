"""Accuracy by number of labels, if a classifier chooses the samples about which it is most uncertain."""

from typing import TYPE_CHECKING, Literal

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

Strategy = Literal["variance", "random"]
STRATEGIES: tuple[Strategy, ...] = ("variance", "random")


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

    The first `start` samples are random, the same for both strategies with the same seed. Then follow random samples,
    or those with the largest `predictive_variance` under `members` logistic regressions (L2, C = 1), each of which
    weights the labelled samples by Exp(1) weights (Bayesian bootstrap, Rubin 1981). The accuracy is that of a single
    unweighted regression. This is pool-based uncertainty sampling (Settles 2009, section 3.1) in batches.

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
        accuracy = (_probabilities(pool, pool_labels, chosen, x, classes).argmax(1) == labels).mean()
        curve.append((len(chosen), float(accuracy)))
        wanted = min(step, budget - len(chosen), len(left))
        if wanted == 0:
            return curve
        taken = np.arange(wanted)
        if strategy == "variance":
            weights = random.exponential(size=(members, len(chosen)))
            ensemble = [_probabilities(pool, pool_labels, chosen, pool[left], classes, own) for own in weights]
            taken = np.argsort(-predictive_variance(np.stack(ensemble)), kind="stable")[:wanted]
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
