"""Hopfield network: energy, storage and retrieval."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer

from lit_ae.callbacks.scores.hopfield_recall import HopfieldRecall
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models.hopfield import Hopfield, energy, sign, sweep, weights


def trainer(*callbacks):
    return Trainer(
        max_epochs=3, callbacks=list(callbacks), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return Digits(limit=120)


@pytest.fixture(scope="module")
def stored(digits):
    torch.manual_seed(0)
    module, run = (
        Hopfield((1, 28, 28), latent_dim=30, sweeps=100),
        trainer(Evaluation(), HopfieldRecall(loads=[0.05, 0.3])),
    )
    run.fit(module, datamodule=digits)
    epochs = run.current_epoch
    (scores,) = run.test(module, datamodule=digits, verbose=False)
    return module, scores, epochs


def test_energy_is_the_sum_over_pairs_and_biases():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(5, 5, generator=generator)
    w, bias = (w + w.T).fill_diagonal_(0), torch.randn(5, generator=generator)
    state = sign(torch.randn(7, 5, generator=generator))
    pairs = sum(state[:, i] * w[i, j] * state[:, j] for i, j in itertools.combinations(range(5), 2))
    assert torch.allclose(energy(state, w, bias), -(pairs + (state * bias).sum(1)), atol=1e-5)


@given(seed=st.integers(0, 10_000), units=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_asynchronous_updates_never_raise_the_energy_and_come_to_rest(seed, units):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(units, units, generator=generator, dtype=torch.float64)
    w, bias = (w + w.T).fill_diagonal_(0), torch.randn(units, generator=generator, dtype=torch.float64)
    state = sign(torch.randn(8, units, generator=generator, dtype=torch.float64))
    for _ in range(2**units):
        before, state = state, sweep(state, w, bias, "asynchronous")
        assert (energy(state, w, bias) <= energy(before, w, bias) + 1e-9).all()
        if torch.equal(before, state):
            break
    single = state.repeat_interleave(units, 0)
    single[torch.arange(len(single)), torch.arange(units).repeat(8)] *= -1
    assert (energy(single, w, bias) >= energy(state, w, bias).repeat_interleave(units) - 1e-9).all(), "a local minimum"


def test_synchronous_updates_may_swing():
    w, bias = torch.tensor([[0.0, -1.0], [-1.0, 0.0]]), torch.zeros(2)
    state = torch.tensor([[1.0, 1.0]])
    assert sweep(state, w, bias, "synchronous").tolist() == [[-1, -1]]
    assert sweep(-state, w, bias, "synchronous").tolist() == [[1, 1]]
    assert sweep(state, w, bias, "asynchronous").tolist() == [[-1, 1]]


def test_hebb_weights_are_mean_products_and_orthogonal_patterns_are_stored():
    patterns = torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1]])
    w = weights(patterns, "hebb")
    assert w.diagonal().tolist() == [0] * 4
    assert w[0, 1] == pytest.approx(2 / 4)
    assert w[0, 2] == pytest.approx(0)
    assert torch.equal(sweep(patterns, w, torch.zeros(4), "synchronous"), patterns)


def test_pseudo_inverse_stores_correlated_patterns_that_hebb_does_not(digits):
    patterns = sign(digits.split("train").x[:60].flatten(1) / 255 - 0.5)
    recalled = {
        rule: (sweep(patterns, weights(patterns, rule), torch.zeros(784), "synchronous") == patterns).all(1)
        for rule in ("hebb", "pseudo_inverse")
    }
    assert recalled["pseudo_inverse"].all()
    assert recalled["hebb"].float().mean() < 0.2


def test_stored_images_are_recalled_from_flipped_pixels(stored):
    module, scores, epochs = stored
    patterns = module.encoder.patterns
    assert epochs == 1
    assert torch.equal(
        module.decode(module.encode(patterns.view(-1, 1, 28, 28) / 2 + 0.5).mu).flatten(1), patterns / 2 + 0.5
    )
    assert scores["test/recall_error"] < 0.01 < 0.1  # of a tenth that were flipped
    assert scores["test/recall"] > 0.8


def test_reconstruction_is_the_state_that_is_come_to(stored, digits):
    module, _, _ = stored
    x = digits.split("test").x[:40] / 255
    states = list(module.encoder.trace(sign(x.flatten(1) - 0.5)))
    assert torch.equal(module(x).flatten(1) * 2 - 1, states[-1])
    energies = torch.stack([energy(s, module.encoder.weights, module.encoder.bias) for s in states])
    assert (energies.diff(dim=0) <= 1e-3).all()
    assert energies[-1].mean() < energies[0].mean()


@pytest.mark.parametrize(
    ("setting", "message"), [({"sweeps": 0}, "at least 1"), ({"noise": 0.7}, "0 to 0.5"), ({"latent_dim": 9}, "units")]
)
def test_settings_out_of_range_are_refused(setting, message, digits):
    (name,) = setting
    with pytest.raises(SettingError, match=rf"model\.{name} is .*{message}"):
        Hopfield(**{"input_shape": (1, 2, 4), "latent_dim": 2, **setting})


def test_more_patterns_than_images_are_refused(digits):
    with pytest.raises(SettingError, match="only 120 images"):
        trainer().fit(Hopfield((1, 28, 28), latent_dim=121), datamodule=digits)
