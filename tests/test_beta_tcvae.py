"""β-TCVAE: the decomposition of the KL, and the estimate of the aggregate posterior."""

import copy
import math
from itertools import combinations

import lightning.pytorch as pl
import pytest
import torch
from torch.distributions import Normal
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.errors import SettingError
from lit_ae.models.base import Latent
from lit_ae.models.beta_tcvae import BetaTCVAE
from lit_ae.objectives.schedules import LinearSchedule

PARTS = ("mi", "tc", "dimension_kl")


def model(**settings):
    torch.manual_seed(0)
    return BetaTCVAE(input_shape=(6,), latent_dim=3, **settings)


def drawn(n, dim=3, seed=0):
    """Posteriors of n samples and a draw from each."""
    torch.manual_seed(seed)
    mu, logvar = torch.randn(n, dim), torch.randn(n, dim) - 1
    return Latent(mu, logvar, mu + (logvar / 2).exp() * torch.randn(n, dim))


def parts_of(module, latent):
    penalty, terms = module.penalty(None, None, latent, None)
    return penalty, [terms[name] for name in PARTS]


def naive_weights(size, n, own, last):
    """f(z, n*, B_M) of appendix C, coefficient by coefficient, for batch of M + 1 samples with n* and n_M named."""
    m = size - 1
    weights = [1 / m] * size
    weights[own] = 1 / n
    weights[last] = (n - m) / (n * m)
    return weights


@pytest.mark.parametrize(("size", "n"), [(2, 2), (2, 30), (5, 5), (5, 1000)])
def test_weights_are_the_papers_averaged_over_which_sample_is_the_last(size, n):
    module = model()
    module.samples.fill_(n)
    found = module.log_weights(size).exp()
    for own in range(size):
        rows = [naive_weights(size, n, own, last) for last in range(size) if last != own]
        assert torch.allclose(found[own], torch.tensor(rows).mean(0))
    assert torch.allclose(found.sum(1), torch.ones(size))


def test_estimate_of_the_aggregate_posterior_is_unbiased():
    """Its mean over all minibatches that hold a sample is q(z) over all samples, exactly."""
    module, latent = model(), drawn(7)
    module.samples.fill_(7)
    density = Normal(latent.mu, (latent.logvar / 2).exp()).log_prob(latent.z[0]).sum(1).exp()  # q(z_0 | x_j)
    estimates = []
    for others in combinations(range(1, 7), 3):
        rows = [0, *others]
        estimates.append(density[rows] @ module.log_weights(4).exp()[0])
    assert torch.stack(estimates).mean().item() == pytest.approx(density.mean().item(), rel=1e-5)


def test_parts_against_a_naive_computation():
    module, latent = model(), drawn(5)
    module.samples.fill_(40)
    _, found = parts_of(module, latent)
    for i in range(5):
        weights = torch.tensor([1 / 40 if j == i else (39 / 40) / 4 for j in range(5)])
        each = torch.stack(
            [Normal(mu, (logvar / 2).exp()).log_prob(latent.z[i]) for mu, logvar in zip(*latent[:2], strict=True)]
        )  # [5, 3]
        joint = (weights @ each.sum(1).exp()).log()
        product = (weights @ each.exp()).log().sum()
        prior = Normal(0.0, 1.0).log_prob(latent.z[i]).sum()
        expected = [each[i].sum() - joint, joint - product, product - prior]
        assert torch.allclose(torch.stack([part[i] for part in found]), torch.stack(expected), atol=1e-5)


def test_parts_sum_to_the_draw_of_the_kl_and_are_weighted_by_name():
    latent = drawn(50)
    one, weighted = model(alpha=1, beta=1, gamma=1), model(alpha=0.5, beta=4, gamma=2)
    penalty, parts = parts_of(one, latent)
    posterior, prior = Normal(latent.mu, (latent.logvar / 2).exp()), Normal(0.0, 1.0)
    draw = (posterior.log_prob(latent.z) - prior.log_prob(latent.z)).sum(1)
    assert torch.allclose(penalty, draw, atol=1e-4)
    mi, tc, dimension_kl = parts
    assert torch.allclose(parts_of(weighted, latent)[0], 0.5 * mi + 4 * tc + 2 * dimension_kl, atol=1e-4)
    terms = one.penalty(None, None, latent, None)[1]
    assert torch.allclose(terms["kl"], torch.distributions.kl_divergence(posterior, prior).sum(1), atol=1e-4)


def test_parts_of_a_gaussian_where_everything_is_known(agrees):
    """Means of the codes from N(0, S), noise σ² I: the aggregate posterior is N(0, S + σ² I)."""
    s, sigma2, n = torch.tensor([[2.0, 1.2], [1.2, 1.0]]), 0.25, 4000
    torch.manual_seed(0)
    mu = torch.randn(n, 2) @ torch.linalg.cholesky(s).T
    latent = Latent(mu, torch.full_like(mu, math.log(sigma2)), mu + math.sqrt(sigma2) * torch.randn_like(mu))
    total = s + sigma2 * torch.eye(2)
    exact = {
        "mi": 0.5 * (total.logdet() - 2 * math.log(sigma2)),
        "tc": 0.5 * (total.diagonal().log().sum() - total.logdet()),
        "dimension_kl": 0.5 * (total.diagonal() - 1 - total.diagonal().log()).sum(),
    }
    penalty, parts = parts_of(model(alpha=1, beta=1, gamma=1), latent)
    for name, part in zip(PARTS, parts, strict=True):
        agrees(f"β-TCVAE {name}", "closed form (Gaussian)", "4000 made codes", part.mean(), exact[name], abs=0.04)
    kl = sum(exact.values())
    assert penalty.mean().item() == pytest.approx(kl.item(), abs=4 * penalty.std().item() / math.sqrt(n))
    # with a minibatch of the same samples the estimate of q(z) is noisier, and the sum is the same
    module = model(alpha=1, beta=1, gamma=1)
    module.samples.fill_(n)
    few = Latent(*(part[:500] for part in latent[:3]))
    assert torch.allclose(parts_of(module, few)[0], penalty[:500], atol=1e-4)


def test_order_of_the_batch_does_not_matter():
    module, latent, order = model(), drawn(230), torch.randperm(230)
    module.samples.fill_(1000)
    penalty, parts = parts_of(module, latent)
    shuffled, shuffled_parts = parts_of(module, Latent(*(part[order] for part in latent[:3])))
    assert torch.allclose(shuffled, penalty[order], atol=1e-4)
    for part, other in zip(parts, shuffled_parts, strict=True):
        assert torch.allclose(other, part[order], atol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 50])
def test_batch_of_one_has_a_dimension_wise_kl_alone(n):
    module, latent = model(alpha=1, beta=5, gamma=1), drawn(1)
    module.samples.fill_(n)
    penalty, (mi, tc, dimension_kl) = parts_of(module, latent)
    assert mi.item() == pytest.approx(0, abs=1e-5)
    assert tc.item() == pytest.approx(0, abs=1e-5)
    posterior, prior = Normal(latent.mu, (latent.logvar / 2).exp()), Normal(0.0, 1.0)
    draw = (posterior.log_prob(latent.z) - prior.log_prob(latent.z)).sum()
    assert dimension_kl.item() == pytest.approx(draw.item(), rel=1e-5)
    assert penalty.shape == (1,)


def test_training_counts_its_samples_and_keeps_their_number(tmp_path):
    x = torch.rand(23, 6)
    module = model()
    copied = copy.deepcopy(module.state_dict())
    run = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    run.fit(module, DataLoader(TensorDataset(x), batch_size=8))
    assert copied["samples"] == 0
    assert module.samples == 23
    assert {f"train/{name}" for name in (*PARTS, "kl")} <= run.callback_metrics.keys()
    run.save_checkpoint(tmp_path / "model.ckpt")
    assert BetaTCVAE.load_from_checkpoint(tmp_path / "model.ckpt").samples == 23


def test_annealing_is_a_factor_of_the_whole_penalty():
    module, latent = model(annealing=LinearSchedule(share=0.5)), drawn(9)
    module.steps = 10.0  # of which none has been taken: the factor is 0
    assert not parts_of(module.train(), latent)[0].any()
    plain = model()
    assert torch.equal(parts_of(module.eval(), latent)[0], parts_of(plain.eval(), latent)[0])


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
def test_negative_weights_are_refused(name):
    with pytest.raises(SettingError, match=rf"model\.{name} is -0\.5.* must be at least 0"):
        model(**{name: -0.5})


def test_free_bits_are_not_a_setting():
    with pytest.raises(TypeError, match="free_bits"):
        model(free_bits=0.1)
