"""The linear probe against scikit-learn and statsmodels put together by hand, and what odd codes do to it."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from lit_ae.errors import SettingError
from lit_ae.metrics.codes.probe import probe_scores, stratified

NAMES = {"probe_accuracy", "probe_f1", "probe_auc", "probe_converged", "knn_accuracy"}


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    return x[:800, 20:40], y[:800], x[800:1400, 20:40], y[800:1400]


def made(n=60, d=3, classes=3, seed=0):
    """Codes [n, d] that depend on their labels; all classes are about equally frequent."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return torch.randn(n, d, generator=generator) + y.unsqueeze(1), y


def logistic_by_newton(x, y, x_test, classes):
    """Class probabilities [M, classes]: Newton's method in float64 on Σ nll + ½ ‖W‖², the intercepts free."""
    design, design_test = (np.hstack([a, np.ones((len(a), 1))]) for a in (x, x_test))
    d = design.shape[1]
    one_hot, w = np.eye(classes)[y], np.zeros((d, classes))
    penalty = np.kron(np.eye(classes), np.diag([1.0] * (d - 1) + [1e-9]))
    for _ in range(30):
        logits = design @ w
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = (design.T @ (p - one_hot)).T.ravel() + penalty @ w.T.ravel()
        hessian = penalty.copy()
        for a in range(classes):
            for b in range(classes):
                weight = p[:, a] * ((a == b) - p[:, b])
                hessian[a * d : a * d + d, b * d : b * d + d] += design.T @ (design * weight[:, None])
        w -= np.linalg.solve(hessian, gradient).reshape(classes, d).T
    assert np.abs(gradient).max() < 1e-6
    p = np.exp(design_test @ w)
    return p / p.sum(1, keepdims=True)


def test_digits_against_newton_and_scikit_learn(digits, agrees):
    x, y, x_test, y_test = digits
    ours = probe_scores(*digits)
    mean, std = x.double().mean(0), x.double().std(0, correction=0)
    std[std == 0] = 1
    z, z_test = ((x - mean) / std).numpy(), ((x_test - mean) / std).numpy()
    probs = logistic_by_newton(z, y.numpy(), z_test, 10)
    predicted, data = probs.argmax(1), "1,400 digits, 20 pixels as code"
    reference = "Newton's method in float64, scikit-learn's scores"
    agrees("probe accuracy", reference, data, ours["probe_accuracy"], accuracy_score(y_test, predicted), rel=2e-3)
    agrees("probe F1", reference, data, ours["probe_f1"], f1_score(y_test, predicted, average="macro"), rel=2e-3)
    agrees("probe AUC", reference, data, ours["probe_auc"], roc_auc_score(y_test, probs, multi_class="ovr"), rel=1e-4)
    knn = KNeighborsClassifier(5, algorithm="kd_tree").fit(z, y)
    agrees("kNN accuracy", "scikit-learn, k-d tree", data, ours["knn_accuracy"], knn.score(z_test, y_test))
    assert ours["probe_converged"] == 1
    assert ours.keys() == NAMES


def test_two_classes_have_the_ordinary_area(agrees):
    x, y = made(80, classes=2)
    x_test, y_test = made(50, classes=2, seed=1)
    ours = probe_scores(x, y, x_test, y_test)
    z, z_test = ((a - x.mean(0)).double() / x.double().std(0, correction=0) for a in (x, x_test))
    probs = logistic_by_newton(z.numpy(), y.numpy(), z_test.numpy(), 2)[:, 1]
    pairs = probs[y_test.numpy() == 1][:, None] - probs[y_test.numpy() == 0]  # Mann and Whitney's count
    area = (np.sign(pairs) / 2 + 0.5).mean()
    agrees("probe AUC, 2 classes", "Mann-Whitney count", "130 made codes", ours["probe_auc"], area, rel=2e-3)


def test_a_class_missing_in_the_scored_split(digits):
    x, y, x_test, y_test = digits
    rest = y_test != 3
    values = probe_scores(x, y, x_test[rest], y_test[rest])
    assert values.keys() == NAMES
    assert 0.8 < values["probe_auc"] <= 1  # over the nine classes that occur


def test_a_class_missing_in_training(digits):
    x, y, x_test, y_test = digits
    whole, lacking = probe_scores(*digits), probe_scores(x[y != 3], y[y != 3], x_test, y_test)
    share = (y_test == 3).float().mean().item()
    assert lacking["probe_accuracy"] <= 1 - share
    assert lacking["probe_auc"] == pytest.approx(whole["probe_auc"], abs=0.1)
    easy, labels = made(60, classes=3)
    easy = torch.nn.functional.one_hot(labels, 3).float()
    values = probe_scores(easy[labels < 2], labels[labels < 2], easy, labels)
    assert values["probe_auc"] == pytest.approx((1 + 1 + 0.5) / 3, abs=0.2)
    assert values["knn_accuracy"] == pytest.approx(2 / 3)


def test_one_class_in_the_split_has_no_area(digits):
    x, y, x_test, y_test = digits
    assert probe_scores(x, y, x_test[y_test == 3], y_test[y_test == 3]).keys() == NAMES - {"probe_auc"}
    assert probe_scores(x, y, x_test[:1], y_test[:1]).keys() == NAMES - {"probe_auc"}


def test_constant_dimensions_change_nothing(digits):
    x, y, x_test, y_test = digits
    wider, wider_test = (torch.cat([a, torch.full((len(a), 3), 0.1)], 1) for a in (x, x_test))
    assert probe_scores(wider, y, wider_test, y_test) == pytest.approx(probe_scores(*digits), abs=4e-3)


def test_equal_codes_give_the_most_frequent_class():
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    values = probe_scores(torch.ones(6, 2), y, torch.ones(6, 2), y, k=6)
    assert values["probe_accuracy"] == values["knn_accuracy"] == 0.5
    assert values["probe_auc"] == 0.5
    assert values["probe_f1"] == pytest.approx((2 * 0.5 / 1.5) / 3)  # precision ½, recall 1; 0 and 0
    assert values["probe_converged"] == 1


def test_reports_when_it_has_not_converged(digits, monkeypatch):
    monkeypatch.setattr("lit_ae.metrics.codes.probe.MAX_ITERATIONS", 2)
    assert probe_scores(*digits)["probe_converged"] == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(2, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_any_size_and_order(n, classes, d, seed):
    x, y = made(10 * classes, d, classes, seed)
    x_test, y_test = made(n, d, classes, seed + 1)
    values = probe_scores(x, y, x_test, y_test)
    assert all(0 <= v <= 1 for v in values.values())
    assert ("probe_auc" in values) == (n > 1)
    order, order_test = torch.randperm(len(x)), torch.randperm(n)
    again = probe_scores(x[order], y[order], x_test[order_test], y_test[order_test])
    assert again == pytest.approx(values, abs=1.01 / n + 1e-2)  # a sample on the boundary may change its class


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 10**6))
def test_stratified(labels, n, seed):
    y = np.array(labels)
    chosen = stratified(y, n, seed)
    assert len(set(chosen.tolist())) == min(n, len(y))
    classes, counts = np.unique(y, return_counts=True)
    if n >= len(classes):
        taken = np.array([(y[chosen] == c).sum() for c in classes])
        assert (taken >= 1).all()
        assert (np.abs(taken - counts * min(n, len(y)) / len(y)) <= len(classes)).all()


def test_fewer_training_codes(digits):
    few = probe_scores(*digits, max_train=50, max_knn=50)
    assert few["probe_accuracy"] < probe_scores(*digits)["probe_accuracy"]
    assert few == probe_scores(*digits, max_train=50, max_knn=50)


def test_what_cannot_be_scored():
    x, y = made()
    with pytest.raises(SettingError, match="a probe needs labels"):
        probe_scores(x, y, x, torch.full_like(y, -1))
    with pytest.raises(SettingError, match="one class"):
        probe_scores(x, torch.zeros_like(y), x, y)
    with pytest.raises(ValueError, match="NaN"):
        probe_scores(x, y, x * float("nan"), y)
    with pytest.raises(ValueError, match="no codes"):
        probe_scores(x, y, x[:0], y[:0])


@pytest.mark.slow
def test_the_size_of_mnist_takes_seconds():
    x, y = made(65_000, 100, 10)
    started = time.perf_counter()
    assert probe_scores(x[:55_000], y[:55_000], x[55_000:], y[55_000:])["probe_converged"] == 1
    assert time.perf_counter() - started < 60  # 3 to 7 s on a free core; other processes may be running
