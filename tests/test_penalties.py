"""Penalties against closed forms, finite differences and each other; the families that are made of them."""

import math

import pytest
import torch
from test_families import build, images, trainer
from torch import nn

from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.nets import MLPEncoder
from lit_ae.nets.conv import ConvEncoder
from lit_ae.nets.report_conv import ReportConvDecoder, ReportConvEncoder
from lit_ae.objectives.penalties import EPSILON, jacobian_norm, jacobian_norm_estimate, kl_sparsity, l1

ENCODERS = {
    "tanh": lambda shape: MLPEncoder(shape, 5, [9], activation="tanh"),
    "elu": lambda shape: MLPEncoder(shape, 5, [9, 7], activation="elu", norm="layer"),
    "conv": lambda shape: ConvEncoder(shape, 5, [3, 4], activation="leaky_relu"),
    "pooled": lambda shape: ReportConvEncoder(shape, 5, [4, 6]),
}


@pytest.fixture(scope="module")
def digits():
    """200 digits in each split."""
    return Digits(batch_size=50, eval_batch_size=200, limit=200)


@pytest.fixture
def encoder(request):
    torch.manual_seed(0)
    return ENCODERS[request.param]((1, 8, 8)).double()


def doubles(n=3, shape=(1, 8, 8)):
    return torch.rand(n, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# -- sparsity --------------------------------------------------------------------------------------------------------


def test_l1_is_the_sum_of_absolute_activations():
    assert l1(torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])).tolist() == [3.5, 0.0]


def test_kl_sparsity_is_that_of_bernoulli_rates():
    h = torch.rand(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target, rates = torch.distributions.Bernoulli(torch.tensor(0.05)), torch.distributions.Bernoulli(h.mean(0))
    expected = torch.distributions.kl_divergence(target, rates).sum()
    assert kl_sparsity(h, 0.05).item() == pytest.approx(expected.item(), rel=1e-6)
    assert kl_sparsity(torch.full((4, 3), 0.05), 0.05).item() == pytest.approx(0, abs=1e-6)
    by_hand = 0.05 * math.log(0.05 / 0.5) + 0.95 * math.log(0.95 / 0.5)
    assert kl_sparsity(torch.tensor([[0.2], [0.8]]), 0.05).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 40.0, 1e30, -math.inf, math.inf, EPSILON / 2])
def test_kl_sparsity_is_finite_for_any_activation(value):
    h = torch.full((4, 3), value, requires_grad=True)
    penalty = kl_sparsity(h, 0.05)
    penalty.backward()
    assert 0 < penalty.item() < 3 * 14
    assert h.grad.isfinite().all()


@pytest.mark.parametrize("name", ["sparse_kl", "sparse_conv"])
def test_kl_of_the_batch_is_given_to_every_sample_whole(name):
    module, batch = build(name, weight=0.3).eval(), images(6, (1, 28, 28))
    r = module.test_step(batch, 0)
    assert ((r.latent.mu > 0) & (r.latent.mu < 1)).all()
    whole = 0.3 * kl_sparsity(r.latent.mu, 0.05)
    assert torch.equal(r.penalty, whole.expand(6))
    assert r.penalty.mean().item() == pytest.approx(whole.item())


@pytest.mark.parametrize("activation", ["relu", "linear", "tanh", "elu"])
def test_kl_of_codes_outside_0_and_1_is_refused(activation):
    with pytest.raises(ValueError, match=rf"activation is {activation}.*set model.activation to sigmoid"):
        build("sparse_kl", activation=activation)
    assert build("sparse_l1", activation=activation).sparsity == "l1"


def test_unfit_settings_are_refused():
    for name, setting, value in [
        ("sparse_kl", "rho", 0.0),
        ("sparse_kl", "rho", 1.0),
        ("sparse_l1", "weight", -1.0),
        ("contractive", "weight", -1.0),
        ("contractive", "probes", 0),
    ]:
        with pytest.raises(ValueError, match=f"model.{setting} is {value}"):
            build(name, **{setting: value})


@pytest.mark.parametrize(("name", "weights"), [("sparse_l1", (0, 3e-3)), ("sparse_kl", (0, 1e-2))])
def test_more_penalty_makes_sparser_codes(name, weights, digits):
    x, means = digits.split("test").x / 255, []
    for weight in weights:
        module = build(name, weight=weight)
        trainer(4, limit_val_batches=0).fit(module, datamodule=digits)
        with torch.no_grad():
            means.append(module.encode(x).mu.mean().item())
    assert means[1] < 0.6 * means[0]


# -- contraction -----------------------------------------------------------------------------------------------------


def by_finite_differences(encoder, x, step=1e-6):
    total = torch.zeros(len(x), dtype=x.dtype)
    for i in range(x[0].numel()):
        shift = torch.zeros_like(x).flatten(1)
        shift[:, i] = step
        shift = shift.view_as(x)
        with torch.no_grad():
            total += ((encoder(x + shift) - encoder(x - shift)) / (2 * step)).square().sum(1)
    return total


@pytest.mark.parametrize("encoder", ENCODERS, indirect=True)
def test_exact_norm_agrees_with_finite_differences(encoder):
    x = doubles()
    assert torch.allclose(jacobian_norm(encoder, x), by_finite_differences(encoder, x), rtol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS, indirect=True)
def test_estimate_has_the_exact_norm_as_its_mean(encoder):
    x = doubles(2)
    probes = 2000
    leaf = x.repeat(probes, 1, 1, 1).requires_grad_()
    draws = jacobian_norm_estimate(encoder(leaf), leaf).view(probes, 2)
    exact = jacobian_norm(encoder, x)
    error = draws.std(0) / probes**0.5
    assert ((draws.mean(0) - exact).abs() < 4 * error).all()
    assert (error < 0.05 * exact).all(), "otherwise the test could not detect a wrong mean"
    leaf = x.clone().requires_grad_()
    assert torch.allclose(jacobian_norm_estimate(encoder(leaf), leaf, 500), exact, rtol=0.25)


def test_sigmoid_layer_has_the_closed_form_of_the_paper():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid()).double()
    net.out_features = 4
    x = doubles(5, (6,))
    h = net(x)
    closed = ((h * (1 - h)).square() * net[0].weight.square().sum(1)).sum(1)  # Rifai et al. 2011, section 3
    assert torch.allclose(jacobian_norm(net, x), closed)
    expected = torch.autograd.grad(closed.sum(), net[0].weight)[0]
    (found,) = torch.autograd.grad(jacobian_norm(net, x, chunk=3).sum(), net[0].weight)
    assert torch.allclose(found, expected), "its gradient trains the encoder"


@pytest.mark.parametrize("encoder", ["conv", "pooled"], indirect=True)
def test_chunks_change_neither_value_nor_gradient(encoder):
    x, weight = doubles(), next(encoder.parameters())
    whole, small = jacobian_norm(encoder, x, chunk=5), jacobian_norm(encoder, x, chunk=2)
    assert torch.allclose(whole, small)
    gradients = [torch.autograd.grad(value.sum(), weight)[0] for value in (whole, small)]
    assert torch.allclose(*gradients)
    assert gradients[0].any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("estimator", ["exact", "hutchinson"])
def test_contraction_is_computed_where_no_gradients_are_kept(estimator, mode):
    module = build("contractive", estimator=estimator, probes=50, latent_dim=6)
    expected = 1e-4 * jacobian_norm(module.encoder, images(4, (1, 28, 28)).x)
    module.eval()
    with mode():
        r = module.test_step(images(4, (1, 28, 28)), 0)
    assert not r.penalty.requires_grad
    assert torch.allclose(r.penalty, expected.detach(), rtol=1e-4 if estimator == "exact" else 0.5)


@pytest.mark.parametrize("estimator", ["exact", "hutchinson"])
def test_contractive_ae_trains_and_tests_under_the_trainer(estimator, digits):
    free, tight = (build("contractive", estimator=estimator, weight=w, latent_dim=4) for w in (0, 0.1))
    for module in (free, tight):
        run = trainer(1)
        run.fit(module, datamodule=digits)
        (scores,) = run.test(module, datamodule=digits, verbose=False)
        assert (scores["test/penalty"] > 0) == (module is tight)
    x = digits.split("test").x[:50] / 255
    with torch.no_grad():
        norms = [jacobian_norm(module.encoder, x).mean().item() for module in (free, tight)]
    assert norms[1] < 0.5 * norms[0]


def test_exact_contraction_of_batch_norm_is_refused_and_the_estimate_is_not():
    encoder = "{class_path: MLPEncoder, init_args: {widths: [16], norm: batch}}"
    with pytest.raises(ValueError, match=r"batch norm in model.encoder.*choose model.estimator hutchinson"):
        build("contractive", estimator="exact", encoder=encoder)
    module, batch = build("contractive", encoder=encoder), images(8, (1, 28, 28))
    module.training_step(batch, 0).backward()
    assert next(module.encoder.parameters()).grad.any()


# -- the report's net ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report_conv_ae", "sparse_conv", "contractive_conv"])
def test_report_net_has_the_published_number_of_parameters(name):
    module = build(name)
    assert isinstance(module.encoder, ReportConvEncoder)
    assert isinstance(module.decoder, ReportConvDecoder)
    assert sum(p.numel() for p in module.encoder.parameters()) == 664_704
    assert sum(p.numel() for p in module.decoder.parameters()) == 666_635
    assert sum(p.numel() for p in module.parameters()) == 1_331_339


def test_report_decoder_starts_alive_whatever_the_seed():
    for seed in range(10):
        torch.manual_seed(seed)
        decoder = ReportConvDecoder(16, (1, 28, 28), [32, 16, 8])
        grown = decoder.layers(torch.randn(8, 16))
        assert grown.shape == (8, 1, 24, 24)
        assert (grown > 0).float().mean() > 0.9
        assert (decoder(torch.randn(8, 16)).std(0) > 0).float().mean() > 0.7, "all pixels except the zero padding"


def test_report_net_takes_other_shapes_and_refuses_what_it_cannot_halve():
    for shape in [(3, 18, 21), (1, 28, 20), (1, 8, 8), (3, 32, 32)]:
        codes = ReportConvEncoder(shape, 5, [4, 4, 4])(torch.rand(2, *shape))
        assert codes.shape == (2, 5)
        assert ReportConvDecoder(5, shape, [4, 4, 4])(codes).shape == (2, *shape)
    for net in (lambda s: ReportConvEncoder(s, 5), lambda s: ReportConvDecoder(5, s)):
        with pytest.raises(SettingError, match="halves images 3 times but they are 7 × 9"):
            net((1, 7, 9))
        with pytest.raises(SettingError, match="needs images"):
            net((64,))
