"""Agreement of clusters of the codes with the labels."""

from typing import TYPE_CHECKING

from torch import Tensor

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def clustering_scores(
    codes: Tensor, labels: Tensor, num_clusters: int, seed: int, max_silhouette: int = 10_000
) -> dict[str, float]:
    """Scores of `kmeans` on codes [N, D] against labels [N]: `silhouette` and those of `agreement`.

    Raises:
        NotComputable: as for `kmeans`, `silhouette` and `agreement`.
        ValueError: a code is not finite.
    """
    clusters = kmeans(codes, num_clusters, seed)
    return {"silhouette": silhouette(codes, clusters, seed, max_silhouette), **agreement(clusters, labels)}


def kmeans(codes: Tensor, num_clusters: int, seed: int) -> "NDArray[np.int32]":
    """Cluster [N] of each of the codes [N, D] by KMeans, the best of 10 starts.

    Raises:
        NotComputable: fewer than 2 clusters, not more codes than clusters, or codes that are all equal.
        ValueError: a code is not finite.
    """
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not 2 <= num_clusters < len(codes):
        raise NotComputable(
            f"{num_clusters} clusters of {len(codes)} codes: there must be at least 2 clusters and more codes than "
            "clusters"
        )
    z = codes.detach().cpu().double().numpy()
    if not np.isfinite(z).all():
        raise ValueError("a code is NaN or infinite: the codes cannot be clustered")
    if (z == z[0]).all():
        raise NotComputable("all codes are equal (the encoder has collapsed): there are no clusters to score")
    # Several threads add in any order, which changes the last bits from run to run
    with threadpool_limits(1, "openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different codes than clusters: some stay empty
        clusters: NDArray[np.int32] = KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(z)
    return clusters


def silhouette(codes: Tensor, clusters: "NDArray[np.int32]", seed: int, most: int = 10_000) -> float:
    """Silhouette in [-1, 1] of clusters [N] of codes [N, D], without labels (Rousseeuw 1987).

    Over at most `most` random codes, since its cost grows with N².

    Raises:
        NotComputable: these codes are all in one cluster, or each in one of its own.
    """
    import numpy as np
    from sklearn.metrics import silhouette_score

    some = np.random.default_rng(seed).permutation(len(codes))[:most]
    if not 2 <= len(np.unique(clusters[some])) < len(some):
        how = "all in one cluster" if len(np.unique(clusters[some])) < 2 else "each in a cluster of its own"
        raise NotComputable(f"the {len(some)} codes of the silhouette are {how}")
    return float(silhouette_score(codes.detach().cpu().double().numpy()[some], clusters[some]))


def agreement(clusters: "ArrayLike", labels: Tensor) -> dict[str, float]:
    """Agreement of clusters [N] with labels [N] of at least two classes.

    `ari`: adjusted Rand index (Hubert and Arabie 1985). `nmi`: normalised mutual information, arithmetic mean.
    `clustering_accuracy`: share of correct labels under the best one-to-one assignment of clusters to classes (Xie et
    al. 2016, equation 10).

    Raises:
        NotComputable: labels below 0 (unlabelled data), or fewer than two classes.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if bool((labels < 0).any()):
        raise NotComputable("clustering is compared with labels, and some samples have none: leave these samples out")
    require_classes(labels)
    y = labels.cpu().numpy()
    return {
        "ari": float(adjusted_rand_score(y, clusters)),
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "clustering_accuracy": clustering_accuracy(clusters, y),
    }


def require_classes(labels: Tensor) -> None:
    """Refuse labels [N] of a single class, with which clusters cannot agree or disagree.

    Raises:
        NotComputable: fewer than two classes.
    """
    if len(labels.unique()) < 2:
        raise NotComputable(f"the {len(labels)} labelled samples are all of one class: clusters need two to agree with")


def clustering_accuracy(clusters: "ArrayLike", labels: "ArrayLike") -> float:
    """Share of labels [N] that the best assignment of clusters [N] gets right (Xie et al. 2016, equation 10)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(clusters, labels)  # [clusters, classes]
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())
