"""Families beyond the contract of `lit_ae.testing`: every YAML file, other shapes, resumed training, known answers."""

import json
import math

import lightning.pytorch as pl
import pytest
import torch
import yaml

from lit_ae.data.containers import Batch
from lit_ae.data.digits import Digits
from lit_ae.data.one_hot import OneHot
from lit_ae.errors import SettingError
from lit_ae.models import GAN, SAE, VAE, ReconstructionModule
from lit_ae.models.base import GenerativeModule
from lit_ae.settings.files import config_folder
from lit_ae.testing.subject import from_yaml

MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))
IMAGES = [(1, 28, 28), (3, 20, 24)]
VECTORS = {"nmn": [(8,), (5,)]}  # models that are for vectors, with shapes to try
QUICK = {"dec": {"pretrain_epochs": 1}, "hopfield": {"sweeps": 2}}  # settings without which training takes seconds


def settings_of(name):
    """What configs/model/NAME.yaml says of the model."""
    return yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())["model"]


def one_of_each_family():
    """One YAML file for each class, named after it or with the shortest name: what is of the class is tested once."""
    names = {}
    for name in MODELS:
        names.setdefault(settings_of(name)["class_path"], []).append(name)
    return sorted(
        min(found, key=lambda name: (family.lower() not in name.replace("_", ""), len(name)))
        for family, found in names.items()
    )


FAMILIES = one_of_each_family()
# All YAML files, of which one for each family is tested by default
EACH = [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
# They differ from other families in a term of the loss alone, which has tests of its own
ALIKE = {"beta_tcvae", "conditional_ae", "contractive", "denoising_masking", "dip_vae", "info_vae", "sparse_kl"}
ALIKE |= {"rae", "rae_gp", "vamp_prior_vae", "wae_mmd"}
UNLIKE = [pytest.param(n, marks=pytest.mark.slow) if isinstance(n, str) and n in ALIKE else n for n in EACH]


def shapes_of(name):
    return VECTORS.get(name, IMAGES)


def build(name, shape=None, seed=0, num_classes=10, **changes):
    """The model of configs/model/NAME.yaml, as the command line makes it."""
    model = settings_of(name)
    model["init_args"] = {**model.get("init_args", {}), **changes}
    pl.seed_everything(seed, verbose=False)
    return from_yaml(model, shape or shapes_of(name)[0], num_classes)


def images(n, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.rand(n, *shape, generator=generator), torch.arange(n) % 10)


def trainer(epochs=1, **settings):
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


@pytest.fixture(scope="module")
def digits():
    """70 digits a split, in three batches, the last one smaller."""
    return Digits(batch_size=32, eval_batch_size=32, limit=70)


@pytest.fixture(scope="module")
def data_of(digits):
    """The data to train a model on."""
    vectors = OneHot(n=8, repeats=9, batch_size=32, eval_batch_size=32)
    return lambda name: vectors if name in VECTORS else digits


# -- every family ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EACH)
def test_a_model_yaml_is_one_family_with_its_settings(name):
    content = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())
    assert content.keys() == {"model"}
    assert content["model"].keys() == {"class_path", "init_args"}
    module, settings = build(name), content["model"]["init_args"]
    assert type(module).__name__ == content["model"]["class_path"]
    assert module.latent_dim == settings["latent_dim"] >= 2


@pytest.mark.parametrize("name", EACH)
def test_shapes_follow_the_data(name):
    shape, n = shapes_of(name)[1], 7  # the contract is checked on the first
    module, batch = build(name, shape).eval(), images(n, shape)
    if not isinstance(module, GenerativeModule):
        assert module(batch.x).shape == (n, 10)
        return
    decoded = module.decode(torch.rand(n, module.latent_dim))
    assert decoded.shape == (n, *shape)
    assert decoded.isfinite().all()
    if isinstance(module, ReconstructionModule):
        r = module.test_step(batch, 0)
        assert r.latent.mu.shape == (n, module.latent_dim)
        assert torch.equal(r.x_hat, module.decode(r.latent.mu, batch.y))


@pytest.mark.parametrize("name", EACH)
def test_nll_is_of_the_draw_where_the_step_is_the_template_s(name):
    module, batch = build(name), images(9, shapes_of(name)[0])
    if getattr(type(module), "reconstruct_batch", None) is not ReconstructionModule.reconstruct_batch:
        assert name in {"classifier", "gan", "gan_published", "dcgan", "iwae"}
        return
    r = module.eval().reconstruct_batch(batch, "train")  # without dropout: decoding again gives the same
    assert torch.equal(r.nll, module.likelihood.fit(module.raw(r.latent.z, batch.y), batch.x).nll)


@pytest.mark.parametrize("name", ["ae", "vae", "gan", "rbm", "dec"])
def test_another_seed_gives_other_metrics(name, data_of):
    found = []
    for seed in (0, 1):
        run = trainer(limit_train_batches=2)
        run.fit(build(name, seed=seed, **QUICK.get(name, {})), datamodule=data_of(name))
        found.append({key: value.item() for key, value in run.callback_metrics.items()})
    assert found[0].keys() == found[1].keys()
    terms = [key for key in found[0] if key.endswith(("/loss", "/nll", "/mse", "/generator_loss"))]
    assert len(terms) >= 2
    assert not [key for key in terms if found[0][key] == found[1][key]]


@pytest.mark.parametrize("name", FAMILIES)
def test_training_is_resumed_from_a_checkpoint(name, data_of, tmp_path):
    module, run = build(name, **QUICK.get(name, {})), trainer()
    run.fit(module, datamodule=data_of(name))
    run.save_checkpoint(tmp_path / "model.ckpt")
    again, resumed, start = build(name, seed=2, **QUICK.get(name, {})), trainer(2), {}

    class Start(pl.Callback):
        def on_fit_start(self, trainer, module):  # before families that are solved are solved anew
            start["weights"] = {key: value.clone() for key, value in module.named_parameters()}

        def on_train_epoch_start(self, trainer, module):
            start.setdefault("epoch", trainer.current_epoch)

    resumed.callbacks.append(Start())
    resumed.fit(again, datamodule=data_of(name), ckpt_path=tmp_path / "model.ckpt", weights_only=True)
    assert start["epoch"] == 1
    assert all(torch.equal(value, start["weights"][key]) for key, value in module.named_parameters())
    assert resumed.current_epoch == 2
    assert resumed.global_step == 2 * run.global_step


@pytest.mark.parametrize("name", FAMILIES)
def test_code_of_no_size_is_refused(name):
    with pytest.raises(ValueError, match="latent_dim is 0: it must be at least 1"):  # wrapped by the parser
        build(name, latent_dim=0)


def test_the_trainer_refuses_the_checkpoint_of_another_family(digits, tmp_path):
    run, path = trainer(), tmp_path / "model.ckpt"
    run.strategy.connect(build("vae"))
    run.save_checkpoint(path, weights_only=True)
    with pytest.raises(SettingError, match="holds a VAE but model is AE: give the config that the checkpoint was"):
        trainer().test(build("ae"), datamodule=digits, ckpt_path=path, weights_only=True, verbose=False)


@pytest.mark.parametrize("stage", ["val", "test"])
def test_loss_that_is_no_number_in_evaluation_is_an_error_too(stage, digits):
    module, run = build("ae"), trainer()
    with torch.no_grad():
        next(module.decoder.parameters()).fill_(math.nan)
    evaluate = run.validate if stage == "val" else run.test
    with pytest.raises(FloatingPointError, match=f"{stage}/loss not finite"):
        evaluate(module, datamodule=digits, verbose=False)


# -- single families: known answers ------------------------------------------------------------------------------


def test_sae_draws_codes_with_its_own_sigma():
    module = build("sae", sigma=0.37)
    x = images(1, (1, 28, 28)).x.expand(400, 1, 28, 28)
    latent = module.encode(x)
    noise = latent.z - latent.mu
    assert noise.mean().item() == pytest.approx(0, abs=0.01)  # 40,000 draws: six standard errors
    assert noise.std().item() == pytest.approx(0.37, rel=0.02)
    assert torch.allclose(latent.logvar, torch.full_like(latent.mu, 2 * math.log(0.37)))


def test_vae_draws_codes_from_its_posterior_and_weighs_the_kl_by_beta():
    one, four = build("vae"), build("vae", beta=4)
    four.load_state_dict(one.state_dict())
    x = images(1, (1, 28, 28)).x.expand(2000, 1, 28, 28)
    latent = one.encode(x)
    standard = (latent.z - latent.mu) / (latent.logvar / 2).exp()
    assert standard.mean().item() == pytest.approx(0, abs=0.02)
    assert standard.std().item() == pytest.approx(1, rel=0.02)
    posterior = torch.distributions.Normal(latent.mu, (latent.logvar / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(posterior, prior).sum(1)
    for module, beta in ((one, 1), (four, 4)):
        penalty, terms = module.penalty(x, x, latent, module.raw(latent.z))
        assert torch.allclose(penalty, beta * kl, rtol=1e-4)
        assert torch.allclose(terms["kl"], kl, rtol=1e-4)


def test_ae_has_no_noise_and_no_penalty():
    module, batch = build("ae"), images(5, (1, 28, 28))
    first, second = module.test_step(batch, 0), module.test_step(batch, 0)
    assert torch.equal(first.nll, second.nll)
    assert not first.penalty.any()
    assert torch.equal(first.latent.z, first.latent.mu)
    squared = (first.x_hat - batch.x).square().flatten(1).mean(1)
    assert torch.allclose(first.nll, squared)


@pytest.mark.parametrize("shape", [(1, 17, 30), (3, 5, 4)])
def test_convolutions_give_images_of_any_size_back(shape):
    module, batch = build("conv_ae", shape), images(2, shape)
    assert module(batch.x).shape == (2, *shape)


@pytest.mark.parametrize("family", [SAE, VAE])
def test_test_scores_are_of_the_mean_code_and_terms_of_the_draw(family):
    module, batch = build(family.__name__.lower()), images(5, (1, 28, 28))
    first, second = module.test_step(batch, 0), module.test_step(batch, 0)
    assert torch.equal(first.x_hat, second.x_hat)
    assert not torch.equal(first.nll, second.nll)


def test_gan_losses_at_chance_are_log_2():
    module, batch = build("gan"), images(6, (1, 28, 28))
    assert isinstance(module, GAN)
    with torch.no_grad():
        for parameter in module.discriminator.parameters():
            parameter.zero_()  # logits of 0
    expected = torch.full((6,), math.log(2))
    real, fake = module.contest(batch)
    assert torch.equal(real, batch.x)
    assert fake.shape == real.shape
    assert torch.allclose(module.discriminator_loss(real, fake), expected)
    assert torch.allclose(module.generator_loss(fake), expected)


def test_gan_players_pull_in_opposite_directions():
    module, batch = build("gan_published"), images(64, (1, 28, 28))
    real, fake = module.contest(batch)
    before = module.discriminator_loss(real, fake).mean(), module.generator_loss(fake).mean()
    d_grads = torch.autograd.grad(before[0], list(module.discriminator.parameters()), retain_graph=True)
    g_grads = torch.autograd.grad(before[1], fake)
    assert torch.autograd.grad(before[0], fake, retain_graph=True)[0].flatten() @ g_grads[0].flatten() < 0
    with torch.no_grad():
        for parameter, grad in zip(module.discriminator.parameters(), d_grads, strict=True):
            parameter -= 0.1 * grad
    better = module.discriminator_loss(real, fake).mean(), module.generator_loss(fake).mean()
    assert better[0] < before[0]
    assert better[1] > before[1], "a better discriminator makes it harder for the generator"


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        (
            {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}},
            [1, 0.5, 0.25],
        ),
        (
            {
                "class_path": "lightning.pytorch.cli.ReduceLROnPlateau",
                "init_args": {"monitor": "val/loss", "mode": "max", "patience": 0, "factor": 0.1, "threshold": 10},
            },
            [1, 1, 0.1],
        ),
    ],
)
def test_learning_rate_follows_its_schedule_by_epoch(scheduler, rates, digits):
    seen = []

    class Record(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            seen.append(module.optimizers().param_groups[0]["lr"])

    module = build("ae", lr_scheduler=json.dumps(scheduler))
    trainer(epochs=3, callbacks=[Record()]).fit(module, digits)
    assert seen == pytest.approx([1e-3 * rate for rate in rates])
