"""Rows that an autoencoder reconstructs badly as outliers."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin

from lit_ae.sklearn.estimator import AutoencoderEstimator


class AutoencoderOutlierDetector(OutlierMixin, AutoencoderEstimator):  # type: ignore[misc]
    """Outliers are the rows with the largest squared error of their reconstruction.

    The threshold is that of a share `contamination` of the rows of `fit`, also of those held out for early stopping, or
    of the last `partial_fit`. Rows are not scaled: as for `MLPRegressor`, put a `StandardScaler` or `MinMaxScaler`
    before it. Nothing is written to MLflow or to a file. It passes all checks of
    `sklearn.utils.estimator_checks.check_estimator`, without exemption.

    Args:
        family: name of a family, such as "AE", "VAE", "DenoisingAE" or "WAE", or its class.
        latent_dim: size D of the code. It has to be well below the number of features: otherwise outliers are
            reconstructed as well as other rows.
        contamination: share of the training rows that are outliers, above 0 and at most 0.5.

    The other arguments are those of `AutoencoderTransformer`.

    Attributes:
        offset_: `score_samples` minus this is the decision function, which is negative for outliers.
        module_, n_iter_, loss_, loss_curve_, n_features_in_: as for `AutoencoderTransformer`.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 6))
    >>> x[0] = 50
    >>> model = AutoencoderOutlierDetector("AE", latent_dim=2, max_iter=2, contamination=0.01, random_state=0)
    >>> np.flatnonzero(model.fit_predict(x) == -1).tolist()
    [0]
    """

    def __init__(
        self,
        family: str | type = "AE",
        latent_dim: int = 16,
        *,
        contamination: float = 0.1,
        hidden_layer_sizes: tuple[int, ...] = (256,),
        input_shape: tuple[int, ...] | None = None,
        settings: Mapping[str, Any] | None = None,
        max_iter: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            family,
            latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            input_shape=input_shape,
            settings=settings,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate=learning_rate,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """`score_samples` minus the threshold, [N]: negative for outliers."""
        found: NDArray[Any] = self.score_samples(X) - self.offset_
        return found

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for outliers and 1 for all other rows, [N]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _refuse_parameters(self) -> None:
        super()._refuse_parameters()
        if not isinstance(self.contamination, numbers.Real) or not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination is {self.contamination!r}: it must be above 0 and at most 0.5")

    def _after_training(self, x: NDArray[Any]) -> None:
        self.offset_ = float(np.percentile(-self._errors(x), 100 * self.contamination))
