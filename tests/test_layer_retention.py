"""What a layer retains against scikit-learn's ridge regression and closed forms; the callback on digits."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer, seed_everything
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from lit_ae.callbacks.scores.layer_retention import LayerRetention
from lit_ae.data.digits import Digits
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes import retention
from lit_ae.metrics.codes.retention import variance_retained
from lit_ae.models.ae import AE
from lit_ae.models.conditional_vae import ConditionalVAE
from lit_ae.models.sparse_ae import SparseAE
from lit_ae.models.vae import VAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.objectives.likelihoods import Gaussian


@pytest.fixture(scope="module")
def pixels():
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    return x[:900], x[900:]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(train_features, train_x, features, x, alpha):
    scale = train_features.double().var(0, correction=0).mean().sqrt()
    ridge = Ridge(alpha, solver="svd").fit((train_features.double() / scale).numpy(), train_x.double().numpy())
    return r2_score(x, ridge.predict((features.double() / scale).numpy()), multioutput="variance_weighted")


@pytest.mark.parametrize("alpha", [0.1, 1.0, 100.0])
def test_digits_against_scikit_learn(pixels, alpha, agrees, monkeypatch):
    monkeypatch.setattr(retention, "PART", 250)  # more than one part
    train, test = pixels
    features = [torch.tanh(x @ normal(64, 12) / 20) for x in (train, test)]
    features = [torch.cat([z, torch.full((len(z), 1), 3.0)], 1) for z in features]  # one unit is dead
    ours = variance_retained(features[0], train, features[1], test, alpha)
    expected = reference(features[0], train, features[1], test, alpha)
    agrees(
        "layer retention", "scikit-learn Ridge, R²", f"1,797 digits, 13 units, alpha {alpha:g}", ours, expected, 1e-6
    )
    assert 0.1 < ours < 0.9


def test_principal_components_retain_their_eigenvalues_share(pixels, agrees):
    x = torch.cat(pixels).double()
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x)
    ours = [variance_retained(z, x, z, x, 1e-9) for z in (x @ vectors[:, -d:] for d in (1, 5, 20))]
    shares = [float(values[-d:].sum() / values.sum()) for d in (1, 5, 20)]
    agrees("layer retention", "eigenvalues' share", "1,797 digits, 1, 5, 20 components", ours, shares, rel=1e-6)


def test_an_invertible_linear_layer_keeps_everything_and_a_dead_one_nothing(pixels):
    train, test = (x[:, 20:30] for x in pixels)
    mixed = [x @ normal(10, 10) for x in (train, test)]
    assert variance_retained(mixed[0], train, mixed[1], test, 1e-6) == pytest.approx(1.0, abs=1e-5)
    dead = [torch.zeros(len(x), 4) for x in (train, test)]
    assert variance_retained(dead[0], train, dead[1], test) == pytest.approx(
        r2_score(test, np.tile(train.mean(0), (len(test), 1)), multioutput="variance_weighted"), abs=1e-5
    )


def test_a_unit_that_is_rarely_active_in_training_does_no_harm(pixels):
    train, test = pixels
    features = [x @ normal(64, 12) for x in (train, test)]
    alone = variance_retained(features[0], train, features[1], test)
    rare = [torch.zeros(len(x), 1) for x in (train, test)]
    rare[0][0], rare[1][::9] = 1e-3, 20.0
    features = [torch.cat(pair, 1) for pair in zip(features, rare, strict=True)]
    assert variance_retained(features[0], train, features[1], test) == pytest.approx(alone, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_any_shape_gives_a_number_of_at_most_1(n, d, p, seed):
    x, z = normal(n, p, seed=seed), normal(n, d, seed=seed + 1)
    if n == 1:
        with pytest.raises(ValueError, match="no variance"):
            variance_retained(z, x, z, x)
        return
    share = variance_retained(z, x, z, x)
    assert 0 <= share <= 1  # on the samples to which it was fitted it cannot be worse than their mean
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert variance_retained(z[order], x[order], z[order], x[order]) == pytest.approx(share, abs=1e-6)
    assert variance_retained(10 * z + 3, x, 10 * z + 3, x) == pytest.approx(share, abs=1e-4)  # units do not matter


def test_refusals():
    x, z = normal(5, 3), normal(5, 2)
    for wrong, said in [
        ((z, x, z[:3], x), "3 scored features for 5"),
        ((z[:0], x[:0], z, x), "0 training features"),
        ((z * float("nan"), x, z, x), "not all finite"),
        ((z, x, z, torch.ones(5, 3)), "no variance"),
    ]:
        with pytest.raises(ValueError, match=said):
            variance_retained(*wrong)
    with pytest.raises(ValueError, match="alpha is 0"):
        variance_retained(z, x, z, x, 0.0)


# -- the callback --------------------------------------------------------------------------------------------


def scored(family, encoder, decoder, **data):
    """Test metrics and the Evaluation of an untrained model on digits."""
    seed_everything(0, verbose=False)
    module = family(
        input_shape=(1, 28, 28), latent_dim=6, optimizer=partial(torch.optim.Adam, lr=1e-3), encoder=encoder,
        decoder=decoder, likelihood=Gaussian(),
    )  # fmt: skip
    evaluation = Evaluation()
    trainer = Trainer(
        callbacks=[evaluation, LayerRetention()], accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, limit_test_batches=data.pop("batches", None),
    )  # fmt: skip
    digits = Digits(limit=200, eval_batch_size=50)
    (metrics,) = trainer.test(module, datamodule=digits, verbose=False)
    return {k: v for k, v in metrics.items() if "retention" in k}, evaluation, module, digits


def shifted(**settings):
    """A ConditionalVAE whose e_y are not 0, as after a step of training."""
    module = ConditionalVAE(num_classes=10, **settings)
    torch.nn.init.normal_(module.shift)
    return module


@pytest.mark.parametrize("family", [AE, VAE])
def test_every_layer_of_the_encoder_is_measured(family):
    mlp = partial(MLPEncoder, widths=[40, 20], norm="batch"), partial(MLPDecoder, widths=[20])
    values, evaluation, module, digits = scored(family, *mlp)
    assert list(values) == ["test/retention/1", "test/retention/2", "test/retention/3"]
    module.eval()
    train, test = (digits.split(name).x.float() / 255 for name in ("train", "test"))
    with torch.no_grad():
        codes = [module.encode(x).mu for x in (train, test)]  # the code's mean is the last layer
    expected = 100 * reference(codes[0], train.flatten(1), codes[1], test.flatten(1), 1.0)
    assert values["test/retention/3"] == pytest.approx(expected, rel=1e-4)
    assert 100 > values["test/retention/1"] > values["test/retention/3"]
    assert "fitted to 200 training samples, scored on 200" in evaluation.protocol["retention"]


def test_the_last_value_is_that_of_the_code_in_every_family():
    """SparseAE applies a sigmoid to its encoder's output; the encoder of ConditionalVAE is given x + e_y."""
    mlp = partial(MLPEncoder, widths=[20]), partial(MLPDecoder, widths=[20])
    values, _, module, digits = scored(SparseAE, *mlp)
    train, test = (digits.split(name).x.float() / 255 for name in ("train", "test"))
    with torch.no_grad():
        codes = [module.eval().encode(x).mu for x in (train, test)]
    expected = 100 * reference(codes[0], train.flatten(1), codes[1], test.flatten(1), 1.0)
    assert values["test/retention/2"] == pytest.approx(expected, rel=1e-4)
    values, evaluation, *_ = scored(shifted, *mlp)
    assert values == {}
    assert evaluation.left_out == {"LayerRetention": "the encoder of ConditionalVAE is not given x alone"}


def test_fewer_batches_are_scored_and_other_nets_have_none():
    mlp = partial(MLPEncoder, widths=[]), partial(MLPDecoder, widths=[])
    values, evaluation, *_ = scored(AE, *mlp, batches=2)
    assert list(values) == ["test/retention/1"]
    assert "scored on 100" in evaluation.protocol["retention"]
    assert scored(AE, ConvEncoder, ConvDecoder)[0] == {}
