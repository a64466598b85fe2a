"""Scores against closed forms, torch-fidelity and values worked out by hand; feature extractors of images."""

import concurrent.futures
import math
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as fidelity_inception
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from lit_ae.data import ArrayDataset, BaseDataModule, Splits
from lit_ae.errors import NotComputable, SettingError
from lit_ae.metrics.codes.clustering import clustering_scores, silhouette
from lit_ae.metrics.images import lenet
from lit_ae.metrics.images.extractors import FeatureExtractor, Features, extract
from lit_ae.metrics.images.frechet import FrechetDistance
from lit_ae.metrics.images.inception import InceptionExtractor
from lit_ae.metrics.images.inception_score import InceptionScore
from lit_ae.metrics.images.lenet import LeNetExtractor
from lit_ae.metrics.reconstruction.standardised import mse_standardised


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_moments(mean, cov, n=400, seed=0):
    """Features whose sample mean and covariance are exactly these."""
    z = normal(n, len(mean), seed=seed, dtype=torch.float64)
    z = z - z.mean(0)
    white = z @ torch.linalg.inv(torch.linalg.cholesky(z.T.cov())).T
    return white @ torch.linalg.cholesky(torch.tensor(cov, dtype=torch.float64)).T + torch.tensor(mean)


def frechet(real, fake):
    metric = FrechetDistance(real.shape[1])
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute().item()


# -- Fréchet distance ------------------------------------------------------------------------------


def test_frechet_of_two_gaussians():
    # independent dimensions: sum of (m1 - m2)^2 + (s1 - s2)^2
    a = with_moments([0.0, 1, 2], np.diag([1.0, 4, 9]))
    b = with_moments([3.0, 1, 0], np.diag([4.0, 4, 1]), seed=1)
    assert frechet(a, b) == pytest.approx(9 + 0 + 4 + 1 + 0 + 4)
    # covariances that do not commute: in 2 dimensions tr (A B)^(1/2) = sqrt(tr AB + 2 sqrt det AB)
    c, d = np.array([[2.0, 1], [1, 3]]), np.array([[1.0, -0.5], [-0.5, 0.5]])
    trace = math.sqrt(np.trace(c @ d) + 2 * math.sqrt(np.linalg.det(c @ d)))
    expected = 5 + np.trace(c + d) - 2 * trace
    fid = frechet(with_moments([1.0, 2], c), with_moments([0.0, 0], d, seed=1))
    assert fid == pytest.approx(expected)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_agrees_with_torch_fidelity(agrees):
    real = normal(500, 84).relu() * 3
    fake = (normal(400, 84, seed=1) @ normal(84, 84, seed=2) * 0.1 + 0.2).relu()
    expected = fid_statistics_to_metric(fid_features_to_statistics(real), fid_features_to_statistics(fake), False)[
        KEY_METRIC_FID
    ]
    agrees("FID", "torch-fidelity", "500 against 400 made features of size 84", frechet(real, fake), expected, rel=1e-4)


def test_frechet_is_in_double_precision():
    a = with_moments([0.0, 0], np.eye(2)) + 1e4  # in float32 the covariance would be lost in the square of the mean
    b = with_moments([0.0, 0], 4 * np.eye(2), seed=1) + 1e4
    assert frechet(a, b) == pytest.approx(2, rel=1e-6)


def test_frechet_of_a_collapsed_generator():
    real = with_moments([1.0, 0], np.diag([4.0, 9]))
    assert frechet(real, torch.zeros(100, 2)) == pytest.approx(1 + 4 + 9)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # torchmetrics does not count merged states
def test_frechet_of_parts_is_that_of_the_whole():
    real, fake = normal(60, 5), normal(70, 5, seed=1) + 1
    parts = [FrechetDistance(5) for _ in range(3)]  # the last one gets no images, as a process may
    for metric, rows in zip(parts, (slice(0, None, 2), slice(1, None, 2), slice(0, 0)), strict=True):
        metric.update(real[rows][:11], real=True)
        metric.update(real[rows][11:], real=True)
        metric.update(fake[rows], real=False)
    parts.append(FrechetDistance(5))  # not even an update
    whole = parts.pop()
    for part in parts:
        whole.merge_state(part)
    assert whole.compute().item() == pytest.approx(frechet(real, fake), rel=1e-9)
    assert not list(whole.parameters())
    assert not whole.state_dict()


# -- Inception Score -------------------------------------------------------------------------------


def inception_score(probs, splits=1):
    metric = InceptionScore(splits)
    metric.update(probs)
    return tuple(value.item() for value in metric.compute())


def test_inception_score_known_answers():
    confident = torch.eye(4).repeat(25, 1)
    assert inception_score(confident) == pytest.approx((4, 0))  # every class, each with certainty
    assert inception_score(confident[:1].expand(50, 4)) == pytest.approx((1, 0))  # one class: finite
    assert inception_score(torch.full((50, 4), 0.25), splits=5) == pytest.approx((1, 0))
    # two classes at (0.9, 0.1) and (0.1, 0.9): exp(0.9 ln 1.8 + 0.1 ln 0.2)
    pair = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    assert inception_score(pair)[0] == pytest.approx(1.8**0.9 * 0.2**0.1)
    # 2 splits that take images in turn: (1, 0), (1, 0) and (1, 0), (0, 1), so scores 1 and 2
    dealt = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert inception_score(dealt, splits=2) == pytest.approx((1.5, 0.5))


@pytest.mark.parametrize("splits", [1, 3])
def test_inception_score_agrees_with_torch_fidelity(splits, agrees):
    logits = 3 * normal(90, 7)
    expected = isc_features_to_metric(logits, splits, shuffle=False)
    in_turn = torch.cat(logits.chunk(splits), dim=1).view(-1, 7)  # its splits are consecutive, ours take images in turn
    mean, std = inception_score(in_turn.softmax(1), splits)
    data = f"90 made logits of 7 classes, {splits} splits"
    agrees("IS", "torch-fidelity", data, mean, expected["inception_score_mean"], rel=1e-5)
    agrees("IS deviation", "torch-fidelity", data, std, expected["inception_score_std"], rel=1e-4, abs=1e-7)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_inception_score_of_two_processes_is_that_of_one(monkeypatch):
    probs = normal(50, 4).mul(2).softmax(1)
    whole, merged = InceptionScore(3), InceptionScore(3)
    for part in probs.split(7):
        whole.update(part)
    for rank in range(2):
        metric = InceptionScore(3)
        with monkeypatch.context() as patch:
            patch.setattr(torch.distributed, "is_initialized", lambda: True)
            patch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
            patch.setattr(torch.distributed, "get_world_size", lambda: 2)
            for part in probs[rank::2].split(8):
                metric.update(part)
        merged.merge_state(metric)
    assert torch.equal(merged.counts, torch.tensor([17.0, 17, 16]))
    torch.testing.assert_close(merged.compute(), whole.compute())


def test_inception_score_is_repeatable_and_can_be_reset():
    probs = normal(40, 4).softmax(1)
    metric = InceptionScore(4)
    metric.update(probs)
    first = metric.compute()
    torch.manual_seed(123)
    metric.reset()
    metric.update(probs)
    assert metric.compute() == first


def test_inception_score_refuses_splits():
    with pytest.raises(SettingError, match="splits of the Inception Score is 0: it must be at least 1"):
        InceptionScore(0)
    with pytest.raises(SettingError, match="splits of the Inception Score is 10 but there are 4 images"):
        inception_score(torch.eye(4), splits=10)


# -- clustering ------------------------------------------------------------------------------------


def test_clustering_scores_by_hand():
    codes = torch.tensor([[0.0], [1], [10], [11]])
    # silhouettes: 1 - 1 / 10.5 at the ends, 1 - 1 / 9.5 inside
    silhouette = (2 - 1 / 10.5 - 1 / 9.5) / 2
    perfect = clustering_scores(codes, torch.tensor([3, 3, 1, 1]), 2, seed=0)  # the names of the labels do not matter
    assert perfect == pytest.approx({"silhouette": silhouette, "ari": 1, "nmi": 1, "clustering_accuracy": 1})
    # clusters {0, 1}, {10, 11} against labels {0}, {1, 10, 11}: of the pairs 1 agrees, 0.5 * ... expected 1
    partly = clustering_scores(codes, torch.tensor([0, 1, 1, 1]), 2, seed=0)
    assert partly["silhouette"] == pytest.approx(silhouette)  # of the clusters: labels do not matter
    assert partly["clustering_accuracy"] == 0.75
    # sum C(n_ij, 2) = 1; sum C(a, 2) = 2, sum C(b, 2) = 3, C(4, 2) = 6: (1 - 1) / (2.5 - 1) = 0
    assert partly["ari"] == pytest.approx(0)
    mutual = 0.25 * math.log(0.25 / (0.5 * 0.25)) + 0.25 * math.log(0.25 / (0.5 * 0.75))
    mutual += 0.5 * math.log(0.5 / (0.5 * 0.75))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert partly["nmi"] == pytest.approx(mutual / ((math.log(2) + entropy) / 2))


def test_clustering_accuracy_takes_the_best_assignment():
    codes = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0], [9.1]])
    # by clusters: two 0 and one 1; two 0 and one 1; two 2. Greedy would give both of the first to class 0.
    labels = torch.tensor([0, 0, 1, 0, 0, 1, 2, 2])
    assert clustering_scores(codes, labels, 3, seed=0)["clustering_accuracy"] == pytest.approx(5 / 8)


def test_clustering_is_repeatable_and_the_silhouette_can_be_sampled():
    codes, labels = normal(300, 5), torch.arange(300) % 4
    scores = clustering_scores(codes, labels, 4, seed=1)
    assert clustering_scores(codes, labels, 4, seed=1) == scores
    sampled = clustering_scores(codes, labels, 4, seed=1, max_silhouette=100)
    assert sampled["silhouette"] != scores["silhouette"]
    assert sampled["silhouette"] == pytest.approx(scores["silhouette"], abs=0.05)
    assert sampled["ari"] == scores["ari"]
    with pytest.raises(NotComputable, match="the 1 codes of the silhouette are all in one cluster"):
        clustering_scores(codes, labels, 4, seed=1, max_silhouette=1)
    with pytest.raises(NotComputable, match="the 3 codes of the silhouette are each in a cluster of its own"):
        silhouette(codes[:3], np.arange(3, dtype=np.int32), seed=0)
    with pytest.raises(NotComputable, match="the 300 labelled samples are all of one class"):
        clustering_scores(codes, labels * 0, 4, seed=1)


def test_clustering_refuses():
    codes = normal(10, 2)
    with pytest.raises(SettingError, match="clustering is compared with labels, and some samples have none"):
        clustering_scores(codes, torch.full((10,), -1), 2, seed=0)
    with pytest.raises(SettingError, match="10 clusters of 10 codes"):
        clustering_scores(codes, torch.zeros(10), 10, seed=0)
    with pytest.raises(SettingError, match="1 clusters"):
        clustering_scores(codes, torch.zeros(10), 1, seed=0)
    with pytest.raises(ValueError, match="all codes are equal"):
        clustering_scores(torch.ones(10, 2), torch.zeros(10), 2, seed=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        clustering_scores(codes.index_fill(0, torch.tensor(3), math.nan), torch.zeros(10), 2, seed=0)


# -- standardised error ----------------------------------------------------------------------------


def test_mse_standardised_by_hand():
    x = torch.tensor([[[0.0, 1.0]], [[0.5, 0.75]]])  # t = (-1, 1), (0, 0.5)
    x_hat = torch.tensor([[[1.0, 1.0]], [[0.25, 1.0]]])  # t_hat = (1, 1), (0 from below, 1)
    assert mse_standardised(x, x_hat, 0.5, 0.5).tolist() == pytest.approx([2, 0.125])
    assert mse_standardised(x, x, 0.5, 0.5).tolist() == pytest.approx([0.5, 0])  # the floor
    with pytest.raises(ValueError, match="standard deviation of 0"):
        mse_standardised(x, x, 0.5, 0.0)


# -- extractors ------------------------------------------------------------------------------------


class Doubled(FeatureExtractor):
    """Twice the pixels as features."""

    name = "doubled"

    def description(self):
        return {"extractor": self.name}

    def features_of(self, images):
        features = self.net(images.flatten(1))
        return Features(features, features.softmax(1))


def doubled():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Dropout(0.9))
    net[0].weight.data = 2 * torch.eye(4)
    return Doubled(net, 4)


def test_extractors_clamp_and_are_frozen():
    extractor = doubled()
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    images = torch.tensor([-1.0, 0.25, 0.5, 3]).view(1, 1, 2, 2).requires_grad_()
    features = extractor(images).features
    assert features.tolist() == [[0, 0.5, 1, 2]]
    assert not features.requires_grad
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="NaN or infinite pixels"):
            extractor(torch.full((1, 1, 2, 2), wrong))


def test_extract_gives_all_images_in_order(capfd):
    images = torch.linspace(0, 1, 28).view(7, 1, 2, 2)
    found = extract(doubled(), images, batch_size=3, progress="features")
    torch.testing.assert_close(found.features, 2 * images.flatten(1))
    assert found.probs.shape == (7, 4)
    assert extract(doubled(), images[:0]).features.shape == (0, 4)
    assert capfd.readouterr().out == ""  # a progress bar goes to standard error


class Stripes(BaseDataModule):
    """Three classes that differ in the column that is lit."""

    name = "stripes"
    input_shape = (2, 9, 6)
    num_classes = 3

    def load(self):
        return Splits(self.make(120, 0), self.make(30, 1), self.make(60, 2))

    def make(self, n, seed):
        g = torch.Generator().manual_seed(seed + 10 * self.split_seed)
        x = torch.randint(0, 120, (n, *self.input_shape), generator=g, dtype=torch.uint8)
        y = torch.arange(n) % 3
        x[torch.arange(n), :, :, 2 * y] += 80
        return ArrayDataset(x, y)


class Vectors(Stripes):
    input_shape = (12,)

    def make(self, n, seed):
        return ArrayDataset(torch.zeros(n, 12), torch.zeros(n, dtype=torch.int64))


class Unlabelled(Stripes):
    num_classes = 0


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "extractors"


@pytest.fixture
def trainings(monkeypatch):
    """The data sets for which a classifier was trained."""
    train, calls = lenet._trained, []
    monkeypatch.setattr(lenet, "_trained", lambda net, data, dev: calls.append(data) or train(net, data, dev))
    return calls


def test_lenet_learns_the_datas_own_labels(cache):
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():  # as in Lightning's test loop
        extractor = LeNetExtractor.for_data(Stripes())
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert extractor.accuracy >= 0.95
    test = Stripes().split("test")
    found = extract(extractor, test.x.float() / 255)
    assert found.features.shape == (60, extractor.num_features)
    assert (found.probs.argmax(1) == test.y).float().mean().item() == pytest.approx(extractor.accuracy)
    torch.testing.assert_close(found.probs.sum(1), torch.ones(60))
    assert extract(extractor, test.x[:0].float()).probs.shape == (0, 3)
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_lenet_is_trained_once_for_the_same_content(cache, trainings):
    first = LeNetExtractor.for_data(Stripes()).description()
    assert LeNetExtractor.for_data(Stripes(batch_size=7)).description() == first
    assert len(trainings) == 1
    assert first["extractor_accuracy"] >= 0.95
    other = LeNetExtractor.for_data(Stripes(split_seed=1)).description()
    assert len(trainings) == 2
    assert other["extractor_weights"] != first["extractor_weights"]


def test_lenet_recipe_is_fixed(cache, monkeypatch, trainings):
    first = LeNetExtractor.for_data(Stripes()).weights_hash
    (path,) = cache.glob("*.pt")
    for damaged in (path.read_bytes()[:-500], b"", b"no archive"):
        path.write_bytes(damaged)
        torch.manual_seed(len(damaged))
        assert LeNetExtractor.for_data(Stripes()).weights_hash == first
    assert len(trainings) == 4
    assert torch.load(path, weights_only=True)["accuracy"] >= 0.95


def test_lenet_is_trained_once_by_parallel_workers(cache, trainings):
    start = threading.Barrier(3)

    def work():
        start.wait()
        return LeNetExtractor.for_data(Stripes()).weights_hash

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = {future.result() for future in [pool.submit(work) for _ in range(3)]}
    assert len(trainings) == len(found) == 1


def test_lenet_refuses(cache, monkeypatch, tmp_path):
    with pytest.raises(SettingError, match=r"takes images, but stripes has samples of shape \(12,\)"):
        LeNetExtractor.for_data(Vectors())
    with pytest.raises(SettingError, match="is trained on labels and stripes has none"):
        LeNetExtractor.for_data(Unlabelled())
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="LIT_AE_CACHE to a folder that can be written to"):
        LeNetExtractor.for_data(Stripes())


# -- Inception -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inception_net():
    """torch-fidelity's network with random weights."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(fidelity_inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_: None)
        net = fidelity_inception.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
    return net


@pytest.fixture(scope="module")
def weights(inception_net, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(inception_net.state_dict(), path)
    return path


def test_inception_reads_a_weights_file(inception_net, weights):
    extractor = InceptionExtractor(str(weights))
    pixels = torch.randint(0, 256, (2, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    found = extract(extractor, pixels / 255 + torch.tensor([[[[0.001]]], [[[-0.001]]]]))
    assert found.features.shape == (2, extractor.num_features) == (2, 2048)
    features, logits = inception_net(pixels.to(torch.uint8).expand(2, 3, 28, 28))  # rounded, not truncated
    torch.testing.assert_close(found.features, features)
    torch.testing.assert_close(found.probs, logits.softmax(1))
    assert extract(extractor, torch.zeros(0, 3, 8, 8)).probs.shape == (0, found.probs.shape[1])
    description = extractor.description()
    assert "torch-fidelity" in description["extractor"]
    assert extractor.weights_hash in description["extractor_weights"]
    with pytest.raises(SettingError, match="not 2 channels"):
        extractor(torch.zeros(1, 2, 8, 8))


class Evil:
    def __reduce__(self):
        return print, ("code that a weights file may not run",)


def test_inception_refuses_weights(weights, tmp_path, monkeypatch, capsys):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "short.pth").write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "text.pth").write_text("not weights")
    torch.save(Evil(), tmp_path / "evil.pth")
    for name in ("missing", "other", "short", "text", "evil"):
        with pytest.raises(SettingError, match=rf"inception_weights .*{name}.pth cannot be loaded") as caught:
            InceptionExtractor(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)
    assert "code that" not in capsys.readouterr().out

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(fidelity_inception, "load_state_dict_from_url", offline)
    with pytest.raises(SettingError, match=r"cannot be downloaded \(no network\): set it to a whole copy"):
        InceptionExtractor()
