"""What both estimators share: their parameters, training and the scores of single samples."""

import math
import numbers
import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from lit_ae.data.containers import COLLAPSED, collapsed, collapsed_column
from lit_ae.errors import SettingError
from lit_ae.models.api import evaluating
from lit_ae.models.chunks import in_chunks
from lit_ae.models.closed_form import ClosedFormModule
from lit_ae.models.dec import DEC
from lit_ae.models.stored_settings import restored
from lit_ae.sklearn.families import build
from lit_ae.sklearn.training import History, Patience, train

FLOATS = [np.float64, np.float32]


class AutoencoderEstimator(BaseEstimator):  # type: ignore[misc]
    """An autoencoder that is trained on the rows of a table; see its two subclasses for the parameters."""

    def __init__(
        self,
        family: str | type = "VAE",
        latent_dim: int = 16,
        *,
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
        self.family = family
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.input_shape = input_shape
        self.settings = settings
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- training -----------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train a new model on X [N, features]; y is ignored.

        Raises:
            ValueError: a parameter or X does not fit; the message says what to change.
            FloatingPointError: the loss became infinite or NaN.
        """
        x = _told_apart(X, validate_data(self, X, dtype=FLOATS, ensure_min_samples=2))
        self._refuse_parameters()
        self._random = check_random_state(self.random_state)
        train, held_out = x, x[:0]
        if self.early_stopping:
            train, held_out = train_test_split(x, test_size=self.validation_fraction, random_state=self._random)
        self._start()
        self._train(train, held_out, self.max_iter)
        self._after_training(x)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train for one epoch on X [N, features], after what was trained before; y is ignored.

        The optimiser goes on with its moments. There is no early stopping, and a schedule among `settings` starts anew.
        The rows may come in parts, each of which is a part of the data in random order.

        Raises:
            ValueError: a parameter or X does not fit, or the family needs all rows at once, as PCA does; the message
                says what to change.
            FloatingPointError: the loss became infinite or NaN.
        """
        first = not hasattr(self, "module_")
        x = _told_apart(X, validate_data(self, X, dtype=FLOATS, ensure_min_samples=2, reset=first))
        if first:
            self._refuse_parameters()
            self._random = check_random_state(self.random_state)
            self._start()
        if isinstance(self.module_, ClosedFormModule | DEC):  # each training of these begins anew
            family = type(self.module_).__name__
            if first:
                del self.module_
            raise ValueError(f"{family} is computed from all rows at once, and cannot be trained in parts: use fit")
        self._train(x, x[:0], 1)
        self._after_training(x)
        return self

    def _start(self) -> None:
        """A new, untrained model."""
        shape = self._shape()
        with torch.random.fork_rng([]):
            torch.manual_seed(self._seed())
            try:
                self.module_ = build(
                    self.family,
                    shape,
                    int(self.latent_dim),
                    tuple(self.hidden_layer_sizes),
                    self.learning_rate,
                    self.settings or {},
                )
            except SettingError as error:
                raise _in_its_terms(error) from error
        self._history = History()
        self.__dict__.pop("validation_loss_curve_", None)  # of a training before

    def _train(self, x: NDArray[Any], held_out: NDArray[Any], epochs: int) -> None:
        patience = Patience(self.n_iter_no_change, self.tol) if len(held_out) else None
        try:
            train(
                self.module_,
                self._samples(x),
                self._samples(held_out),
                int(self.batch_size),
                self._history,
                epochs,
                self._seed(),
                self.device,
                patience,
                self.verbose,
            )
        except SettingError as error:
            raise _in_its_terms(error) from error
        self.loss_curve_ = list(self._history.losses)
        self.n_iter_ = len(self.loss_curve_)
        self.loss_ = self.loss_curve_[-1]
        if patience:
            self.validation_loss_curve_ = list(self._history.validation_losses)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: weights and settings of a model with parametrised weights (RAESN), which pickle refuses."""
        state: dict[str, Any] = dict(super().__getstate__())
        if (module := state.get("module_")) and any(map(is_parametrized, module.modules())):
            state["module_"] = (type(module), content := {"state_dict": module.state_dict()})
            module.store_settings(content)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """The estimator that was pickled."""
        if isinstance(stored := state.get("module_"), tuple):
            cls, content = stored
            state = {**state, "module_": restored(cls, content, {}).double().eval()}  # as `train` leaves it
        super().__setstate__(state)

    def _after_training(self, x: NDArray[Any]) -> None:
        """What a subclass computes from the rows [N, features] that it was given, once the model is trained."""

    def _seed(self) -> int:
        return int(self._random.randint(np.iinfo(np.int32).max))

    def _refuse_parameters(self) -> None:
        for name in ("latent_dim", "max_iter", "batch_size", "n_iter_no_change"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name} is {value!r}: it must be a whole number of at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate!r}: it must be above 0")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction!r}: it must be above 0 and below 1")

    # -- shapes and scores --------------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, ...]:
        if self.input_shape is None:
            return (self.n_features_in_,)
        shape = tuple(int(size) for size in self.input_shape)
        if math.prod(shape) != self.n_features_in_:
            raise ValueError(
                f"input_shape {shape} has {math.prod(shape)} values, but X has {self.n_features_in_} features: give "
                "the shape of one row, such as (1, 8, 8)"
            )
        return shape

    def _samples(self, x: NDArray[Any]) -> Tensor:
        """Rows [N, features] as samples [N, *input_shape]."""
        with np.errstate(over="ignore"):
            rows = np.array(x, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise ValueError("X has values beyond float32 (3.4e38): scale them, by a StandardScaler for example")
        return torch.from_numpy(rows).view(len(x), *self._shape())

    def _given(self, X: ArrayLike) -> NDArray[Any]:
        """X as an array of floats with the features of the training."""
        check_is_fitted(self)
        found: NDArray[Any] = validate_data(self, X, dtype=FLOATS, reset=False)
        return found

    def _errors(self, x: NDArray[Any]) -> NDArray[Any]:
        """Mean squared error over the features of each row's reconstruction, [N]."""
        samples = self._samples(x)
        # Not `reconstruct`: a scaler may bring new rows out of [0, 1], and an outlier is to be found, not refused
        with evaluating(self.module_):
            found = in_chunks(self.module_, self.module_.forward, samples)
        errors: NDArray[Any] = (found - samples).double().square().flatten(1).mean(1).numpy()
        return errors

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Minus the mean squared error of each row's reconstruction from its mean code, [N]; higher is more normal."""
        return -self._errors(self._given(X))


def _told_apart(given: ArrayLike, x: NDArray[Any]) -> NDArray[Any]:
    """Rows x [N, features], if single precision keeps the differences between those that were given.

    Raises:
        ValueError: it does not.
    """
    if (place := collapsed(x)) is None:
        rows: Any = given
        frame = hasattr(rows, "columns")
        place = collapsed_column((rows[name] for name in rows.columns) if frame else np.asarray(rows).T)
    if place is not None:
        raise ValueError(f"X: feature {place} {COLLAPSED}, or put a StandardScaler before this step")
    return x


def _in_its_terms(error: SettingError) -> ValueError:
    """The error of a training in the names of the estimator's parameters, not of those of the command line."""
    said = re.sub(r"the data \(--data\) (?:have|(hold))", lambda found: "X holds" if found[1] else "X has", str(error))
    likelihood = r"settings={'likelihood': lit_ae.objectives.likelihoods.Gaussian(output='\1')}"
    said = re.sub(r"--model\.likelihood=.* with --model\.likelihood\.output=(\w+)(?: or \w+)*", likelihood, said)
    return ValueError(re.sub(r"\b(?:model|data)\.(?=\w)", "", said))
