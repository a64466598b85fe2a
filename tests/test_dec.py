"""DEC: its two distributions against the definition, and a run whose clusters are more distinct than before."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.metrics import normalized_mutual_info_score
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.callbacks.scores.cluster_assignments import ClusterAssignments
from lit_ae.callbacks.scores.clustering import Clustering
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes.clustering import clustering_accuracy
from lit_ae.models.ae import AE
from lit_ae.models.dec import DEC, sharpened, student_t
from lit_ae.models.training_pass import training_batches
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian

SETTINGS = {
    "input_shape": (1, 28, 28),
    "latent_dim": 10,
    "optimizer": partial(torch.optim.Adam, lr=1e-3),
    "encoder": partial(MLPEncoder, widths=[64]),
    "decoder": partial(MLPDecoder, widths=[64]),
    "likelihood": Gaussian(),
}


@pytest.fixture(scope="module")
def digits():
    return Digits()


def trainer(epochs, *callbacks):
    return Trainer(
        max_epochs=epochs, callbacks=list(callbacks), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(digits):
    seed_everything(0, verbose=False)
    module, run = DEC(pretrain_epochs=6, **SETTINGS), trainer(8, Evaluation(), ClusterAssignments())
    run.fit(module, datamodule=digits)
    fitted = dict(run.callback_metrics)
    (scores,) = run.test(module, datamodule=digits, verbose=False)
    return module, fitted, scores


def test_soft_assignments_follow_the_definition():
    z, centres = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    kernel = torch.tensor([[1, 1 / 17], [1 / 26, 1 / 10]])
    assert torch.allclose(student_t(z, centres), kernel / kernel.sum(1, keepdim=True))


def test_target_follows_the_definition_and_is_sharper():
    q = torch.tensor([[0.8, 0.2], [0.6, 0.4]])
    p = sharpened(q, q.sum(0))
    first = 0.64 / 1.4 / (0.64 / 1.4 + 0.04 / 0.6)
    second = 0.36 / 1.4 / (0.36 / 1.4 + 0.16 / 0.6)
    assert torch.allclose(p, torch.tensor([[first, 1 - first], [second, 1 - second]]))
    assert p[0, 0] > q[0, 0]


def test_clusters_are_more_distinct_than_those_of_kmeans_on_the_initial_autoencoder(trained, digits):
    """Accuracy itself is no better with so small nets: over seeds 0 to 3 it changes by -0.02 to +0.02 (mean 0.00)."""
    module, _, scores = trained
    x = digits.split("test").x / 255
    with torch.no_grad():
        chances = [q.max(1).values.mean().item() for q in (module.assign_initially(x), module.assign(x))]
    assert chances[1] > 1.1 * chances[0]  # 1.14 to 1.16 times over these seeds
    assert 0.4 < scores["test/assignment_accuracy_initial"] < scores["test/assignment_accuracy"] + 0.05


def test_own_clusters_are_scored_in_place_of_those_of_kmeans(trained, digits):
    module, _, _ = trained
    run = trainer(0, Evaluation(), Clustering(own_clusters=True))
    (scores,) = run.test(module, datamodule=digits, verbose=False)
    with torch.no_grad():
        own = module.assign(digits.split("test").x / 255).argmax(1)
    labels = digits.split("test").y
    assert scores["test/clustering_accuracy"] == pytest.approx(clustering_accuracy(own, labels))
    assert scores["test/nmi"] == pytest.approx(normalized_mutual_info_score(labels, own))
    run = trainer(0, Evaluation(), Clustering())
    (others,) = run.test(module, datamodule=digits, verbose=False)
    assert others["test/clustering_accuracy"] != scores["test/clustering_accuracy"]


def test_penalty_is_the_divergence_of_target_and_assignment(trained, digits):
    module, _, scores = trained
    x = digits.split("test").x / 255
    with torch.no_grad():
        p, q = sharpened(module.teacher(x), module.frequency), module.assign(x)
        expected = (p * (p.log() - q.log())).sum(1)
        assert torch.allclose(module.penalty(x, x, module.encode(x), None), expected, atol=1e-5)
    assert expected.mean() > 0
    assert scores["test/penalty"] == pytest.approx(expected.mean().item(), rel=1e-3)


def test_teacher_is_the_model_as_the_last_epoch_ended_and_initial_is_older(trained, digits):
    module, _, _ = trained
    x = digits.split("test").x[:50] / 255
    with torch.no_grad():
        assert torch.allclose(module.teacher(x), module.assign(x))
        assert not torch.allclose(module.initial(x), module.assign(x), atol=1e-2)
    own = {name for name, _ in module.named_parameters()}
    assert not [name for name in own if name.startswith(("teacher", "initial"))]


def test_training_stops_where_few_clusters_change(digits):
    seed_everything(0, verbose=False)
    module, run = DEC(pretrain_epochs=1, tolerance=0.9, **SETTINGS), trainer(5)
    run.fit(module, datamodule=digits)
    assert run.current_epoch == 1
    assert 0 <= run.callback_metrics["train/changed_assignments"] < 0.9


def test_initial_autoencoder_may_come_from_a_checkpoint(digits, tmp_path):
    seed_everything(1, verbose=False)
    ae, run = AE(**SETTINGS), trainer(1)
    run.fit(ae, datamodule=digits)
    run.save_checkpoint(tmp_path / "ae.ckpt")
    module = DEC(pretrained=str(tmp_path / "ae.ckpt"), **SETTINGS)
    trainer(1).fit(module, datamodule=digits)
    x = digits.split("test").x[:20] / 255
    assert torch.allclose(module.initial.encoder(x), ae.encoder(x))
    other = DEC(pretrained=str(tmp_path / "ae.ckpt"), **{**SETTINGS, "latent_dim": 3})
    with pytest.raises(SettingError, match=r"model\.pretrained .*ae.ckpt does not fit .*latent_dim"):
        trainer(1).fit(other, datamodule=digits)


@pytest.mark.parametrize("setting", [{"clusters": 1}, {"pretrain_epochs": -1}, {"tolerance": -0.1}])
def test_settings_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(SettingError, match=rf"model\.{name} is .*: it must be at least"):
        DEC(**setting, **SETTINGS)


def test_accuracy_is_that_of_the_best_assignment():
    assert clustering_accuracy([2, 2, 0, 0, 1], [0, 0, 1, 1, 1]) == pytest.approx(4 / 5)


def test_passes_over_a_plain_loader_have_one_order():
    """Otherwise the clusters of different samples would be compared, and training would never stop by itself."""
    x = torch.rand(40, 1, 4, 4)
    module = AE(input_shape=(1, 4, 4), latent_dim=2)
    loader = DataLoader(TensorDataset(x), batch_size=8, shuffle=True)
    module._trainer = SimpleNamespace(datamodule=None, train_dataloader=loader)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, second = (torch.cat([batch.x for batch in training_batches(module)]) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    assert torch.equal(torch.random.get_rng_state(), before)
