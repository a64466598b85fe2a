"""IWAE: the importance-weighted bound, its terms and its gradient."""

import math
from functools import partial

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy import integrate
from scipy import stats as scipy_stats
from torch.distributions import Normal
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models import VAE, iwae
from lit_ae.models.checkpoints import load_others
from lit_ae.models.iwae import IWAE
from lit_ae.models.vamp_prior_vae import VampPriorVAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.importance import log_density
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian

PIXELS, CODE = 6, 2
CONSTANT = 0.5 * PIXELS * math.log(math.pi)  # that the Gaussian of variance 1/2 drops from -log p(x | z)


def model(family=IWAE, likelihood=None, code=CODE, **settings):
    torch.manual_seed(0)
    return family(
        input_shape=(PIXELS,),
        latent_dim=code,
        likelihood=likelihood or Gaussian(output="linear"),
        encoder=partial(MLPEncoder, widths=[]),
        decoder=partial(MLPDecoder, widths=[]),
        **settings,
    ).eval()


def batch(n=20, binary=False):
    x = torch.randn(n, PIXELS, generator=torch.Generator().manual_seed(1))
    return Batch((x > 0).float() if binary else x, torch.arange(n) % 3)


def ppca(k, wrong=0.0):
    """Probabilistic PCA with its exact posterior as the encoder, moved and widened by `wrong`; and its log p(x)."""
    module = model(k=k)
    w = torch.linalg.qr(torch.randn(PIXELS, CODE))[0] * torch.tensor([2.0, 0.7])
    b = torch.randn(PIXELS)
    variance = 1 / (1 + 2 * w.square().sum(0))  # [D], of the posterior
    to_mu = 2 * variance.unsqueeze(1) * w.T
    with torch.no_grad():
        module.decoder.layers[0].weight.copy_(w)
        module.decoder.layers[0].bias.copy_(b)
        module.encoder.layers[0].weight.copy_(torch.cat([to_mu, torch.zeros(CODE, PIXELS)]))
        module.encoder.layers[0].bias.copy_(torch.cat([wrong - to_mu @ b, variance.log() + wrong]))
    return module, scipy_stats.multivariate_normal(b.numpy(), (w @ w.T + 0.5 * torch.eye(PIXELS)).numpy()).logpdf


def draws(module, x, k, seed):
    """The posterior and the K draws [K, B, D] that a step under this seed makes."""
    torch.manual_seed(seed)
    latent = module.encode(x)
    q = Normal(latent.mu, (latent.logvar / 2).exp())
    return q, torch.cat([latent.z.unsqueeze(0), q.rsample((k - 1,))])


def test_one_draw_is_the_one_sample_bound_of_the_vae():
    one, vae, data = model(k=1), model(VAE), batch()
    vae.load_state_dict(one.state_dict())
    torch.manual_seed(3)
    found = one.reconstruct_batch(data, "val")
    torch.manual_seed(3)
    r = vae.reconstruct_batch(data, "val")
    q, prior = Normal(r.latent.mu, (r.latent.logvar / 2).exp()), Normal(0.0, 1.0)
    draw = (q.log_prob(r.latent.z) - prior.log_prob(r.latent.z)).sum(1)
    assert torch.allclose(found.nll, r.nll)
    assert torch.allclose(found.penalty, draw, atol=1e-4)
    assert torch.allclose(found.loss, r.nll + draw, atol=1e-4)
    assert torch.equal(found.x_hat, r.x_hat)
    assert torch.allclose(found.terms["kl"], r.terms["kl"])


@pytest.mark.parametrize("likelihood", [Gaussian(output="linear"), Bernoulli()])
def test_loss_and_terms_against_a_naive_computation(likelihood):
    module, data = model(likelihood=likelihood, k=7), batch(binary=isinstance(likelihood, Bernoulli))
    q, z = draws(module, data.x, 7, seed=3)
    torch.manual_seed(3)
    r = module.reconstruct_batch(data, "val")
    prior = Normal(0.0, 1.0)
    log_p_x = torch.stack([log_density(likelihood, module.raw(some), data.x) for some in z])  # [K, B]
    log_w = log_p_x + prior.log_prob(z).sum(2) - q.log_prob(z).sum(2)
    bound = log_w.logsumexp(0) - math.log(7)
    constant = CONSTANT if isinstance(likelihood, Gaussian) else 0
    assert torch.allclose(r.loss + constant, -bound, atol=1e-4)
    assert torch.allclose(r.nll + constant, -log_p_x.mean(0), atol=1e-4), "as for the VAE, whatever the weights are"
    assert torch.allclose(r.loss, r.nll + r.penalty, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 50])
def test_exact_posterior_gives_the_exact_value_whatever_k_is(k, agrees):
    module, exact = ppca(k)
    data = batch()
    loss = module.reconstruct_batch(data, "test").loss.detach()
    agrees("IWAE bound", "closed form (pPCA)", f"exact posterior, K = {k}", -loss - CONSTANT, exact(data.x.numpy()))


def test_bound_rises_with_k_and_stays_below_the_exact_value():
    data = batch().x.repeat(40, 1)
    bounds = []
    for k in (1, 4, 16, 64):
        module, exact = ppca(k, wrong=0.7)
        loss = module.reconstruct_batch(Batch(data, torch.zeros(len(data))), "val").loss
        bounds.append(-loss.mean().item() - CONSTANT)
    assert bounds == sorted(bounds)
    assert bounds[0] < exact(data.numpy()).mean() - 0.5
    assert exact(data.numpy()).mean() - 0.1 < bounds[-1] < exact(data.numpy()).mean()


def test_bernoulli_bound_against_numerical_integration(agrees):
    module, data = model(likelihood=Bernoulli(), code=1, k=20_000), batch(5, binary=True)
    weight, bias = (p.detach().double().numpy() for p in module.decoder.layers[0].parameters())

    def joint(z, image):
        p = 1 / (1 + np.exp(-(weight[:, 0] * z + bias)))
        return np.prod(np.where(image == 1, p, 1 - p)) * scipy_stats.norm.pdf(z)

    exact = [math.log(integrate.quad(joint, -10, 10, args=(image,))[0]) for image in data.x.numpy()]
    loss = module.reconstruct_batch(data, "test").loss.detach()
    agrees("IWAE bound", "scipy quad", "5 binary images, K = 20,000", -loss, exact, abs=0.02)


def test_gradient_against_finite_differences():
    module, data = model(k=5).double(), batch(4)
    x = data.x.double()

    def loss():
        torch.manual_seed(2)
        return module.reconstruct_batch(Batch(x, data.y), "train").loss.mean()

    loss().backward()
    for parameter in module.parameters():
        for index in range(0, parameter.numel(), 5):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.view(-1)[index] += step
                    values.append(loss().item())
                    parameter.view(-1)[index] -= step
            slope = (values[0] - values[1]) / 2e-5
            assert parameter.grad.view(-1)[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


class WidePrior(IWAE):
    def log_prior(self, z):
        return Normal(0.0, 2.0).log_prob(z).sum(-1)


def test_prior_is_the_family_s():
    wide, narrow, data = model(WidePrior, k=1), model(k=1), batch()
    losses = []
    for module in (wide, narrow):
        torch.manual_seed(3)
        losses.append(module.reconstruct_batch(data, "val").loss)
    _, z = draws(narrow, data.x, 1, seed=3)
    difference = (Normal(0.0, 1.0).log_prob(z[0]) - Normal(0.0, 2.0).log_prob(z[0])).sum(1)
    assert torch.allclose(losses[0] - losses[1], difference, atol=1e-4)


class AddsLabel(IWAE):
    def raw(self, z, y=None):
        return super().raw(z) + y.unsqueeze(1)


def test_labels_and_samples_go_with_their_draws():
    module, plain, (x, y) = model(AddsLabel, k=4), model(k=4), batch()
    torch.manual_seed(3)
    _, z = draws(module, x, 4, seed=3)
    found = module.nll_of(x, y, z)
    expected = torch.stack([plain.likelihood.fit(plain.raw(some) + y.unsqueeze(1), x).nll for some in z])
    assert found.shape == (4, 20)
    assert torch.allclose(found, expected, rtol=1e-5)


def test_decoding_in_parts_changes_nothing(monkeypatch):
    module, data = model(k=9), batch()
    losses = []
    for at_once in (10_000, 45, 1):
        monkeypatch.setattr(iwae, "AT_ONCE", at_once)
        torch.manual_seed(3)
        losses.append(module.reconstruct_batch(data, "val").loss)
    assert torch.allclose(losses[0], losses[1], atol=1e-5)
    assert torch.allclose(losses[0], losses[2], atol=1e-5)


def test_validation_and_test_log_the_bound_with_k():
    module, exact = ppca(k=3)
    x = batch().x
    loader = DataLoader(TensorDataset(x), batch_size=8)
    run = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    (validated,) = run.validate(module, loader, verbose=False)
    (tested,) = run.test(module, loader, verbose=False)
    for stage, found in (("val", validated), ("test", tested)):
        assert -found[f"{stage}/loss"] - CONSTANT == pytest.approx(exact(x.numpy()).mean(), rel=1e-4)
        assert found.keys() == {f"{stage}/{name}" for name in ("loss", "nll", "penalty", "mse", "kl")}


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(SettingError, match=r"model\.k is 0: it must be at least 1"):
        model(k=0)
    with pytest.raises(SettingError, match=r"model\.likelihood\.pixels is mean, .*: set it to sum"):
        model(likelihood=Gaussian(pixels="mean"))
    with pytest.raises(TypeError, match="beta"):
        model(beta=2.0)


def test_training_goes_on_from_the_weights_of_a_vae(tmp_path):
    """And from those alone: an IWAE that is loaded needs no file of the VAE, and other networks are refused."""

    def trained(module, name, epochs):
        data = DataLoader(TensorDataset(batch(40).x), batch_size=20)
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, data)
        trainer.save_checkpoint(tmp_path / name)
        return module.state_dict()

    vae = trained(model(VAE), "vae.ckpt", 2)
    path = str(tmp_path / "vae.ckpt")
    still = trained(model(k=3, pretrained=path, optimizer=partial(torch.optim.SGD, lr=0.0)), "iwae.ckpt", 1)
    assert all(torch.equal(still[name], value) for name, value in vae.items())
    assert not torch.equal(model(k=3).state_dict()["encoder.layers.0.weight"], vae["encoder.layers.0.weight"])
    (tmp_path / "vae.ckpt").unlink()
    model(k=3, pretrained=path).load_state_dict(still)
    trained(model(VAE, code=3), "vae.ckpt", 0)
    with pytest.raises(SettingError, match=r"model\.pretrained .* does not fit MLPEncoder"):
        trained(model(k=3, pretrained=path), "iwae.ckpt", 1)


def test_training_goes_on_from_all_that_the_families_share(tmp_path):
    """Also from what is in neither encoder nor decoder, such as the pseudo-inputs of a VampPrior."""
    source, target = (model(VampPriorVAE, components=4) for _ in range(2))
    with torch.no_grad():
        source.pseudo_inputs.fill_(0.25)
        source.encoder.layers[0].weight.fill_(1.0)
    state = {"state_dict": source.state_dict(), "pytorch-lightning_version": pl.__version__}
    torch.save(state, tmp_path / "source.ckpt")
    load_others(target, str(tmp_path / "source.ckpt"))
    assert (target.pseudo_inputs == 0.25).all()
    name = "encoder.layers.0.weight"
    assert not torch.equal(target.state_dict()[name], source.state_dict()[name])
