"""Generated against valid images: scikit-learn's neighbours, scipy's entropy, cases worked out by hand, and memory."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors

from lit_ae.metrics.images import near_pairs, valid_set
from lit_ae.metrics.images.valid_set import ValidSetDistance


def images(n, seed=0, shape=(1, 8, 8)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def metric_of(valid, generated, threshold=3.0):
    metric = ValidSetDistance(valid, threshold)
    metric.update(generated, torch.arange(len(generated)))
    return metric


def scores(valid, generated, threshold=3.0):
    return metric_of(valid, generated, threshold).compute().values


@pytest.fixture
def few_rows(monkeypatch):
    """Blocks of a few rows, as for 100,000 images."""
    monkeypatch.setattr(valid_set, "BLOCK", 700)


def test_made_images_against_scipy_and_scikit_learn(few_rows, agrees):
    valid, generated = images(150), images(230, seed=1)
    ours = scores(valid, generated, threshold=2.6)
    a, b = valid.flatten(1).double().numpy(), generated.flatten(1).double().numpy()
    nearest = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(a).kneighbors(b)[0].mean()
    counts = (cdist(b, a) <= 2.6).sum(0)
    assert 0 < (counts > 0).sum() < 150
    data = "230 against 150 made images"
    agrees("NN distance to valid set", "scikit-learn, k-d tree", data, ours["nn_distance"], nearest, rel=1e-6)
    agrees("valid coverage", "scipy cdist", data, ours["valid_coverage"], (counts > 0).mean(), rel=1e-12)
    close = (cdist(b, a) <= 2.6).any(1).mean()
    assert 0 < close < 1
    agrees("share of generated images near valid ones", "scipy cdist", data, ours["valid_share"], close, rel=1e-12)
    divergence = entropy(counts / counts.sum(), np.full(150, 1 / 150), base=2)
    agrees("D_KL from uniform, bits", "scipy entropy", data, ours["dkl_bits"], divergence, rel=1e-9)


def smooth(n, seed=0, side=16):
    """Images [n, 1, side, side] of a bright disc anywhere, which are close to their neighbours alone."""
    centre = torch.rand(n, 2, 1, 1, generator=torch.Generator().manual_seed(seed)) * side
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return (3 - ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2).sqrt()).clamp(0, 1).unsqueeze(1)


def test_distances_of_near_pairs_alone(monkeypatch):
    """They are scipy's, as far as they are within the limit or the smallest of their row, and the scores stay."""
    monkeypatch.setattr(near_pairs, "PAIRS", 100)  # several blocks
    valid, generated = smooth(400), smooth(150, seed=1)
    near = near_pairs.near_pairs(valid.flatten(1))
    found = near.squared(generated.flatten(1), 4.0)
    truth = torch.from_numpy(cdist(generated.flatten(1), valid.flatten(1), "sqeuclidean"))
    wanted = (truth <= 4) | (truth == truth.min(1, keepdim=True).values)
    assert wanted.sum() > 300
    assert found[wanted].isfinite().all()
    assert 1 - found.isfinite().double().mean() > 0.9, "most pairs are ruled out"
    assert torch.allclose(found[found.isfinite()].double(), truth[found.isfinite()], rtol=1e-5, atol=1e-5)
    pruned = metric_of(valid, generated, 2.0)
    monkeypatch.setattr(valid_set, "near_pairs", lambda points: None)
    whole = metric_of(valid, generated, 2.0)
    assert pruned.compute().values == pytest.approx(whole.compute().values, rel=1e-6)
    assert torch.equal(pruned.first, whole.first)
    assert whole.compute().values["valid_coverage"] > 0.3


def test_all_pairs_where_few_can_be_ruled_out():
    valid, noise = images(300, shape=(1, 16, 16)), images(100, seed=1, shape=(1, 16, 16))
    assert near_pairs.near_pairs(valid.flatten(1)).squared(noise.flatten(1), 9.0) is None
    assert near_pairs.near_pairs(images(300).flatten(1)) is None, "64 pixels"
    assert scores(valid, noise)["nn_distance"] == pytest.approx(
        cdist(noise.flatten(1), valid.flatten(1)).min(1).mean(), rel=1e-6
    )


def test_worked_out_by_hand():
    """Four corners; the first is hit 3 times, the second once, the third from a distance of 1, the fourth never."""
    valid = torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    generated = torch.tensor([[0.0, 0], [0, 3], [3, 0], [10, 0], [1, 10], [5, 5]])
    values = scores(valid, generated)
    assert values["nn_distance"] == pytest.approx((0 + 3 + 3 + 0 + 1 + math.sqrt(50)) / 6)
    assert values["valid_share"] == 5 / 6
    assert values["valid_coverage"] == 0.75
    assert values["dkl_bits"] == pytest.approx(2 - (0.6 * math.log2(5 / 3) + 2 * 0.2 * math.log2(5)))
    found = metric_of(valid, generated).compute()
    assert [found.coverage(n) for n in (0, 1, 3, 4, 6)] == [0, 0.25, 0.25, 0.5, 0.75]


def test_best_and_worst_cases():
    valid = 10 * torch.eye(8)
    assert scores(valid, valid) == {"nn_distance": 0, "valid_share": 1, "valid_coverage": 1, "dkl_bits": 0}
    copies = scores(valid, valid[:1].expand(20, -1))
    assert copies == {"nn_distance": 0, "valid_share": 1, "valid_coverage": 1 / 8, "dkl_bits": 3}
    far = scores(valid, valid + 100)
    assert far.keys() == {"nn_distance", "valid_share", "valid_coverage"}, "no distribution where nothing comes near"
    assert far["valid_share"] == far["valid_coverage"] == 0


def test_copies_have_distance_zero():
    """The squared distance by a matrix product would give about 1e-4 for the copy of a bright image."""
    valid = images(50, shape=(1, 28, 28))
    assert scores(valid, valid)["nn_distance"] == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 4), st.integers(0, 10**6))
def test_shares_of_any_size_add_up(v, n, processes, seed):
    valid, generated = images(v, seed), images(n, seed + 1)
    whole = metric_of(valid, generated, 3.2)
    shares = []
    for rank in range(processes):
        shares.append(ValidSetDistance(valid, 3.2))
        shares[-1].update(generated[rank::processes], torch.arange(n)[rank::processes])
    for share in shares[1:]:
        shares[0].merge_state(share)
    together, alone = shares[0].compute(), whole.compute()
    assert together.values == pytest.approx(alone.values, rel=1e-9)
    assert torch.equal(together.first, alone.first)
    assert alone.coverage(n) == alone.values["valid_coverage"]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 10**6))
def test_bounds_and_order(v, n, seed):
    valid, generated = images(v, seed), images(n, seed + 1)
    values = scores(valid, generated, 3.2)
    assert values["nn_distance"] >= 0
    assert 0 <= values["valid_coverage"] <= 1
    assert 0 <= values.get("dkl_bits", 0) <= math.log2(v) + 1e-9
    order, order_valid = torch.randperm(n), torch.randperm(v)
    assert scores(valid[order_valid], generated[order], 3.2) == pytest.approx(values, rel=1e-6)


def test_what_cannot_be_scored():
    valid = images(4)
    with pytest.raises(ValueError, match="no valid images"):
        ValidSetDistance(valid[:0])
    with pytest.raises(ValueError, match="pixels"):
        scores(valid, images(3, shape=(1, 4, 4)))
    with pytest.raises(ValueError, match="NaN"):
        scores(valid, images(3) * float("nan"))
    with pytest.raises(ValueError, match="no generated"), pytest.warns(UserWarning, match="before"):
        ValidSetDistance(valid).compute()


HUNDRED_THOUSAND = """
import resource, torch
from lit_ae.metrics.images.valid_set import ValidSetDistance
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # MiB
few = ValidSetDistance(torch.rand(9, 784))  # loads the libraries
few.update(torch.rand(9, 784), torch.arange(9))
few.compute()
bare = peak()
generated, valid = torch.rand(100_000, 1, 28, 28), torch.rand(8_000, 1, 28, 28)
with_images = peak()
metric = ValidSetDistance(valid)
metric.update(generated, torch.arange(len(generated)))
metric.compute()
print(bare, with_images, peak())
"""


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_images():
    """The images themselves take about 320 MiB."""
    run = subprocess.run([sys.executable, "-c", HUNDRED_THOUSAND], capture_output=True, text=True, check=True)
    bare, with_images, peak = map(int, run.stdout.split())
    assert peak - with_images < 150
    assert peak - bare < 600
