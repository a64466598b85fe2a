"""A class left out of training, and how well scores tell it from the others."""

from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torchmetrics.functional.classification import binary_specificity_at_sensitivity

from lit_ae.callbacks.scores.anomaly import Anomaly
from lit_ae.data.array import Array
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.digits import Digits
from lit_ae.errors import NotComputable, SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.reconstruction.anomaly import auroc_by_sample, detection_scores, threshold_scores
from lit_ae.plots.histograms import histograms
from lit_ae.statistics import paired_test_over_samples


def made(n=2000, share=0.1, ties=False, seed=0):
    """Scores far outside [0, 1], the anomalies' higher by about one standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    anomalous = torch.rand(n, generator=generator) < share
    scores = 200 + 30 * (torch.randn(n, generator=generator) + anomalous)
    return (scores / 10).round() * 10 if ties else scores, anomalous


# -- the scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_detection_against_scikit_learn(agrees, ties):
    scores, anomalous = made(ties=ties)
    found = detection_scores(scores, anomalous)
    data = f"2,000 made scores{' with ties' * ties}"
    truth = anomalous.numpy(), scores.numpy()
    agrees("anomaly AUROC", "scikit-learn", data, found["auroc"], roc_auc_score(*truth), rel=1e-6)
    agrees("anomaly AUPRC", "scikit-learn", data, found["auprc"], average_precision_score(*truth), rel=1e-6)
    false, true, _ = roc_curve(*truth, drop_intermediate=False)
    agrees("anomaly FPR95", "scikit-learn roc_curve", data, found["fpr95"], false[true >= 0.95].min(), rel=1e-6)
    ranks = torch.unique(scores, return_inverse=True)[1] / len(scores)
    specificity = binary_specificity_at_sensitivity(ranks, anomalous.long(), 0.95)[0]
    agrees("anomaly FPR95", "torchmetrics", data, found["fpr95"], 1 - specificity.item(), abs=1e-6)


def delong(first, second, anomalous):
    """AUROCs of two scores and their covariance [2, 2], by every pair of an anomaly and a normal sample."""
    parts, areas = [], []
    for scores in (first, second):
        pairs = scores[anomalous, None] - scores[None, ~anomalous]
        right = (pairs > 0).double() + 0.5 * (pairs == 0).double()
        areas.append(right.mean())
        parts.append((right.mean(1), right.mean(0)))
    of_kind = (torch.stack([part[kind] for part in parts]) for kind in (0, 1))
    return torch.stack(areas), sum(torch.cov(each) / each.shape[1] for each in of_kind)


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_by_sample_gives_the_test_of_delong(agrees, ties):
    first, anomalous = made(300, 0.2, ties)
    second = first + 40 * torch.randn(300, generator=torch.Generator().manual_seed(1))
    areas, covariance = delong(first.double(), second.double(), anomalous)
    values = torch.stack([auroc_by_sample(scores, anomalous) for scores in (first, second)])
    data = f"300 made scores{' with ties' * ties}"
    agrees("AUROC by sample", "every pair", data, values.mean(1), areas, rel=1e-9)
    agrees("its covariance", "DeLong 1988", data, torch.cov(values) / 300, covariance, rel=1e-9)
    test = paired_test_over_samples(values[:1].numpy(), values[1:].numpy())
    z = (areas[0] - areas[1]) / (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]).sqrt()
    agrees("test of two AUROCs", "DeLong 1988", data, test.t, z, rel=1e-9)


def test_auroc_by_sample_needs_two_of_each_kind():
    scores = torch.arange(5.0)
    with pytest.raises(NotComputable, match="1 anomalies and 4 normal"):
        auroc_by_sample(scores, scores > 3)
    assert auroc_by_sample(scores, scores > 2).mean() == 1


def test_fpr95_by_hand():
    # 20 anomalies at 1 … 20: with 19 of them at or above 2, three of these four normal samples are at or above it, too
    scores = torch.cat([torch.arange(1.0, 21), torch.tensor([1.5, 2.0, 5.0, 30.0])])
    anomalous = torch.arange(24) < 20
    assert detection_scores(scores, anomalous)["fpr95"] == 0.75
    # of 10 anomalies 9 are too few
    assert detection_scores(torch.tensor([*range(10), 0.5, -1.0]), torch.arange(12) < 10)["fpr95"] == 0.5
    perfect = detection_scores(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([False, False, True]))
    assert perfect == {"auroc": 1, "auprc": 1, "fpr95": 0}
    chance = detection_scores(torch.full((8,), 3.0), torch.arange(8) < 2)
    assert chance == {"auroc": 0.5, "auprc": 0.25, "fpr95": 1}


@settings(max_examples=20, deadline=None)
@given(some.lists(some.tuples(some.integers(-5, 5), some.booleans()), min_size=1, max_size=20), some.randoms())
def test_any_scores_give_numbers_or_an_error(samples, random):
    scores, anomalous = torch.tensor([float(s) for s, _ in samples]), torch.tensor([a for _, a in samples])
    if anomalous.all() or not anomalous.any():
        with pytest.raises(ValueError, match="needs anomalies and normal samples"):
            detection_scores(scores, anomalous)
        return
    found = detection_scores(scores, anomalous)
    assert all(0 <= value <= 1 for value in found.values())
    assert found["auroc"] == pytest.approx(roc_auc_score(anomalous, scores))
    order = list(range(len(samples)))
    random.shuffle(order)
    assert detection_scores(scores[order], anomalous[order]) == pytest.approx(found)
    assert detection_scores(1000 + 7 * scores, anomalous) == pytest.approx(found), "only the order counts"


def test_threshold_is_the_quantile_of_normal_samples(agrees):
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator)
    scores, anomalous = torch.randn(20_000, generator=generator), torch.arange(20_000) < 5000
    scores[anomalous] += 2
    found = threshold_scores(normal, scores, anomalous, 0.95)
    expected = [1.644854, 0.05, 0.638760]  # Φ⁻¹(0.95), 5 %, 1 - Φ(1.644854 - 2)
    agrees("anomaly threshold", "closed form", "N(0, 1) against N(2, 1)", list(found.values()), expected, abs=0.03)
    by_hand = threshold_scores(torch.arange(21.0), torch.tensor([18.0, 19, 20, 25]), torch.arange(4) > 1, 0.95)
    assert by_hand == {"threshold": 19, "false_positive_rate": 0, "recall": 1}


def test_refusals():
    scores, anomalous = made(20, 0.5)
    for wrong in (scores[:3], scores.view(4, 5)):
        with pytest.raises(ValueError, match=r"must be \[N\]"):
            detection_scores(wrong, anomalous)
    with pytest.raises(ValueError, match="is not finite"):
        detection_scores(scores / 0, anomalous)
    for normal in (scores[:0], scores / 0):
        with pytest.raises(ValueError, match="needs validation scores"):
            threshold_scores(normal, scores, anomalous, 0.9)
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        threshold_scores(scores, scores, anomalous, 95)
    with pytest.raises(ValueError, match="need anomalies and normal samples"):
        threshold_scores(scores, scores, anomalous | True, 0.9)
    with pytest.raises(SettingError, match=r"Anomaly\.quantile is 1\.5"):
        Anomaly(1.5)


def test_histograms_are_per_cent_of_each_group():
    figure = histograms({"normal": np.arange(100.0), "anomalous": torch.full((7,), 50.0)}, "x", "t", {"at 95 %": 95.0})
    axes = figure.axes[0]
    drawn = [patch.get_data().values for patch in axes.patches]
    assert [values.sum() for values in drawn] == pytest.approx([100] * 4)  # a fill and an outline for each
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["normal (100)", "anomalous (7)", "at 95 %"]
    assert histograms({"one value": np.zeros(3)}, "x", "t").axes
    for wrong in (np.zeros(0), np.array([np.nan])):
        with pytest.raises(ValueError, match="finite values: 'a' has none"):
            histograms({"a": wrong}, "x", "t")


# -- the data --------------------------------------------------------------------------------------------------------


def test_left_out_class_is_only_in_test():
    whole, less = Digits(), Digits(leave_out=3)
    for name in ("train", "val"):
        kept = whole.split(name).y != 3
        assert torch.equal(less.split(name).x, whole.split(name).x[kept])
        assert torch.equal(less.split(name).y, whole.split(name).y[kept])
        assert 0 < kept.sum() < len(kept)
    assert torch.equal(less.split("test").x, whole.split("test").x)
    assert len({whole.digest(), less.digest(), Digits(leave_out=4).digest()}) == 3
    assert less.num_classes == 10
    few = Digits(leave_out=3, limit=30, labels_per_class=1)
    assert len(few.split("val")) == 30, "the limit counts what is kept"
    assert sorted(few.split("train").y.tolist()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_class_to_leave_out_must_exist(tmp_path):
    with pytest.raises(SettingError, match=r"leave_out is 10, which is no class of the training data \(0, 1, 2"):
        Digits(leave_out=10).setup()
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((30, 4)))
    with pytest.raises(SettingError, match="none: the data have no labels"):
        Array(tmp_path / "x.npy", leave_out=0).setup()
    np.savez(tmp_path / "x.npz", x=np.zeros((30, 4)), y=np.zeros(30))
    with pytest.raises(SettingError, match="0, and the train split holds no other class"):
        Array(tmp_path / "x.npz", leave_out=0).setup()


# -- the callback ----------------------------------------------------------------------------------------------------


class Stretched(BaseDataModule):
    """Codes as data: class 1, the last tenth of test, is further away from 0."""

    name, num_classes, input_shape = "stretched", 2, (4,)

    def load(self):
        x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        y = torch.zeros(300, dtype=torch.long)
        x[180:200], y[180:200] = x[180:200] * 3, 1
        x[:10], y[:10] = x[:10] * 3, 1
        test, val, train = (ArrayDataset(x[a:b], y[a:b]) for a, b in ((0, 100), (100, 190), (190, 300)))
        return Splits(train, val, test)


def model(name="VAE", **settings):
    from functools import partial

    from lit_ae import models
    from lit_ae.nets import MLPDecoder, MLPEncoder
    from lit_ae.objectives.likelihoods import Gaussian

    torch.manual_seed(0)
    return getattr(models, name)(
        input_shape=(4,), latent_dim=2, likelihood=Gaussian("sum", "linear"), optimizer=torch.optim.Adam,
        encoder=partial(MLPEncoder, widths=[]), decoder=partial(MLPDecoder, widths=[]), **settings,
    ).eval()  # fmt: skip


def run_test(module, data, monkeypatch):
    figures, evaluation = {}, Evaluation()
    evaluation.on_test_end = lambda *args: None
    monkeypatch.setattr(
        "lit_ae.callbacks.scores.anomaly.save_figure", lambda trainer, figure, name: figures.update({name: figure})
    )
    run = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[evaluation, Anomaly(0.9)],
    )  # fmt: skip
    (metrics,) = run.test(module, datamodule=data, verbose=False)
    kept = evaluation._by_place(len(data.split("test")))
    assert not any("auroc" in key for key in kept), "of 10 anomalies DeLong's test would be wrong"
    for key, values in kept.items():
        assert np.nanmean(values) == pytest.approx(metrics[f"test/{key}"], rel=1e-6)
    found = {k.removeprefix("test/anomaly/"): v for k, v in metrics.items() if k.startswith("test/anomaly/")}
    return found, evaluation.left_out.get("Anomaly", evaluation.protocol.get("anomaly")), figures


@pytest.mark.parametrize("name", ["VAE", "AE"])
def test_callback_scores_the_class_left_out(monkeypatch, agrees, name):
    module, data = model(name), Stretched(leave_out=1)
    found, said, figures = run_test(module, data, monkeypatch)
    test, val = data.split("test"), data.split("val")
    with torch.no_grad():
        mu, logvar = module.encode(test.x)[:2]
        nll = (module.decode(mu) - test.x).square().sum(1)
        normal = (module.decode(module.encode(val.x).mu) - val.x).square().sum(1)
    agrees("Anomaly nll AUROC", "scikit-learn", "stretched class", found["nll/auroc"], roc_auc_score(test.y, nll))
    threshold = np.quantile(normal.double(), 0.9)
    agrees("Anomaly nll threshold", "numpy", "stretched class", found["nll/threshold"], threshold)
    above = nll.double() > threshold
    assert found["nll/recall"] == pytest.approx(above[test.y == 1].double().mean().item())
    assert found["nll/false_positive_rate"] == pytest.approx(above[test.y == 0].double().mean().item())
    keys = {"auroc", "auprc", "fpr95", "threshold", "false_positive_rate", "recall"}
    if name == "VAE":
        q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 1)).sum(1)
        agrees("Anomaly KL AUROC", "scikit-learn", "stretched class", found["kl/auroc"], roc_auc_score(test.y, kl))
        assert figures.keys() == {"anomaly-scores", "anomaly-scores-kl"}
        assert found.keys() == {f"{score}/{key}" for score in ("nll", "kl") for key in keys}
    else:
        assert figures.keys() == {"anomaly-scores"}
        assert found.keys() == {f"nll/{key}" for key in keys}
    assert said == (
        "anomalies: class 1, left out of training, 10 of 100 test samples; scores at the mean code; threshold: 0.9 "
        "quantile of 80 normal validation samples"
    )


def test_nothing_is_scored_without_anomalies_and_the_protocol_says_why(monkeypatch):
    found, said, figures = run_test(model(), Stretched(), monkeypatch)
    assert (found, figures) == ({}, {})
    assert said == "no class was left out of training: set data.leave_out"
    data = Stretched(leave_out=1)
    data.setup()
    data._splits = data._splits._replace(test=data.split("test").subset(torch.arange(20, 50)))
    found, said, figures = run_test(model(), data, monkeypatch)
    assert (found, figures) == ({}, {})
    assert said == "0 of 30 labelled test samples are of class 1"


@pytest.mark.parametrize("name", ["ConditionalAE", "ConditionalVAE"])
def test_a_family_that_is_given_the_class_is_not_scored(monkeypatch, name):
    found, said, figures = run_test(model(name, num_classes=2), Stretched(leave_out=1), monkeypatch)
    assert (found, figures) == ({}, {})
    assert said == f"{name} is given a sample's class, which tells whether the sample is an anomaly"


def test_ranks_together_give_one_process_s_scores(monkeypatch):
    module, data, callback = model(), Stretched(leave_out=1), Anomaly()

    def scores(rank, world):
        monkeypatch.setattr("lit_ae.callbacks.scores.anomaly.gather_in_order", lambda part, trainer: part)
        run = SimpleNamespace(global_rank=rank, world_size=world, lightning_module=module)
        return callback._scores(run, data.split("test"))

    whole = scores(0, 1)
    for name, values in whole.items():
        joined = torch.empty_like(values)
        for rank in range(3):
            joined[rank::3] = scores(rank, 3)[name]
        assert torch.allclose(joined, values, rtol=1e-6)
