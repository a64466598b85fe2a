"""Scores of generated images against torch-fidelity, the papers' formulas written down once more, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.spatial import cKDTree
from sklearn.linear_model import LinearRegression
from test_families import build, trainer
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from lit_ae.callbacks.scores import generation_scores as generation
from lit_ae.callbacks.scores.generation_scores import GenerationScores
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation import split_features
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.images import manifold
from lit_ae.metrics.images.extractors import extract
from lit_ae.metrics.images.feature_cache import FeatureCache
from lit_ae.metrics.images.frechet import FrechetDistance, frechet_infinity, total_variance
from lit_ae.metrics.images.inception_score import InceptionScore
from lit_ae.metrics.images.kernel_distance import kernel_distance
from lit_ae.metrics.images.lenet import LeNet, LeNetExtractor
from lit_ae.metrics.images.manifold import Manifold, median_ratio, nearest_distances, spread


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(n, seed=0, size=84):
    """Features like those of a classifier's hidden layer: on a curved surface, none negative."""
    sheet = normal(6, size)
    return (normal(n, 6, seed=seed + 1) @ sheet * (1 + seed / 10) + seed / 10).relu()


def column(*values):
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


# -- kernel distance --------------------------------------------------------------------------------------------------


def test_kid_agrees_with_torch_fidelity(agrees):
    real, fake = made(400), made(400, 1)
    theirs = kid_features_to_metric(real.double(), fake.double(), kid_subsets=1, kid_subset_size=400, verbose=False)
    data = "2 x 400 made features of size 84, one subset"
    agrees("KID", "torch-fidelity", data, kernel_distance(real, fake).mean, theirs[KEY_METRIC_KID_MEAN], rel=1e-4)


def test_kid_known_answers():
    # (xy + 1)³: 1 within {0, 1}; 7³ within {2, 3}; 1 + 1 + 27 + 64 over 4 between
    two = kernel_distance(column(0, 1), column(2, 3))
    assert two == pytest.approx((1 + 343 - 2 * 93 / 4, 0, 1, 2))
    # of N(0, 1) and N(1, 1): E = 1 + 3; E = 4² + 3 * 2² + 3 + 1; E = 3 * 1 * 2 + 1: 4 + 32 - 2 * 7
    many = kernel_distance(normal(5000, 1), normal(5000, 1, seed=1) + 1)
    assert (many.subsets, many.size) == (5, 1000)
    assert many.mean == pytest.approx(22, abs=4 * many.std / math.sqrt(5))
    with pytest.raises(ValueError, match="at least 2 real and 2 generated images, got 5 and 1"):
        kernel_distance(normal(5, 3), normal(1, 3))


def test_kid_is_not_biased_by_few_images():
    pool = made(4000)
    few = [kernel_distance(pool[i : i + 20], pool[i + 20 : i + 40]).mean for i in range(0, 4000, 40)]
    assert np.mean(few) == pytest.approx(0, abs=3 * np.std(few) / math.sqrt(len(few)))
    fid = [frechet(pool[i : i + 100], pool[i + 100 : i + 200]) for i in range(0, 800, 200)]
    assert min(fid) > 10 * frechet(pool[::2], pool[1::2]), "as FID is"


@settings(max_examples=10, deadline=None)
@given(some.integers(2, 40), some.integers(2, 40), some.integers(1, 6), some.booleans())
def test_kid_of_any_numbers_and_order(n, m, size, constant):
    real, fake = normal(n, size), normal(n, size, seed=1)[:m]
    if constant:
        real, fake = torch.full_like(real, 0.5), torch.full_like(fake, 0.5)
        assert kernel_distance(real, fake).mean == pytest.approx(0, abs=1e-12)
    if n == len(fake):  # one subset of all: neither order nor seed matters
        shuffled = kernel_distance(real.flip(0), fake.roll(1, 0), seed=3)
        assert shuffled.mean == pytest.approx(kernel_distance(real, fake).mean, abs=1e-12)
    assert math.isfinite(kernel_distance(real, fake).mean)


# -- FID at infinity --------------------------------------------------------------------------------------------------


def frechet(real, fake):
    metric = FrechetDistance(real.shape[1])
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute().item()


def test_normalised_fid_of_images_without_variety_is_one_whatever_the_scale_of_features():
    for scale in (0.01, 1.0, 100.0):
        real = scale * made(500)
        fake = real.double().mean(0).expand(300, -1)
        assert frechet(real, fake) / total_variance(real) == pytest.approx(1, rel=1e-6)


def test_fid_infinity_agrees_with_a_line_through_torch_fidelity(agrees):
    real, fake = made(900, size=12), made(600, 2, size=12)
    generator = torch.Generator().manual_seed(0)
    numbers = [60, 195, 330, 465, 600]
    theirs = []
    for number in numbers:
        some_fake = fake[torch.randperm(600, generator=generator)[:number]]
        statistics = [fid_features_to_statistics(features.double()) for features in (some_fake, real)]
        theirs.append(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])
    line = LinearRegression().fit(1 / np.array(numbers)[:, None], theirs)
    data = "900 against 600 made features of size 12, 5 sizes"
    ours = frechet_infinity(real, fake, 5)
    agrees("FID∞", "torch-fidelity, scikit-learn's line", data, ours, line.intercept_, rel=1e-4)


def test_fid_infinity_is_closer_to_the_true_distance():
    # of N(0, I) and N(m, I) in 10 dimensions: |m|²
    truth, real = 10 * 0.01, normal(50_000, 10)
    fakes = [normal(400, 10, seed=seed) + 0.1 for seed in range(1, 21)]
    biased = np.mean([frechet(real, fake) for fake in fakes]) - truth
    extrapolated = np.mean([frechet_infinity(real, fake, 8) for fake in fakes]) - truth
    assert biased > 0.05
    assert abs(extrapolated) < biased / 3
    with pytest.raises(ValueError, match="2 sizes or more to extrapolate it, not at 1"):
        frechet_infinity(real, fakes[0], 1)
    with pytest.raises(ValueError, match="19 generated images are too few"):
        frechet_infinity(real, fakes[0][:19], 4)


# -- precision, recall, density, coverage -----------------------------------------------------------------------------


def test_precision_and_recall_agree_with_torch_fidelity(agrees):
    real, fake = made(300), made(250, 2)
    theirs = prc_features_to_metric(fake.double(), real.double(), prc_neighborhood=5, prc_batch_size=100,
                                    save_cpu_ram=False, verbose=False)  # fmt: skip
    ours = Manifold(real).scores(fake)
    assert 0.2 < ours["precision"] < 1
    assert 0.2 < ours["recall"] < 1
    for name in ("precision", "recall"):
        data = "300 against 250 made features of size 84, k = 5"
        agrees(name.capitalize(), "torch-fidelity", data, ours[name], theirs[name], rel=1e-6)


def by_formulas(real, fake, k):
    """All four as Naeem et al. 2020 define them, with every distance computed by NumPy."""
    real, fake = (np.asarray(x, dtype=np.float64) for x in (real, fake))

    def distances(a, b):
        return np.array([[math.sqrt(((x - y) ** 2).sum()) for y in b] for x in a])

    def nnd(x):
        return np.sort(distances(x, x), axis=1)[:, k]  # the sample itself is at place 0

    between, real_radii, fake_radii = distances(real, fake), nnd(real), nnd(fake)
    n, m = between.shape
    return {
        "precision": np.mean([any(between[i, j] < real_radii[i] for i in range(n)) for j in range(m)]),
        "recall": np.mean([any(between[i, j] < fake_radii[j] for j in range(m)) for i in range(n)]),
        "density": sum(between[i, j] < real_radii[i] for i in range(n) for j in range(m)) / (k * m),
        "coverage": np.mean([any(between[i, j] < real_radii[i] for j in range(m)) for i in range(n)]),
    }


def test_all_four_agree_with_their_formulas(agrees, monkeypatch):
    monkeypatch.setattr(manifold, "DISTANCES", 1000)  # many blocks
    real, fake = normal(120, 6), 0.7 * normal(90, 6, seed=1) + 0.5
    ours, theirs = Manifold(real).scores(fake), by_formulas(real, fake, 5)
    for name in ("precision", "recall", "density", "coverage"):
        assert 0 < theirs[name] != 1
        data = "120 against 90 made features of size 6, k = 5"
        agrees(name.capitalize(), "the paper's formulas in NumPy", data, ours[name], theirs[name], rel=1e-12)


def test_all_four_by_hand():
    real = Manifold(column(0, 1, 2, 3), k=1)  # each ball reaches 1
    found = real.scores(column(0.5, 0.6, 10))  # with balls of 0.1, 0.1 and 9.4
    # 0.5 and 0.6 lie in the balls of 0 and 1; the ball of 10 holds 1, 2 and 3
    assert found == pytest.approx({"precision": 2 / 3, "recall": 3 / 4, "density": 4 / 3, "coverage": 2 / 4})
    # balls are open: -1 is at 1 from 0
    assert real.scores(column(-1, 7)) == pytest.approx({"precision": 0, "recall": 1, "density": 0, "coverage": 0})


def test_same_distribution_has_the_expected_values():
    real, fake, k, n = made(1000), made(2000, 0)[1000:], 5, 1000
    found = Manifold(real, k).scores(fake)
    # Naeem et al. 2020: E density = 1, E coverage = 1 - Π (N - i) / (M + N - i), whatever the distribution
    expected = 1 - math.prod((n - i) / (n + n - i) for i in range(1, k + 1))
    assert found["density"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(expected, abs=0.02)
    copies = Manifold(real).scores(real)
    assert copies == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


@settings(max_examples=20, deadline=None)
@given(some.integers(6, 40), some.integers(6, 40), some.integers(1, 5), some.integers(1, 70), some.integers(0, 99))
def test_neither_order_nor_place_nor_blocks_matter(n, m, size, block, seed):
    real, fake = normal(n, size, seed=seed), normal(m, size, seed=seed + 100)
    expected = by_formulas(real, fake, 5)
    before = manifold.DISTANCES
    try:
        manifold.DISTANCES = block
        found = Manifold(real.flip(0) + 100).scores(fake.roll(2, 0) + 100)
    finally:
        manifold.DISTANCES = before
    assert found == pytest.approx(expected, abs=0.02)  # 100 + x rounds x: a tie may fall on either side
    assert Manifold(real).scores(fake) == pytest.approx(expected)


@given(some.integers(6, 12), some.floats(-3, 3), some.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_collapsed_samples(n, value, size):
    real, point = normal(20, size), torch.full((n, size), value)
    found = Manifold(real).scores(point)
    assert found["recall"] == 0, "samples that are all equal surround nothing"
    assert found == pytest.approx(by_formulas(real, point, 5))
    with pytest.raises(ValueError, match=f"each of the {n} real samples equals 5 others"):
        Manifold(point)


def test_manifolds_refuse():
    with pytest.raises(ValueError, match="5 real samples are too few for 5 nearest neighbours"):
        Manifold(normal(5, 2))
    with pytest.raises(ValueError, match="1 generated samples are too few for 5"):
        Manifold(normal(6, 2)).scores(normal(1, 2))
    with pytest.raises(ValueError, match="generated features have NaN"):
        Manifold(normal(6, 2)).scores(normal(9, 2) * math.nan)


# -- memorising -------------------------------------------------------------------------------------------------------


def test_nearest_distances_agree_with_scipy(agrees, monkeypatch):
    monkeypatch.setattr(manifold, "DISTANCES", 700)
    a, b = made(50, size=10), made(200, 1, size=10) + 30
    theirs, _ = cKDTree(b.double().numpy()).query(a.double().numpy())
    data = "50 to 200 made features of size 10"
    agrees("nearest distance", "SciPy's k-d tree", data, nearest_distances(a, b), theirs, rel=1e-9)
    assert nearest_distances(b[:3], b).tolist() == [0, 0, 0], "copies are at no distance at all"
    assert nearest_distances(a[:0], b).shape == (0,)
    with pytest.raises(ValueError, match="no samples to which distances"):
        nearest_distances(a, b[:0])


def test_ratio_by_hand():
    assert median_ratio(torch.tensor([1.0, 9, 2]), torch.tensor([4.0, 2])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="are also training samples"):
        median_ratio(torch.ones(3), torch.tensor([0.0, 0, 5]))
    with pytest.raises(ValueError, match="no distances"):
        median_ratio(torch.ones(0), torch.ones(3))
    assert spread(torch.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert spread(torch.arange(1999), 1000)[-1] == 1997
    assert spread(torch.arange(3), 4).tolist() == [0, 1, 2]


def test_copies_of_training_images_have_a_small_distance_ratio():
    train, unseen, new = made(2000), made(2300, 0)[2000:], made(2600, 0)[2300:]
    held = generation._Others(Evaluation(), unseen, train, "test", fid_sizes=0)
    assert held.scores(new, "new")["train_distance_ratio"] == pytest.approx(1, abs=0.15)
    copies = train[:300] + 0.001 * normal(300, 84)
    assert held.scores(copies, "copies")["train_distance_ratio"] < 0.05


# -- the callback -----------------------------------------------------------------------------------------------------

MORE = {"kid", "kid_std", "precision", "recall", "density", "coverage"}
ALL = {"fid", "fid_normalised", "is", "is_std", "train_distance_ratio"} | MORE


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a classifier that has not been trained."""
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path))

    def untrained(datamodule, device="cpu"):
        torch.manual_seed(0)
        return LeNetExtractor(LeNet(1, 10), "digits", 0.1).to(device)

    monkeypatch.setattr(LeNetExtractor, "for_data", untrained)
    return tmp_path / "features"


@pytest.fixture(scope="module")
def digits():
    return Digits(eval_batch_size=40, limit=60)


def scored(data, model="ae", **options):
    evaluation = Evaluation()
    evaluation.on_test_end = lambda *args: None
    run = trainer(1, callbacks=[evaluation, GenerationScores(**options)])
    (values,) = run.test(build(model).eval(), datamodule=data, verbose=False)
    found = {key.removeprefix("test/"): value for key, value in values.items() if key.count("/") == 2}
    return found, evaluation, run


def test_every_sampler_has_every_score(cache, digits):
    found, evaluation, run = scored(digits, splits=3)
    assert found.keys() == {f"{score}/{name}" for score in ALL for name in ("normal", "gaussian", "mixture")}
    extractor = LeNetExtractor.for_data(digits)
    real, train = (extract(extractor, digits.split(name).x / 255).features for name in ("test", "train"))
    for name, sampler in evaluation.samplers(run).items():
        fake = extract(extractor, evaluation.generate(run, sampler, 60))
        score = InceptionScore(3)
        score.update(fake.probs)
        ours = {score: found[f"{score}/{name}"] for score in ALL}
        as_before = (frechet(real, fake.features), *(value.item() for value in score.compute()))
        assert tuple(np.float32([ours["fid"], ours["is"], ours["is_std"]])) == tuple(np.float32(as_before))
        kid = kernel_distance(real, fake.features)
        ratio = median_ratio(nearest_distances(fake.features, train), nearest_distances(real, train))
        expected = Manifold(real).scores(fake.features) | {"kid": kid.mean, "kid_std": 0, "train_distance_ratio": ratio}
        expected["fid_normalised"] = ours["fid"] / real.double().var(0).sum().item()
        assert {key: ours[key] for key in expected} == pytest.approx(expected, rel=1e-5, abs=1e-9)
    protocol = evaluation.protocol
    assert "60 images are few, which biases FID upwards" in protocol["fid_bias"]
    assert "1 disjoint subsets of 60" in protocol["kid"]
    assert "nearest neighbour number 5" in protocol["manifold"]
    assert (
        "60 training images, of 60 generated images divided by that of 60 images of the test split"
        in protocol["train_distance_ratio"]
    )
    assert "fid_infinity" not in protocol


def test_features_are_cached_by_content(cache, digits, monkeypatch):
    calls = []
    for module in (generation, split_features):
        monkeypatch.setattr(module, "extract", lambda *args, **kw: calls.append(kw["progress"]) or extract(*args, **kw))
    first, _, _ = scored(digits, "gan")
    assert [call for call in calls if "split" in call] == ["features of the test split", "features of the train split"]
    assert len(list(cache.iterdir())) == 2
    calls.clear()
    assert scored(Digits(eval_batch_size=7, limit=60), "gan")[0] == first
    assert calls == ["features of normal samples"], "the reference is read"
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:300])  # damaged
    assert scored(digits, "gan")[0] == first
    scored(Digits(split_seed=1, limit=60), "gan", train_images=0)
    assert len(list(cache.iterdir())) == 3, "other images, another file"
    assert not [path for path in cache.iterdir() if "part" in path.name]


def test_a_cache_that_cannot_be_written_only_costs_time(cache, digits, monkeypatch):
    cache.write_text("a file where the folder should be")
    kept = FeatureCache(LeNetExtractor.for_data(digits), digits, "test")
    kept.write(torch.zeros(60, 84))
    assert kept.read() is None
    assert scored(digits, "gan")[0].keys() == {f"{score}/normal" for score in ALL}


def test_scores_on_request(cache, digits):
    found, evaluation, run = scored(digits, "gan", n=40, fid_sizes=3, train_images=0)
    assert found.keys() == {f"{key}/normal" for key in (ALL | {"fid_infinity"}) - {"train_distance_ratio"}}
    extractor = LeNetExtractor.for_data(digits)
    (sampler,) = evaluation.samplers(run).values()
    fake = extract(extractor, evaluation.generate(run, sampler, 40)).features
    real = extract(extractor, digits.split("test").x / 255).features
    assert found["fid_infinity/normal"] == pytest.approx(frechet_infinity(real, fake, 3), rel=1e-4)
    assert "FID at 3 numbers of generated images up to 40, each with all 60 real" in evaluation.protocol["fid_infinity"]
    _, evaluation, _ = scored(digits, "gan", n=40, train_images=50)
    assert "nearest of 50 training images, of 40 generated" in evaluation.protocol["train_distance_ratio"]


def test_scores_that_need_more_images_are_reported(cache):
    found, evaluation, _ = scored(Digits(limit=4), "gan", splits=1, fid_sizes=2)
    assert found.keys() == {f"{score}/normal" for score in ALL - {"precision", "recall", "density", "coverage"}}
    reason = "4 real samples are too few for 5 nearest neighbours: use more"
    assert evaluation.left_out["precision/normal"] == evaluation.left_out["coverage/normal"] == reason
    assert "4 generated images are too few" in evaluation.left_out["fid_infinity/normal"]


def test_settings_are_checked():
    with pytest.raises(SettingError, match=r"GenerationScores\.fid_sizes is 1"):
        GenerationScores(fid_sizes=1)
    with pytest.raises(SettingError, match=r"GenerationScores\.train_images is -1"):
        GenerationScores(train_images=-1)
