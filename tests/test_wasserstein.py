"""WAE-MMD and WAE-GAN: penalties, adversarial training and refused settings."""

import math

import pytest
import torch
from test_families import build, digits, images, trainer  # noqa: F401 - a fixture

from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models import Latent, Reconstruction, ReconstructionModule
from lit_ae.objectives.divergences import mmd


def codes(n, dim=8):
    z = torch.randn(n, dim, generator=torch.Generator().manual_seed(1))
    return Latent(z, None, z)


def test_wae_penalty_is_the_weighted_mmd_to_prior_draws():
    module, latent = build("wae_mmd", weight=3), codes(32)
    torch.manual_seed(0)
    penalty = module.penalty(None, None, latent, None)
    torch.manual_seed(0)
    assert torch.equal(penalty, 3 * mmd(latent.z, torch.randn(32, 8), "imq", 16.0))
    assert penalty.shape == (32,)


def test_wae_leaves_a_sample_alone_unpenalised():
    assert torch.equal(build("wae_mmd").penalty(None, None, codes(1), None), torch.zeros(1))


def test_wae_trains_where_the_last_batch_is_one_sample():
    module, run = build("wae_mmd"), trainer()
    run.fit(module, datamodule=Digits(batch_size=32, limit=65))
    assert all(math.isfinite(value) for value in run.callback_metrics.values())


def test_wae_pulls_codes_to_the_prior():
    """Minimising only the penalty moves mean and spread of shifted, narrow codes to those of N(0, I)."""
    torch.manual_seed(0)
    module, z = build("wae_mmd"), (1 + 0.3 * torch.randn(128, 8)).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        module.penalty(None, None, Latent(z, None, z), None).mean().backward()
        optimiser.step()
    assert z.detach().mean().abs() < 0.1
    assert z.detach().std(0).mean().item() == pytest.approx(1, abs=0.2)


def test_latent_noise_has_its_sigma():
    latent = build("ae_mmd").eval().encode(images(1, (1, 28, 28)).x.expand(2000, 1, 28, 28))
    assert (latent.z - latent.mu).std().item() == pytest.approx(0.2, rel=0.05)
    assert build("wae_mmd").encode(images(2, (1, 28, 28)).x).logvar is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, r"model\.weight is -1\.0: it must be at least 0"),
        ({"sigma": -0.1}, r"model\.sigma is -0\.1"),
        ({"bandwidth": 0.0}, r"model\.bandwidth is 0\.0: it must be positive"),
    ],
)
def test_wae_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):  # wrapped by the parser
        build("wae_mmd", **settings)


@pytest.mark.parametrize("name", ["wae_mmd", "beta_tcvae", "dip_vae", "info_vae", "factor_vae"])
def test_penalties_on_the_codes_of_a_batch_refuse_batches_of_one(name):
    with pytest.raises(SettingError, match=r"data\.batch_size is 1, but the penalty of .* compares.*at least 2"):
        trainer().fit(build(name), datamodule=Digits(batch_size=1, limit=4))


# -- WAE-GAN -----------------------------------------------------------------------------------------------------------


def test_wae_gan_penalty_at_chance_is_weighted_log_2():
    module, latent = build("wae_gan", weight=5), codes(6)
    with torch.no_grad():
        for parameter in module.discriminator.parameters():
            parameter.zero_()
    assert torch.allclose(module.penalty(None, None, latent, None), torch.full((6,), 5 * math.log(2)))


def test_wae_gan_is_scored_as_a_reconstruction_module(digits):  # noqa: F811
    module, run = build("wae_gan"), trainer()
    run.fit(module, datamodule=digits)
    assert {f"train/{term}" for term in ("loss", "nll", "penalty", "mse")} <= run.callback_metrics.keys()
    assert run.global_step == 6, "three batches, one step of each player"
    assert isinstance(module, ReconstructionModule)
    assert isinstance(module.test_step(images(4, (1, 28, 28)), 0), Reconstruction)


def test_each_player_moves_its_own_weights(digits):  # noqa: F811
    module = build("wae_gan")
    autoencoder, discriminator = module.configure_optimizers()
    sizes = [sum(p.numel() for group in o.param_groups for p in group["params"]) for o in (autoencoder, discriminator)]
    assert sizes[1] == sum(p.numel() for p in module.discriminator.parameters())
    assert sum(sizes) == sum(p.numel() for p in module.parameters())
    module.weight = 0.0
    torch.manual_seed(0)
    trainer(limit_val_batches=0).fit(module, datamodule=digits)
    plain = build("ae", latent_dim=8)
    plain.load_state_dict({k: v for k, v in build("wae_gan").state_dict().items() if "discriminator" not in k})
    plain.likelihood.pixels = "sum"
    plain.optimizer = module.optimizer
    trainer(limit_val_batches=0).fit(plain, datamodule=digits)
    for key, value in plain.state_dict().items():
        assert torch.allclose(value, module.state_dict()[key], atol=1e-6), "with λ = 0 it is the AE"


def test_discriminator_learns_to_tell_collapsed_codes():
    module = build("wae_gan")
    for parameter in module.encoder.parameters():
        parameter.data.zero_()
    module.generator_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.0)
    trainer(10).fit(module, datamodule=Digits(batch_size=64, limit=150))
    real, fake = torch.randn(500, 8), torch.zeros(500, 8)
    assert module.discriminator_loss(real, fake).mean() < 0.6 < math.log(2)


@pytest.mark.parametrize("setting", ["gradient_clip_val", "accumulate_grad_batches"])
def test_settings_of_automatic_optimisation_are_refused_in_one_line(setting, store, lit_ae, settings, capsys):
    assert lit_ae("fit", *settings("wae_gan"), f"--trainer.{setting}=2") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert f"Remove `Trainer({setting}=2" in line


def test_wae_gan_refuses_a_schedule_that_its_optimisers_would_not_follow():
    schedule = '{"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.5}}'
    with pytest.raises(ValueError, match=r"model\.lr_scheduler is set, but WAEGAN"):
        build("wae_gan", lr_scheduler=schedule)
