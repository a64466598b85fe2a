"""Codes of 16 numbers for scikit-learn's digits: autoencoders beside PCA, FastICA and an MLPRegressor, in a table.

Each model is fitted to the same 1,257 digits (pixels from 0 to 1). The table has the seconds of the fit, the epochs,
the mean squared error of 540 other digits, and the accuracy of a logistic regression on their codes. MLPRegressor ends
when its training loss no longer falls.

    python benchmarks/sklearn_digits.py
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, FastICA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from lit_ae.sklearn import AutoencoderTransformer

EPOCHS = 100
Codes = Callable[[Any], Any]


def regressor(x: Any) -> tuple[Codes, Codes, Any]:
    """An MLPRegressor that learns to give its input back; the code is its middle layer, which has no linear units."""
    model = MLPRegressor(hidden_layer_sizes=(256, 16, 256), max_iter=EPOCHS, batch_size=64, random_state=0).fit(x, x)

    def code(rows: Any) -> Any:
        for weights, bias in list(zip(model.coefs_, model.intercepts_, strict=True))[:2]:
            rows = np.maximum(rows @ weights + bias, 0)
        return rows

    return code, model.predict, model


def transformer(model: Any) -> Callable[[Any], tuple[Codes, Codes, Any]]:
    """Fits a model that has `transform` and `inverse_transform`."""

    def fit(x: Any) -> tuple[Codes, Codes, Any]:
        model.fit(x)
        return model.transform, lambda rows: model.inverse_transform(model.transform(rows)), model

    return fit


MODELS: dict[str, Callable[[Any], tuple[Codes, Codes, Any]]] = {
    "PCA": transformer(PCA(16, random_state=0)),
    "FastICA": transformer(FastICA(16, random_state=0, max_iter=1000)),
    "MLPRegressor 256-16-256": regressor,
    "AutoencoderTransformer AE": transformer(AutoencoderTransformer("AE", 16, max_iter=EPOCHS, random_state=0)),
    "AutoencoderTransformer VAE, β = 0.1": transformer(
        AutoencoderTransformer("VAE", 16, max_iter=EPOCHS, random_state=0, settings={"beta": 0.1})
    ),
    "AutoencoderTransformer AE, early stopping": transformer(
        AutoencoderTransformer("AE", 16, max_iter=500, random_state=0, early_stopping=True)
    ),
}


def main() -> None:
    """Fit all models and print the table."""
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(digits.data / 16, digits.target, test_size=0.3, random_state=0)
    AutoencoderTransformer(max_iter=1, random_state=0).fit(x)  # what the first fit of a process loads is not timed
    print("| model | seconds | epochs | MSE of other digits | accuracy on their codes |\n|:--|--:|--:|--:|--:|")
    for name, fit in MODELS.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an MLPRegressor has not converged
            codes, reconstructed, model = fit(x)
        seconds = time.perf_counter() - start
        error = np.square(reconstructed(x_test) - x_test).mean()
        scaler = StandardScaler().fit(codes(x))
        probe = LogisticRegression(max_iter=1000).fit(scaler.transform(codes(x)), y)
        accuracy = probe.score(scaler.transform(codes(x_test)), y_test)
        epochs = "–" if isinstance(model, PCA | FastICA) else model.n_iter_
        print(f"| {name} | {seconds:.2f} | {epochs} | {error:.4f} | {accuracy:.3f} |", flush=True)


if __name__ == "__main__":
    main()
