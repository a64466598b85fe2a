"""Interpolation between codes: pairs, the two figures by α, the path's length."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio

from lit_ae.metrics.codes.interpolation import different_pairs, mixing_l2, mixing_psnr, path_ratio

FEW = settings(max_examples=25, deadline=None)
LABELS = st.lists(st.integers(-1, 3), min_size=2, max_size=30).map(torch.tensor)


@FEW
@given(LABELS, st.integers(0, 5), st.integers(1, 7))
def test_pairs_have_different_labels_and_depend_only_on_the_seed(labels, seed, n):
    known = labels[labels >= 0]
    if len(known) and len(known.unique()) == 1:
        with pytest.raises(ValueError, match="at least two classes"):
            different_pairs(labels, n, seed)
        return
    torch.manual_seed(seed + 1)  # the global generator has no influence
    first, second = different_pairs(labels, n, seed)
    assert len(first) == len(second) == n
    assert (first != second).all()
    if len(known):
        assert (labels[first] != labels[second]).all()
        assert (labels[first] >= 0).all()
        assert (labels[second] >= 0).all()
    again = different_pairs(labels, n, seed)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_another_seed_gives_other_pairs_and_one_sample_gives_none():
    labels = torch.arange(100) % 10
    assert not torch.equal(different_pairs(labels, 20, 0)[0], different_pairs(labels, 20, 1)[0])
    with pytest.raises(ValueError, match="at least two classes"):
        different_pairs(torch.tensor([-1]), 1, 0)


def test_psnr_is_the_mean_of_each_pairs_own(agrees):
    g = torch.Generator().manual_seed(0)
    images, reference = torch.rand(2, 3, 20, 1, 8, 8, generator=g)
    theirs = [
        peak_signal_noise_ratio(a, b, data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
        for a, b in zip(images, reference, strict=True)
    ]
    agrees(
        "interpolation PSNR", "torchmetrics", "3 x 20 random images", mixing_psnr(images, reference)[0], theirs, 1e-5
    )


def test_one_pair_that_agrees_counts_100_db_and_all_make_it_infinite():
    x = torch.rand(3, 4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[1] += 1e-7
    other[2, 1:] = 1 - other[2, 1:]
    mean, agree = mixing_psnr(other, x)
    assert agree.tolist() == [4, 4, 1]
    assert mean[:2].tolist() == [math.inf, math.inf]
    rest = mixing_psnr(other[2:, 1:], x[2:, 1:])[0].item()
    assert mean[2].item() == pytest.approx((100 + 3 * rest) / 4)


def test_l2_is_the_distance_of_codes():
    z = torch.zeros(2, 2, 3)
    reference = torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]], [[0.0] * 3] * 2])
    assert mixing_l2(z, reference).tolist() == [3.0, 0.0]


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_path_ratio_of_an_arc(agrees, steps):
    angle = torch.linspace(0, math.pi / 2, steps + 1, dtype=torch.float64)
    path = torch.stack([angle.cos(), angle.sin()], 1).reshape(-1, 1, 1, 1, 2)
    closed = steps * math.sin(math.pi / 4 / steps) / math.sin(math.pi / 4)
    agrees("interpolation path ratio", "closed form", f"quarter circle in {steps} chords", path_ratio(path), closed)


@FEW
@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 99), st.floats(0.1, 100))
def test_path_ratio_is_at_least_1_and_does_not_depend_on_scale_or_order(points, pairs, seed, scale):
    path = torch.randn(points, pairs, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    ratio = path_ratio(path)
    assert ratio >= 1 - 1e-9
    assert path_ratio(scale * path + 1) == pytest.approx(ratio, rel=1e-4)
    assert path_ratio(path.flip(1)) == pytest.approx(ratio)
    assert path_ratio(path.flip(0)) == pytest.approx(ratio)
    straight = torch.lerp(path[:1], path[-1:], torch.linspace(0, 1, 7).view(-1, 1, 1, 1, 1))
    assert path_ratio(straight) == pytest.approx(1, rel=1e-5)


def test_path_ratio_refuses_paths_without_one():
    with pytest.raises(ValueError, match="same image at both ends"):
        path_ratio(torch.ones(4, 2, 1, 3, 3))
    with pytest.raises(ValueError, match="at least 2 points"):
        path_ratio(torch.ones(1, 2, 1, 3, 3))
