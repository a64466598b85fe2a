"""What codes say about classes, generative factors and the dimension of the data."""

from collections.abc import Collection
from numbers import Integral

from torch import Tensor

from lit_ae.scores.arrays import Array, labels, tensor
from lit_ae.scores.arrays import codes as checked


def clustering(codes: Array, y: Array, clusters: int | None = None, seed: int = 0) -> dict[str, float]:
    """Agreement of KMeans clusters of the codes with classes; higher is better for all four.

    `silhouette` of the clusters in [-1, 1] (Rousseeuw 1987; of at most 10,000 of the codes), `ari`, the adjusted Rand
    index (Hubert & Arabie 1985; 0 for chance, 1 at best), `nmi`, the normalised mutual information in [0, 1], and
    `clustering_accuracy` in [0, 1] under the best assignment of clusters to classes (Xie et al. 2016, equation 10).

    Args:
        codes: [N, D].
        y: classes [N], whole numbers from 0.
        clusters: number of clusters; None: the number of classes.
        seed: seed of KMeans (the best of 10 starts).

    Raises:
        ValueError: arrays that do not fit, codes that are all equal, classes of one kind, fewer than 2 clusters, or not
            more codes than clusters.

    >>> import lit_ae, numpy as np
    >>> y = np.arange(90) % 3
    >>> codes = np.eye(3)[y] + 0.01 * np.random.default_rng(0).normal(size=(90, 3))
    >>> scores = lit_ae.scores.clustering(codes, y)
    >>> scores["nmi"], scores["clustering_accuracy"]
    (1.0, 1.0)
    """
    from lit_ae.metrics.codes.clustering import clustering_scores

    z = checked(codes, "codes")
    classes = labels(y, "y", len(z))
    number = len(classes.unique()) if clusters is None else clusters
    if not 2 <= number < len(z):
        raise ValueError(f"{len(z)} codes and {number} clusters: there must be at least 2 clusters, and more codes")
    return clustering_scores(z, classes, number, seed)


def probe(
    train_codes: Array, train_y: Array, codes: Array, y: Array, seed: int = 0, max_train: int | None = None, k: int = 5
) -> dict[str, float]:
    """Classifiers that are trained on codes of one set and scored on codes of another; higher is better.

    `probe_accuracy`, `probe_f1` (macro) and `probe_auc` (one class against the rest; if there are several classes),
    each in [0, 1], of multinomial logistic regression (Alain & Bengio 2017), and `probe_converged`, 1 or 0;
    `knn_accuracy` in [0, 1] of the k nearest neighbours.

    Args:
        train_codes: [N, D].
        train_y: their classes [N], whole numbers from 0.
        codes: [M, D].
        y: their classes [M].
        seed: seed of the random choice of training codes, if not all of them are used.
        max_train: largest number of training codes for the regression; None: all.
        k: number of neighbours, which are searched among at most 10,000 training codes.

    Raises:
        ValueError: arrays that do not fit, or training codes of a single class.

    >>> import lit_ae, numpy as np
    >>> y = np.arange(200) % 2
    >>> codes = y[:, None] + 0.1 * np.random.default_rng(0).normal(size=(200, 3))
    >>> scores = lit_ae.scores.probe(codes[:100], y[:100], codes[100:], y[100:])
    >>> scores["probe_accuracy"], scores["knn_accuracy"]
    (1.0, 1.0)
    """
    from lit_ae.metrics.codes.probe import probe_scores

    learnt, z = _two_sets(train_codes, codes)
    known, classes = labels(train_y, "train_y", len(learnt)), labels(y, "y", len(z))
    if len(known.unique()) < 2:
        raise ValueError("train_y holds a single class: a classifier needs two to learn")
    return probe_scores(learnt, known, z, classes, seed, max_train, k=k)


def disentanglement(
    train_codes: Array,
    train_factors: Array,
    codes: Array,
    factors: Array,
    nominal: Collection[int] = (),
    seed: int = 0,
) -> dict[str, float]:
    """How well single code dimensions represent single generative factors; higher is better, each in [0, 1].

    `mig` (Chen et al. 2018, equation 6), `sap` (Kumar et al. 2018, section 3), and `dci_disentanglement`,
    `dci_completeness`, `dci_informativeness` (Eastwood & Williams 2018).

    Args:
        train_codes: [N, D], which classifiers and forests are trained on.
        train_factors: their factors [N, F].
        codes: [M, D].
        factors: their factors [M, F].
        nominal: numbers of the columns of factors whose values have no order, such as a kind of shape.
        seed: seed of the random forests.

    Raises:
        ValueError: arrays that do not fit, no factor that varies, or a nominal column that there is not.

    >>> import lit_ae, numpy as np
    >>> factors = np.random.default_rng(0).integers(0, 5, size=(400, 2))
    >>> scores = lit_ae.scores.disentanglement(factors, factors, factors, factors)  # perfect codes
    >>> scores["mig"] > 0.95, scores["dci_disentanglement"] > 0.95
    (True, True)
    """
    from lit_ae.metrics.codes.factors import dci, mutual_information_gap, separated_attribute_predictability

    learnt, z = _two_sets(train_codes, codes)
    known = tensor(train_factors, "train_factors", 2, "factors [N, F]").double()
    v = tensor(factors, "factors", 2, "factors [M, F]").double()
    for name, x, of in (("train_factors", known, learnt), ("factors", v, z)):
        if len(x) != len(of):
            raise ValueError(f"{name} has {len(x)} rows, but there are {len(of)} codes: give one each")
    if known.shape[1] != v.shape[1]:
        raise ValueError(
            f"train_factors and factors have {known.shape[1]} and {v.shape[1]} columns: they must be the same"
        )
    columns = v.shape[1]
    if wrong := [f for f in nominal if isinstance(f, bool) or not isinstance(f, Integral) or not 0 <= f < columns]:
        raise ValueError(f"nominal has {wrong[0]!r}: give numbers of columns of the factors, from 0 to {columns - 1}")
    lowest = known.min(0).values if len(known) else 0  # the forests' sums of squares far from 0 would lose digits
    pairs = (learnt, known - lowest, z, v - lowest)
    return {
        "mig": mutual_information_gap(z, v, nominal),
        "sap": separated_attribute_predictability(*pairs, nominal),
        **dci(*pairs, nominal, seed),
    }


def intrinsic_dimension(codes: Array) -> float:
    """TwoNN estimate of the dimension of the manifold that codes [N, D] lie on (Facco et al. 2017).

    Neither higher nor lower is better. Dimensions above about 10 are underestimated.

    Raises:
        ValueError: an array that does not fit, fewer than 3 codes, or codes on a regular grid.

    >>> import lit_ae, numpy as np
    >>> flat = np.random.default_rng(0).random((2000, 2))
    >>> 1.9 < lit_ae.scores.intrinsic_dimension(flat @ np.ones((2, 5)) + flat @ np.eye(2, 5)) < 2.1
    True
    """
    from lit_ae.metrics.codes.information import intrinsic_dimension as estimate

    z = checked(codes, "codes")
    if len(z) < 3:
        raise ValueError(f"codes holds {len(z)} codes, which have no first and second neighbour: give at least 3")
    return estimate(z)


def total_correlation(codes: Array) -> float:
    """Dependence between dimensions of codes [N, D] in nats, for a Gaussian with their covariance (Watanabe 1960).

    Lower is better if the dimensions should be independent; 0 means uncorrelated. Constant dimensions are left out.

    Raises:
        ValueError: an array that does not fit, or a dimension that is a linear function of others.

    >>> import lit_ae, numpy as np
    >>> z = np.random.default_rng(0).normal(size=(5000, 2))
    >>> z[:, 1] = 0.6 * z[:, 0] + 0.8 * z[:, 1]  # correlation 0.6: -½ log(1 - 0.36) = 0.223
    >>> round(lit_ae.scores.total_correlation(z), 2)
    0.22
    """
    from lit_ae.metrics.codes.information import total_correlation as estimate

    return estimate(checked(codes, "codes"))


def _two_sets(train_codes: Array, codes: Array) -> tuple[Tensor, Tensor]:
    learnt, z = checked(train_codes, "train_codes"), checked(codes, "codes")
    if learnt.shape[1] != z.shape[1]:
        raise ValueError(
            f"train_codes and codes have {learnt.shape[1]} and {z.shape[1]} dimensions: they must be the same"
        )
    return learnt, z
