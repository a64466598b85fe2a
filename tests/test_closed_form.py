"""PCA: against NumPy's singular values, and through the trainer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_families import trainer

from lit_ae.data.containers import Batch
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models.pca import PCA
from lit_ae.training.precision import precision_for


@pytest.fixture(scope="module")
def digits():
    return Digits(limit=300)


@pytest.fixture(scope="module")
def fitted(digits):
    module, run = PCA((1, 28, 28), latent_dim=12, pixels="mean"), trainer(5)
    run.fit(module, datamodule=digits)
    return module, run


def test_training_error_is_the_share_of_variance_left_out(fitted, digits):
    _, trainer = fitted
    x = digits.split("train").x.flatten(1).double().numpy() / 255
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    left_out = (singular[12:] ** 2).sum() / x.size
    assert trainer.callback_metrics["train/mse"].item() == pytest.approx(left_out, rel=1e-5)
    assert trainer.callback_metrics["train/nll"].item() == pytest.approx(left_out, rel=1e-5)
    assert trainer.callback_metrics["val/mse"] > left_out


def test_one_epoch_is_all_there_is_and_its_steps_are_counted(fitted):
    assert fitted[1].current_epoch == 1
    assert fitted[1].global_step == 5, "without steps no checkpoint is written"


def test_codes_are_centred_uncorrelated_and_ordered_by_variance(fitted, digits):
    module, _ = fitted
    with torch.no_grad():
        codes = module.encode(digits.split("train").x / 255).mu.double()
    assert codes.mean(0).abs().max() < 1e-5
    covariance = codes.T.cov()
    variance = covariance.diagonal()
    assert torch.equal(variance, variance.sort(descending=True).values)
    assert (covariance - variance.diag()).abs().max() < 1e-4 * variance[0]


def test_another_seed_gives_the_same_components(fitted, digits):
    torch.manual_seed(99)
    other = PCA((1, 28, 28), latent_dim=12)
    trainer(1).fit(other, datamodule=digits)
    ours, theirs = fitted[0].state_dict(), other.state_dict()
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-5) for key in ours)


def test_more_components_than_features_are_refused():
    with pytest.raises(SettingError, match=r"model\.latent_dim is 65 but samples have 64 features"):
        PCA((1, 8, 8), latent_dim=65)
    with pytest.raises(SettingError, match="select some"):
        PCA((20_000,), latent_dim=65)


def test_half_precision_does_not_reach_the_projection():
    """The mean of these features is 100 times their spread."""
    x = 1000 + 10 * torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    module = PCA((64,), latent_dim=40)
    with torch.no_grad():
        module.solve(iter([Batch(x, torch.zeros(200))]))
        expected = module(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(module(x), expected)
    assert precision_for(PCA((2048,), latent_dim=512), "auto") == "32-true"


def test_a_scaled_loss_is_refused():
    module = PCA(input_shape=(4,), latent_dim=2)
    module._trainer = SimpleNamespace(precision="16-mixed", datamodule=None)
    with pytest.raises(SettingError, match=r"trainer\.precision is 16-mixed, which scales a loss, and PCA has none"):
        module.setup("fit")
