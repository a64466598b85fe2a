"""RBM: against sums over all states of a machine small enough to count them."""

import itertools

import pytest
import torch
from lightning.pytorch import Trainer

from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models.rbm import RBM
from lit_ae.samplers import Normal

VISIBLE, HIDDEN = 4, 3


def binary(n):
    """All 2ⁿ states, [2ⁿ, n]."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)))


@pytest.fixture
def machine():
    torch.manual_seed(0)
    rbm = RBM((VISIBLE,), HIDDEN, torch.optim.SGD, sample_steps=50)
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_(0, 0.8)
    return rbm


def joint(rbm):
    """exp(-E(v, h)) of every pair of states, [16, 8], from the definition."""
    v, h = binary(VISIBLE), binary(HIDDEN)
    energy = -(v @ rbm.decoder.bias)[:, None] - h @ rbm.encoder.bias - v @ rbm.encoder.weight.T @ h.T
    return (-energy).exp()


def test_free_energy_is_minus_log_of_the_sum_over_hidden_states(machine):
    assert torch.allclose(machine.free_energy(binary(VISIBLE)), -joint(machine).sum(1).log(), atol=1e-5)


def test_encode_and_decode_are_the_conditionals(machine):
    pairs = joint(machine)
    given_v = pairs / pairs.sum(1, keepdim=True)  # [16, 8]
    given_h = pairs / pairs.sum(0)
    assert torch.allclose(machine.encode(binary(VISIBLE)).mu, given_v @ binary(HIDDEN), atol=1e-5)
    assert torch.allclose(machine.decode(binary(HIDDEN)), given_h.T @ binary(VISIBLE), atol=1e-5)


def test_gibbs_samples_have_the_model_s_distribution(machine):
    n = 20_000
    codes = machine.draw_codes(n, torch.Generator().manual_seed(1))
    assert set(codes.unique().tolist()) == {0, 1}
    index = (codes @ torch.tensor([4.0, 2.0, 1.0])).long()
    found = torch.bincount(index, minlength=8) / n
    pairs = joint(machine).detach()
    assert (found - pairs.sum(0) / pairs.sum()).abs().max() < 0.015  # four standard errors


def test_drawing_leaves_the_global_random_numbers_alone_and_repeats(machine):
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    first, again, other = (machine.draw_codes(40, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(5), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradient_is_that_of_contrastive_divergence(machine, monkeypatch):
    x, chain = binary(VISIBLE)[3:9], binary(VISIBLE)[1:7]
    monkeypatch.setattr(machine, "gibbs", lambda v, steps: chain)
    machine.divergence(x).mean().backward()
    on_x, on_chain = machine.encode(x).mu, machine.encode(chain).mu
    assert torch.allclose(machine.encoder.weight.grad, (on_chain.T @ chain - on_x.T @ x) / len(x), atol=1e-6)
    assert torch.allclose(machine.decoder.bias.grad, chain.mean(0) - x.mean(0), atol=1e-6)
    assert torch.allclose(machine.encoder.bias.grad, (on_chain - on_x).mean(0), atol=1e-6)


@pytest.mark.parametrize("settings", [{"steps": 3}, {"chains": 50}])
def test_training_raises_the_likelihood(settings):
    torch.manual_seed(0)
    data = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]).repeat(25, 1)
    rbm = RBM((VISIBLE,), HIDDEN, torch.optim.SGD, **settings)
    optimizer = torch.optim.SGD(rbm.parameters(), lr=0.2)

    def likelihood():
        with torch.no_grad():
            log_z = torch.logsumexp(-rbm.free_energy(binary(VISIBLE)), 0)
            return (-rbm.free_energy(data) - log_z).mean().item()

    before = likelihood()
    for _ in range(600):
        optimizer.zero_grad()
        rbm.divergence(data).mean().backward()
        optimizer.step()
    assert before == pytest.approx(-2.77, abs=0.1)  # log 1/16: as good as uniform
    assert likelihood() > -1.3  # log 1/2 = -0.69 is the best there is


def test_persistent_chains_move_on_and_others_start_at_the_batch():
    torch.manual_seed(0)
    persistent = RBM((VISIBLE,), HIDDEN, torch.optim.SGD, chains=40)
    x = torch.ones(5, VISIBLE)
    before = persistent.chains
    persistent.divergence(x)
    assert persistent.chains.shape == before.shape == (40, VISIBLE)
    assert not torch.equal(persistent.chains, before)
    assert "chains" in persistent.state_dict()
    assert not len(RBM((VISIBLE,), HIDDEN, torch.optim.SGD).chains)


@pytest.mark.parametrize("setting", [{"steps": 0}, {"chains": -1}, {"sample_steps": 0}])
def test_settings_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(SettingError, match=rf"model\.{name} is -?\d: it must be at least"):
        RBM((VISIBLE,), HIDDEN, torch.optim.SGD, **setting)


def test_evaluation_draws_samples_by_the_model_s_own_chain():
    torch.manual_seed(0)
    rbm, evaluation = RBM((1, 28, 28), 16, torch.optim.SGD, sample_steps=3), Evaluation(samplers=[Normal()])
    run = Trainer(accelerator="cpu", callbacks=[evaluation], logger=False, enable_checkpointing=False,
                  enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    run.test(rbm, datamodule=Digits(limit=20), verbose=False)
    samplers = evaluation.samplers(run)
    assert list(samplers) == ["normal", "gibbs"]
    images = evaluation.generate(run, samplers["gibbs"], 12)
    assert images.shape == (12, 1, 28, 28)
    codes = rbm.draw_codes(12, torch.Generator().manual_seed(evaluation.seed))
    assert torch.allclose(images, rbm.decode(codes))
