"""Huber and categorical likelihoods, L1 on the weights."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from test_families import build, digits, trainer  # noqa: F401 - a fixture

from lit_ae.callbacks.training.l1_penalty import L1Penalty
from lit_ae.errors import SettingError
from lit_ae.objectives.likelihoods import Categorical, Huber


def test_huber_is_quadratic_inside_delta_and_linear_outside():
    fit = Huber(delta=0.5, output="linear").fit(torch.tensor([[0.2, 2.0]]), torch.zeros(1, 2))
    assert fit.nll.item() == pytest.approx(0.5 * 0.2**2 + 0.5 * (2 - 0.25))
    assert fit.mse.item() == pytest.approx((0.04 + 4) / 2)
    mean = Huber(delta=0.5, output="linear", pixels="mean").fit(torch.tensor([[0.2, 2.0]]), torch.zeros(1, 2))
    assert mean.nll.item() == pytest.approx(fit.nll.item() / 2)


def test_huber_refuses_delta():
    with pytest.raises(SettingError, match="delta of the Huber likelihood is 0"):
        Huber(delta=0)


def test_categorical_is_cross_entropy_of_one_hot_data():
    raw, labels = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 7, 3, 3, 1])
    x = F.one_hot(labels, 8).float()
    fit = Categorical().fit(raw, x)
    assert torch.allclose(fit.nll, F.cross_entropy(raw, labels, reduction="none"))
    assert torch.allclose(fit.x_hat, raw.softmax(1))
    assert torch.allclose(fit.mse, (raw.softmax(1) - x).square().mean(1))
    shaped = Categorical().fit(raw.view(5, 2, 4), x.view(5, 2, 4))
    assert torch.equal(shaped.nll, fit.nll)
    assert shaped.x_hat.shape == (5, 2, 4)
    assert torch.allclose(Categorical().fit(torch.zeros(1, 8), x[:1]).nll, torch.tensor(8.0).log())


def test_l1_penalty_is_the_gradient_of_the_sum_of_weights(digits):  # noqa: F811
    def step(*callbacks, weight=0.0):
        module = build("ae")
        module.optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.1)
        loss = module.training_step
        absolute = lambda: sum(p.abs().sum() for p in module.parameters() if p.ndim > 1)  # noqa: E731
        module.training_step = lambda batch, batch_idx: loss(batch, batch_idx) + weight * absolute()
        trainer(limit_train_batches=1, limit_val_batches=0, callbacks=list(callbacks)).fit(module, datamodule=digits)
        return module.state_dict()

    expected, found, without = step(weight=0.01), step(L1Penalty(0.01)), step()
    assert all(torch.allclose(expected[key], found[key], atol=1e-7) for key in expected)
    assert not torch.equal(found["encoder.layers.0.weight"], without["encoder.layers.0.weight"])
    assert torch.equal(found["encoder.layers.0.bias"], without["encoder.layers.0.bias"])


def test_l1_penalty_is_multiplied_by_the_scale_that_a_fused_optimiser_divides_by():
    """And it is on weights of layers, not on other parameters with several axes."""
    layer, centres = torch.nn.Linear(3, 2), torch.nn.Parameter(torch.ones(4, 2))
    module = torch.nn.Module()
    module.layer, module.centres = layer, centres
    module.normed = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(2, 2))
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer = SimpleNamespace(param_groups=[{"params": list(module.parameters())}], _step_supports_amp_scaling=True)
    trained = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=SimpleNamespace(get_scale=lambda: 1024.0)))
    penalty = L1Penalty(0.01)
    penalty.on_fit_start(trained, module)
    penalty.on_before_optimizer_step(trained, module, optimizer)
    assert torch.allclose(layer.weight.grad, 10.24 * layer.weight.sign())
    assert module.normed.parametrizations.weight.original.grad.all()
    assert not centres.grad.any()
    optimizer._step_supports_amp_scaling = False  # Lightning has divided the gradients before
    penalty.on_before_optimizer_step(trained, module, optimizer)
    assert torch.allclose(layer.weight.grad, 10.25 * layer.weight.sign())


def test_l1_penalty_takes_both_players(digits):  # noqa: F811
    module = build("gan_published")
    module.generator_optimizer = module.discriminator_optimizer = lambda parameters: torch.optim.SGD(parameters, 1e-9)
    seen = []
    module.discriminator.layers[0].weight.register_hook(lambda grad: seen.append(grad.clone()))
    run = trainer(limit_train_batches=1, limit_val_batches=0, callbacks=[L1Penalty(5.0)])
    run.fit(module, datamodule=digits)
    weight = module.discriminator.layers[0].weight
    assert torch.allclose(weight.grad - seen[0], 5 * weight.sign(), atol=1e-5)


def test_l1_penalty_refuses_its_weight():
    with pytest.raises(SettingError, match=r"L1Penalty\.weight is 0"):
        L1Penalty(0)
