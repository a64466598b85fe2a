"""Importance-weighted log p(x) against models whose log p(x) is known."""

import math
from functools import partial
from itertools import product
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import integrate
from scipy import stats as scipy_stats

from lit_ae.callbacks.scores.log_likelihood import LogLikelihood
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models import AE, VAE
from lit_ae.models.conditional_vae import ConditionalVAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.importance import gaussian_variance, is_density, log_density, log_marginal
from lit_ae.objectives.likelihoods import Bernoulli, Categorical, Gaussian, Huber

PIXELS, CODE = 6, 2


class Made(BaseDataModule):
    """Given samples [N, *shape] as every split."""

    name, num_classes = "made", 2

    def __init__(self, x):
        super().__init__(eval_batch_size=7)
        self.x, self.input_shape = x, tuple(x.shape[1:])

    def load(self):
        return Splits(*[ArrayDataset(self.x, torch.arange(len(self.x)) % 2)] * 3)


def linear_model(likelihood, family=VAE, shape=(PIXELS,), code=CODE, **settings):
    torch.manual_seed(0)
    return family(
        input_shape=shape,
        latent_dim=code,
        likelihood=likelihood,
        encoder=partial(MLPEncoder, widths=[]),
        decoder=partial(MLPDecoder, widths=[]),
        optimizer=torch.optim.Adam,
        **settings,
    ).eval()


def ppca(wrong=0.0, pixels="sum"):
    """A VAE that is probabilistic PCA: x = W z + b + noise, W's columns orthogonal, so that the posterior is diagonal.

    Its encoder is the exact posterior except for `wrong`, which shifts and widens it. Gives module and log p(x).
    """
    module = linear_model(Gaussian(pixels, "linear"))
    variance = gaussian_variance(module.likelihood, PIXELS)
    w = torch.linalg.qr(torch.randn(PIXELS, CODE))[0] * torch.tensor([2.0, 0.7])
    b = torch.randn(PIXELS)
    posterior = 1 / (1 + w.square().sum(0) / variance)  # [D], its variances
    to_mu = (posterior / variance).unsqueeze(1) * w.T
    decoder, encoder = module.decoder.layers[0], module.encoder.layers[0]
    with torch.no_grad():
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
        encoder.weight.copy_(torch.cat([to_mu, torch.zeros(CODE, PIXELS)]))
        encoder.bias.copy_(torch.cat([wrong - to_mu @ b, posterior.log() + wrong]))
    exact = scipy_stats.multivariate_normal(b.numpy(), (w @ w.T + variance * torch.eye(PIXELS)).numpy())
    return module, exact.logpdf


def scored(module, x, **settings):
    """Metrics and protocol of LogLikelihood on x."""
    evaluation = Evaluation()
    evaluation.on_test_end = lambda *args: None
    run = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[evaluation, LogLikelihood(**settings)],
    )  # fmt: skip
    (metrics,) = run.test(module, datamodule=Made(x), verbose=False)
    return metrics, evaluation.left_out.get("LogLikelihood", evaluation.protocol.get("log_likelihood", ""))


@pytest.fixture(scope="module")
def x():
    return torch.randn(20, PIXELS, generator=torch.Generator().manual_seed(1)) * 1.5


@pytest.mark.parametrize("pixels", ["sum", "mean"])
def test_exact_posterior_gives_the_exact_value_by_one_draw(x, agrees, pixels):
    module, exact = ppca(pixels=pixels)
    metrics, said = scored(module, x, k=1)
    agrees("log p(x)", "closed form (pPCA)", "exact posterior, K = 1", metrics["test/log_likelihood"], exact(x).mean())
    assert "bits_per_pixel" not in str(metrics), "a density has no bits"
    assert said == (
        "nats per image, importance-weighted bound with K = 1, first 20 images, Gaussian density over pixels in [0, 1] "
        f"with variance {0.5 if pixels == 'sum' else 3:g}"
    )


def test_wrong_posterior_converges_from_below(x, agrees):
    module, exact = ppca(wrong=0.7)
    many = x.repeat(20, 1)  # only the expectation increases with K
    bounds = [scored(module, many, k=k)[0]["test/log_likelihood"] for k in (1, 4, 16, 64)]
    assert bounds == sorted(bounds)
    assert bounds[0] < exact(x).mean() - 0.5
    assert bounds[-1] < exact(x).mean()
    best = scored(module, x, k=10_000)[0]["test/log_likelihood"]
    agrees("log p(x)", "closed form (pPCA)", "wrong posterior, K = 10,000", best, exact(x).mean(), abs=0.01)


def test_bernoulli_against_numerical_integration(agrees):
    module = linear_model(Bernoulli(), code=1)
    images = torch.tensor(list(product([0.0, 1.0], repeat=PIXELS)))[::7]
    weight, bias = (p.detach().double().numpy() for p in module.decoder.layers[0].parameters())

    def joint(z, image):
        p = 1 / (1 + np.exp(-(weight[:, 0] * z + bias)))
        return np.prod(np.where(image == 1, p, 1 - p)) * scipy_stats.norm.pdf(z)

    exact = np.mean([math.log(integrate.quad(joint, -10, 10, args=(image,))[0]) for image in images.numpy()])
    metrics, said = scored(module, images, k=20_000, binarise="none")
    agrees("log p(x)", "scipy quad", "10 binary images, K = 20,000", metrics["test/log_likelihood"], exact, abs=0.005)
    bits = -metrics["test/log_likelihood"] / (PIXELS * math.log(2))
    assert metrics["test/bits_per_pixel"] == pytest.approx(bits, rel=1e-5)
    assert said.endswith("K = 20,000, first 10 images, binary pixels")


@settings(max_examples=15, deadline=None)
@given(some.integers(1, 4), some.integers(1, 40), some.integers(1, 50))
def test_chunks_change_nothing(images, draws, chunk):
    generator = torch.Generator().manual_seed(images)
    mu, logvar = torch.randn(2, images, CODE, generator=generator)
    noise = torch.randn(images, draws, CODE, generator=generator)
    result = log_marginal(lambda z: -z.square().sum(2), mu, logvar, noise, chunk)
    std = (0.5 * logvar).exp()[:, None]
    z = mu[:, None] + std * noise
    q = torch.distributions.Normal(mu[:, None], std).log_prob(z).sum(2)
    prior = torch.distributions.Normal(0, 1).log_prob(z).sum(2)
    weights = -z.square().sum(2) + prior - q
    assert torch.allclose(result, weights.logsumexp(1) - math.log(draws), atol=1e-5)


@pytest.mark.parametrize("pixels", ["sum", "mean"])
def test_densities_are_normalised(pixels):
    grid = torch.linspace(-40, 40, 4001)
    x = torch.stack(torch.meshgrid(grid[::20], grid[::20], indexing="ij"), -1).view(-1, 2)
    density = log_density(Gaussian(pixels, "linear"), torch.tensor([[0.3, -1.0]]).expand_as(x), x).exp()
    assert density.sum().item() * 0.4**2 == pytest.approx(1, abs=1e-4)
    binary = torch.tensor(list(product([0.0, 1.0], repeat=4)))
    chances = log_density(Bernoulli(pixels), torch.randn(4).expand_as(binary), binary).exp()
    assert chances.sum().item() == pytest.approx(1)


def test_only_known_densities_are_scored(x):
    assert [is_density(kind()) for kind in (Gaussian, Bernoulli, Huber, Categorical)] == [True, True, False, False]
    metrics, said = scored(linear_model(Huber(output="linear")), x)
    assert "test/log_likelihood" not in metrics
    assert said == "Huber is not a normalised density"
    metrics, said = scored(linear_model(Gaussian(output="linear"), AE), x)
    assert ("test/log_likelihood" in metrics, said) == (False, "")
    with pytest.raises(ValueError, match="Huber is not known as a normalised density"):
        log_density(Huber(), x, x)
    with pytest.raises(ValueError, match="binarise x"):
        log_density(Bernoulli(), x, x)


def test_grey_images_are_binarised_as_set():
    grey = torch.full((40, 1, 5, 5), 64, dtype=torch.uint8)  # a quarter white
    module = linear_model(Bernoulli(), shape=(1, 5, 5))
    for p in module.parameters():
        torch.nn.init.zeros_(p)
    seen = []
    module.encoder.register_forward_pre_hook(lambda net, args: seen.append(args[0]))
    with pytest.raises(SettingError, match="set it to stochastic or threshold"):
        scored(module, grey, binarise="none")
    for binarise, share in (("threshold", 0.0), ("stochastic", 0.25)):
        seen.clear()
        metrics, said = scored(module, grey, binarise=binarise, k=3)
        encoded = torch.cat(seen[7:])  # after the test pass and the call that looks for a posterior
        assert encoded.unique().numel() <= 2
        assert encoded.mean().item() == pytest.approx(share, abs=0.04)
        # a decoder that ignores its code gives every binary image 2^-25
        assert metrics["test/log_likelihood"] == pytest.approx(-25 * math.log(2), rel=1e-5)
        assert metrics["test/bits_per_pixel"] == pytest.approx(1, rel=1e-5)
        assert said.endswith("white above 1/2" if binarise == "threshold" else "(Salakhutdinov & Murray 2008)")


def test_settings_are_checked(x):
    for wrong in ({"k": 0}, {"max_images": 0}):
        with pytest.raises(SettingError, match="must be at least 1"):
            LogLikelihood(**wrong)
    with pytest.raises(ValueError, match="at least 1 draw"):
        log_marginal(lambda z: z.sum(2), torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 0, 2))
    with pytest.raises(ValueError, match="is not a number"):
        log_marginal(lambda z: z.sum(2), torch.full((1, 2), math.nan), torch.zeros(1, 2), torch.zeros(1, 3, 2))
    module, exact = ppca()
    metrics, _ = scored(module, x, k=1, max_images=3)
    assert metrics["test/log_likelihood"] == pytest.approx(exact(x[:3]).mean(), rel=1e-4)
    one, _ = scored(module, x[:1], k=5, max_images=None)
    assert one["test/log_likelihood"] == pytest.approx(float(exact(x[:1])), rel=1e-4)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_give_one_process_s_values(x, monkeypatch, world):
    """Draws depend on the image's place in the split, not on the process."""
    module, _ = ppca(wrong=0.7)
    callback, data = LogLikelihood(k=9), Made(x)

    def values(rank, size):
        parts = []
        monkeypatch.setattr(
            "lit_ae.callbacks.scores.log_likelihood.gather_in_order", lambda part, trainer: parts.append(part) or part
        )
        run = SimpleNamespace(
            global_rank=rank, world_size=size, testing=True, limit_test_batches=1.0, lightning_module=module,
            datamodule=data,
        )  # fmt: skip
        callback.score(run, Evaluation())
        return parts[0]

    whole = torch.empty(len(x))
    for rank in range(world):
        whole[rank::world] = values(rank, world)
    assert torch.allclose(whole, values(0, 1), rtol=1e-6)


@pytest.mark.parametrize("part", ["encode", "raw"])
def test_a_conditional_model_is_given_the_class(x, part):
    """Encoder and decoder each get the labels: other labels give another value."""
    module = linear_model(Gaussian("sum", "linear"), ConditionalVAE, num_classes=2)
    torch.nn.init.normal_(module.shift)
    right = scored(module, x, k=500)[0]["test/log_likelihood"]
    original = getattr(module, part)
    setattr(module, part, lambda values, y: original(values, 1 - y))
    assert scored(module, x, k=500)[0]["test/log_likelihood"] != pytest.approx(right, abs=0.01)
