"""Agreement of clusters of the codes with the labels."""

from typing import TYPE_CHECKING

from torch import Tensor

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def clustering_scores(
    codes: Tensor, labels: Tensor, num_clusters: int, seed: int, max_silhouette: int = 10_000
) -> dict[str, float]:
    """Scores of KMeans (best of 10 starts) on codes [N, D] against labels [N].

    `silhouette`: of the KMeans clusters, without the labels (Rousseeuw 1987), in [-1, 1]; over at most
    `max_silhouette` random codes, since its cost grows with N²; NaN if these fall into one cluster. `ari`: adjusted
    Rand index (Hubert and Arabie 1985). `nmi`: normalised mutual information, arithmetic mean. `clustering_accuracy`:
    share of correct labels under the best one-to-one assignment of clusters to classes (Xie et al. 2016, equation 10).

    Raises:
        SettingError: labels below 0 (unlabelled data), fewer than 2 clusters, or not more codes than clusters.
        ValueError: all codes are equal, or one is not finite.
    """
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if bool((labels < 0).any()):
        raise SettingError(
            "clustering is compared with labels, and some samples have none: leave the callback Clustering out"
        )
    if not 2 <= num_clusters < len(codes):
        raise SettingError(
            f"{num_clusters} clusters of {len(codes)} codes: there must be at least 2 clusters and more codes than "
            "clusters; raise --data.limit or leave the callback Clustering out"
        )
    z, y = codes.detach().cpu().double().numpy(), labels.cpu().numpy()
    if not np.isfinite(z).all():
        raise ValueError("a code is NaN or infinite: the codes cannot be clustered")
    if (z == z[0]).all():
        raise ValueError("all codes are equal (the encoder has collapsed): there are no clusters to score")
    with threadpool_limits(
        1, "openmp"
    ):  # several threads add in any order, which changes the last bits from run to run
        clusters = KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(z)
    some = np.random.default_rng(seed).permutation(len(z))[:max_silhouette]
    several = len(np.unique(clusters[some])) > 1
    return {
        "silhouette": float(silhouette_score(z[some], clusters[some])) if several else float("nan"),
        "ari": float(adjusted_rand_score(y, clusters)),
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "clustering_accuracy": clustering_accuracy(clusters, y),
    }


def clustering_accuracy(clusters: "ArrayLike", labels: "ArrayLike") -> float:
    """Share of labels [N] that the best assignment of clusters [N] gets right (Xie et al. 2016, equation 10)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(clusters, labels)  # [clusters, classes]
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())
