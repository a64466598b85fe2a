"""Factors against codes: numpy, scipy and the definitions of disentanglement_lib written out; codes of known scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, f_oneway
from sklearn.svm import LinearSVC

from lit_ae.errors import SettingError
from lit_ae.metrics.codes.factors import (
    concentration,
    dci,
    factor_code_correlation,
    mutual_information_gap,
    nominal_factors,
    separated_attribute_predictability,
)

GRID = torch.cartesian_prod(*[torch.arange(float(k)) for k in (3, 8, 10)])  # every kind, size, place once: [240, 3]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mixed(n=300, seed=0):
    """Codes [n, 5] in which 3 factors [n, 3] are mixed; the first is nominal."""
    kinds = torch.randint(0, 3, (n, 1), generator=torch.Generator().manual_seed(seed)).float()
    factors = torch.cat([kinds, normal(n, 2, seed=seed + 1).mul(2).round()], 1)
    noise = normal(n, 5, seed=seed + 2)
    return factors @ normal(3, 5, seed=3) + noise, factors


def sap(codes, factors, nominal=()):
    return separated_attribute_predictability(codes, factors, codes, factors, nominal)


# -- correlation --------------------------------------------------------------------------------------------------


def test_correlation_against_numpy_and_scipy(agrees):
    z, v = mixed()
    ours = factor_code_correlation(z, v, nominal={0})
    r = np.corrcoef(v.T.double(), z.T.double())[:3, 3:]
    agrees("factor-code correlation r", "numpy corrcoef", "300 made codes", ours[1:], r[1:], rel=1e-9, abs=1e-12)
    f = f_oneway(*[z[v[:, 0] == kind].double().numpy() for kind in range(3)]).statistic
    eta = np.sqrt(f * 2 / (f * 2 + 300 - 3))
    agrees("correlation ratio η", "scipy one-way ANOVA", "300 made codes", ours[0], eta, rel=1e-9)


def test_correlation_ratio_of_two_kinds_is_r():
    z, v = mixed()
    two = (v[:, :1] > 0).float()
    assert torch.allclose(factor_code_correlation(z, two, {0}), factor_code_correlation(z, two).abs())


def test_correlation_does_not_depend_on_how_kinds_are_numbered():
    z, v = mixed()
    renumbered = v.clone()
    renumbered[:, 0] = torch.tensor([7.0, -1, 3])[v[:, 0].long()]
    assert torch.allclose(factor_code_correlation(z, v, {0}), factor_code_correlation(z, renumbered, {0}))


def test_constant_columns_correlate_with_nothing():
    z, v = mixed()
    z[:, 1], v[:, 2] = 0.1, 5.0
    for nominal in ((), (0, 2)):
        r = factor_code_correlation(z, v, nominal)
        assert (r[:, 1] == 0).all()
        assert (r[2] == 0).all()
        assert r.isfinite().all()
        assert (r[:2, 0] != 0).all()
    assert (factor_code_correlation(z[:1], v[:1], {0}) == 0).all()


def test_the_label_is_nominal():
    assert nominal_factors(GRID, GRID[:, 0].long()) == (0,)
    assert nominal_factors(GRID, torch.full((240,), -1)) == ()


# -- scores of codes that are known -------------------------------------------------------------------------------


def test_codes_that_are_the_factors():
    codes = torch.cat([-2 * GRID.flip(1) + 1, torch.zeros(240, 1)], 1)
    assert mutual_information_gap(codes, GRID) == pytest.approx(1)
    assert sap(codes[:, :2], GRID[:, 1:]) == pytest.approx(1)
    assert dci(codes, GRID, codes, GRID, {0}) == pytest.approx(
        {"dci_disentanglement": 1, "dci_completeness": 1, "dci_informativeness": 1}, abs=1e-6
    )


def test_factors_that_two_dimensions_represent_equally():
    codes = torch.cat([GRID, 3 - GRID], 1)
    assert mutual_information_gap(codes, GRID) == pytest.approx(0, abs=1e-12)
    assert sap(codes, GRID, {0}) == pytest.approx(0, abs=1e-12)
    assert dci(codes, GRID, codes, GRID, {0})["dci_disentanglement"] == pytest.approx(1)


def test_dimensions_that_represent_two_factors_equally():
    """Sum and difference of two factors with equal variance: each correlates with both by √½."""
    square = torch.cartesian_prod(*[torch.linspace(-1, 1, 15)] * 2)
    codes = torch.stack([square.sum(1), square[:, 0] - square[:, 1]], 1)
    assert torch.allclose(factor_code_correlation(codes, square).abs(), torch.tensor(0.5, dtype=torch.float64).sqrt())
    assert sap(codes, square) == pytest.approx(0, abs=1e-9)
    assert mutual_information_gap(codes, square) == pytest.approx(0, abs=0.02)
    values = dci(codes, square, codes, square)
    assert values["dci_disentanglement"] < 0.02
    assert values["dci_completeness"] < 0.02


def test_random_codes_score_almost_nothing():
    z = normal(400, 4, seed=9)
    _, v = mixed(400)
    values = dci(z[:300], v[:300], z[300:], v[300:], {0})
    assert values["dci_informativeness"] < 0.15
    assert values["dci_disentanglement"] < 0.1
    assert mutual_information_gap(z, v) < 0.05
    assert sap(z, v) < 0.05


# -- the definitions, written out ---------------------------------------------------------------------------------


def test_mutual_information_gap_against_its_definition(agrees):
    z, v = mixed()
    gaps = []
    for factor in v.T.numpy():
        information = []
        for column in z.T.double().numpy():
            edges = np.histogram(column, 20)[1][:-1]
            joint = np.histogram2d(
                np.digitize(column, edges), factor, bins=[np.arange(22) - 0.5, np.unique(factor).size]
            )
            p = joint[0].ravel()
            information.append(entropy(joint[0].sum(0)) + entropy(joint[0].sum(1)) - entropy(p))
        second, first = np.sort(information)[-2:]
        gaps.append((first - second) / entropy(np.unique(factor, return_counts=True)[1]))
    reference = "disentanglement_lib's definition by scipy entropies"
    agrees("MIG", reference, "300 made codes", mutual_information_gap(z, v), np.mean(gaps), rel=1e-9)


def test_separated_attribute_predictability_against_its_definition(agrees):
    z, v = mixed()
    scores = np.zeros((5, 3))  # [dimensions, factors]
    standard = ((z - z.mean(0)) / z.std(0, correction=0)).double().numpy()
    for d in range(5):
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=1)
        scores[d, 0] = np.mean(machine.fit(standard[:, [d]], v[:, 0]).predict(standard[:, [d]]) == v[:, 0].numpy())
        for f in (1, 2):
            covariance = np.cov(z[:, d].double(), v[:, f].double(), ddof=1)
            scores[d, f] = covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
    ordered = np.sort(scores, axis=0)
    expected = np.mean(ordered[-1] - ordered[-2])
    agrees("SAP", "disentanglement_lib's definition", "300 made codes", sap(z, v, {0}), expected, rel=1e-6)


def test_concentration_against_its_definition(agrees):
    importance = normal(6, 4).abs().numpy().astype(float)
    importance[2] = 0  # a dimension without importance for any factor
    importance[3, 1:] = 0
    per_row = 1 - entropy(importance.T + 1e-11, base=4)
    expected = np.sum(per_row * importance.sum(1) / importance.sum())
    agrees("DCI disentanglement", "disentanglement_lib's definition", "6 x 4 importances",
           concentration(importance), expected, rel=1e-9)  # fmt: skip
    assert concentration(np.eye(3)) == 1
    assert concentration(np.ones((3, 3))) == pytest.approx(0)
    assert concentration(np.zeros((3, 3))) == 0
    assert concentration(np.ones((3, 1))) == 1


def test_informativeness_is_the_share_of_the_error_removed():
    z = torch.cat([GRID[:, :1], normal(240, 1)], 1)
    values = dci(z, GRID[:, :1], z, GRID[:, :1], {0})
    assert values["dci_informativeness"] == 1
    half = GRID.clone()
    half[:, 1] += 100  # as bad as a constant prediction
    away = dci(GRID[:, [0]], GRID[:, [0, 1]], GRID[:, [0]], half[:, [0, 1]], {0})
    assert away["dci_informativeness"] == pytest.approx(0.5)


# -- odd samples --------------------------------------------------------------------------------------------------


def test_a_factor_that_does_not_vary_is_left_out():
    codes = torch.cat([GRID, normal(240, 1)], 1)
    wider = torch.cat([GRID, torch.full((240, 1), 4.0)], 1)
    assert mutual_information_gap(codes, wider) == mutual_information_gap(codes, GRID)
    assert sap(codes, wider, {0}) == sap(codes, GRID, {0})
    assert dci(codes, wider, codes, wider, {0}) == dci(codes, GRID, codes, GRID, {0})


def test_equal_codes_score_nothing():
    codes = torch.ones(240, 4)
    assert mutual_information_gap(codes, GRID) == 0
    assert sap(codes, GRID, {0}) == 0
    assert list(dci(codes, GRID, codes, GRID, {0}).values()) == pytest.approx([0, 0, 0])


def test_a_single_dimension_has_no_second_best():
    assert mutual_information_gap(GRID[:, 1:2], GRID[:, 1:2]) == pytest.approx(1)
    assert sap(GRID[:, 1:2], GRID[:, 1:2]) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_any_size_and_order(n, seed):
    z, v = mixed(n, seed)
    r = factor_code_correlation(z, v, {0})
    assert r.shape == (3, 5)
    assert (r.abs() <= 1).all()
    order = torch.randperm(n)
    assert torch.allclose(factor_code_correlation(z[order], v[order], {0}), r)
    assert torch.allclose(factor_code_correlation(-3 * z + 1, v, ()), -factor_code_correlation(z, v, ()), atol=1e-5)
    if (v != v[0]).any():
        gap = mutual_information_gap(z, v)
        assert 0 <= gap <= 1
        assert mutual_information_gap(z[order], v[order]) == pytest.approx(gap)


def test_what_cannot_be_scored():
    z, v = mixed()
    for score in (mutual_information_gap, sap, lambda z, v: dci(z, v, z, v)):
        with pytest.raises(SettingError, match="no factor varies"):
            score(z[:1], v[:1])
        with pytest.raises(ValueError, match="NaN"):
            score(z * float("nan"), v)
        with pytest.raises(ValueError, match="codes"):
            score(z[:10], v)
    with pytest.raises(ValueError, match="codes"):
        factor_code_correlation(z[:0], v[:0])
