"""Codes of an autoencoder as features."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from lit_ae.models.api import evaluating
from lit_ae.models.chunks import decoded, mean_codes
from lit_ae.samplers import FittedGaussian, Mixture, Sampler
from lit_ae.sklearn.estimator import FLOATS, AutoencoderEstimator

SAMPLERS: dict[str, type[Sampler]] = {"gaussian": FittedGaussian, "mixture": Mixture}


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AutoencoderEstimator):  # type: ignore[misc]
    """An autoencoder of any family that maps rows to mean codes and back.

    Rows are not scaled: as for `MLPRegressor`, put a `StandardScaler` or `MinMaxScaler` before it. Nothing is written
    to MLflow or to a file. Any family with an encoder and without labels can be chosen. It passes all checks of
    `sklearn.utils.estimator_checks.check_estimator`, without exemption.

    Args:
        family: name of a family, such as "AE", "VAE", "DenoisingAE" or "WAE", or its class.
        latent_dim: size D of the code.
        hidden_layer_sizes: units of the encoder's hidden layers; the decoder has them in the opposite order.
        input_shape: shape of one row, such as (1, 28, 28), for networks of images; None: a vector. Images are
            reconstructed with values from 0 to 1, unless `settings` names another likelihood.
        settings: further arguments of the family by name, such as {"beta": 4.0}; they take precedence.
        max_iter: number of epochs, at most.
        batch_size: rows in a training step.
        learning_rate: of Adam.
        early_stopping: whether a share of the rows is held out, and training stops when their loss no longer falls. The
            model then has the weights of the epoch with the lowest validation loss.
        validation_fraction: this share.
        n_iter_no_change: number of epochs in a row without an improvement by `tol` after which training stops.
        tol: smallest improvement of the validation loss.
        device: "cpu", "gpu", "mps", or "auto" for what is there. The fitted model is on the CPU.
        random_state: seed, or source of seeds, of weights, order and noise: the same one gives the same model.
        verbose: whether the loss of each epoch is printed.

    Attributes:
        module_: the trained LightningModule, in double precision, so that no row's code depends on the rows beside it.
        n_iter_, loss_, loss_curve_, validation_loss_curve_: epochs, their last and all losses.
        n_features_in_, feature_names_in_: of the rows.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(60, 5))
    >>> model = AutoencoderTransformer("AE", latent_dim=2, max_iter=2, random_state=0).fit(x)
    >>> model.transform(x).shape, model.inverse_transform(model.transform(x)).shape, model.sample(3).shape
    ((60, 2), (60, 5), (3, 5))
    """

    @property
    def _n_features_out(self) -> int:
        return int(self.module_.latent_dim)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Mean codes [N, D] of X [N, features]."""
        x = self._given(X)
        return self._mean_codes(x).numpy().astype(x.dtype)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Rows [N, features] decoded from codes [N, D].

        Raises:
            ValueError: the codes have another size.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOATS)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"the codes have {codes.shape[1]} dimensions, and the model's {self._n_features_out}")
        found = decoded(self.module_, torch.from_numpy(np.array(codes, dtype=np.float32)))
        return found.flatten(1).numpy().astype(codes.dtype)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The mean of `score_samples`, so that a search over parameters takes the lowest squared error; y is ignored.

        It favours large codes and a weak penalty, as any reconstruction error does: give the search another `scoring`
        where the codes are what you need, such as that of a classifier behind this step.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(
        self, n_samples: int = 1, sampler: str = "gaussian", random_state: int | np.random.RandomState | None = None
    ) -> NDArray[Any]:
        """New rows [n, features].

        Args:
            n_samples: number n of rows.
            sampler: density from which codes are drawn: "gaussian" or "mixture" (of 10 Gaussians), fitted to the codes
                of the rows of the last fit, or "prior": the family's own, N(0, I) for most.
            random_state: seed; None: the estimator's `random_state`.

        Raises:
            ValueError: no such sampler, or a negative number of rows.
        """
        check_is_fitted(self)
        if n_samples < 0:
            raise ValueError(f"n_samples is {n_samples}: it must be at least 0")
        seed = int(check_random_state(random_state if random_state is not None else self.random_state).randint(2**31))
        if sampler == "prior":
            found = self.module_.sample(n_samples, seed=seed)
        elif sampler in SAMPLERS:
            density = SAMPLERS[sampler]().fit(self._codes)
            found = self.module_.sample(n_samples, density, seed=seed)
        else:
            raise ValueError(f"sampler is {sampler!r}: choose prior, {', '.join(SAMPLERS)}")
        return found.flatten(1).numpy()

    def _after_training(self, x: NDArray[Any]) -> None:
        self._codes = self._mean_codes(x)

    def _mean_codes(self, x: NDArray[Any]) -> torch.Tensor:
        """Mean codes [N, D] of rows [N, features], also of images with values outside [0, 1]: see `_errors`."""
        with evaluating(self.module_):
            return mean_codes(self.module_, self._samples(x))
