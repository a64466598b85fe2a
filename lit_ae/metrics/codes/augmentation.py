"""Synthetic samples of a class that has only a few samples."""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable


def transferred_codes(few: Tensor, others: Tensor, labels: Tensor, n: int, seed: int) -> Tensor:
    """n codes [n, D] of a class with few known codes [k, D], which vary as the codes [N, D] of the other classes do.

    z = z_few + (z_other - mean of its class): the known codes in turn, each with the deviation of a random sample of
    another class from its mean. The mean of z is that of the known codes; its covariance is theirs plus the pooled
    covariance of the other classes. Hariharan & Girshick 2017 and Schwartz et al. 2018 learn such a transfer; Yang et
    al. 2021 use a Gaussian with statistics of similar classes.

    Args:
        few: codes of the class.
        others: codes of the other classes.
        labels: classes [N] of `others`.
        n: number of codes to make.
        seed: seed of the choice of samples.

    Raises:
        ValueError: no codes, or sizes that differ.
    """
    if not len(few) or not len(others) or few.shape[1:] != others.shape[1:] or len(labels) != len(others):
        raise ValueError(
            f"codes must be [k, D] and [N, D] with labels [N]: {list(few.shape)}, {list(others.shape)}, {len(labels)}"
        )
    own = torch.unique(labels, return_inverse=True)[1]
    means = torch.stack([others[own == c].mean(0) for c in range(int(own.max()) + 1)])  # [classes, D]
    chosen = torch.randint(len(others), (n,), generator=torch.Generator().manual_seed(seed))
    return few[torch.arange(n) % len(few)] + others[chosen] - means[own[chosen]]


def rightly_classified(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> Tensor:
    """Which samples [M] a logistic regression (L2, C = 1) on flattened samples gives their class: 1, else 0.

    Trained on x [N, *shape] with labels y [N], scored on x_test [M, *shape] with labels y_test [M].

    Raises:
        NotComputable: there is a single class to learn.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(y.unique()) < 2:
        raise NotComputable("a classifier needs at least two classes to learn")
    model: LogisticRegression = LogisticRegression(max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x.flatten(1).numpy(), y.numpy())
    return torch.from_numpy(model.predict(x_test.flatten(1).numpy()) == y_test.numpy()).double()
