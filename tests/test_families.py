"""What every family of autoencoder or GAN keeps to, whatever it overrides; a new YAML is found by itself."""

import copy
import math

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser

import lit_ae.lightning_cli  # noqa: F401 - knows every family by name
from lit_ae.config_files import config_folder
from lit_ae.data.base import Batch
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models import GAN, SAE, VAE, GenerativeModule, ReconstructionModule

MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))
SHAPES = [(1, 28, 28), (3, 18, 21)]


def build(name, shape=(1, 28, 28), seed=0, **changes):
    """The model of configs/model/NAME.yaml, as the command line makes it."""
    parser = LightningArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_lightning_class_args(GenerativeModule, "model", subclass_mode=True)
    path = config_folder() / "model" / f"{name}.yaml"
    settings = {"input_shape": list(shape), **changes}
    options = [f"--model.init_args.{key}={value}" for key, value in settings.items()]
    config = parser.parse_args(["--config", str(path), *options])
    pl.seed_everything(seed, verbose=False)
    return parser.instantiate_classes(config).model


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
    """150 digits a split, in three batches."""
    return Digits(batch_size=64, eval_batch_size=64, limit=150)


@pytest.fixture
def module(request):
    """The model that `request.param` names, with its name."""
    return build(request.param)


# -- all families ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_shapes_follow_the_data(name, shape):
    module = build(name, shape).eval()
    n, dim = 7, module.latent_dim
    decoded = module.decode(torch.randn(n, dim))
    assert decoded.shape == (n, *shape)
    assert 0 <= decoded.min() < decoded.max() <= 1
    if not isinstance(module, ReconstructionModule):
        return
    batch = images(n, shape)
    assert module(batch.x).shape == (n, *shape)
    for step in (module.test_step, module.validation_step, module.predict_step):
        r = step(batch, 0)
        assert torch.equal(r.x, batch.x)
        assert torch.equal(r.y, batch.y)
        assert r.x_in.shape == r.x_hat.shape == (n, *shape)
        assert r.latent.mu.shape == r.latent.z.shape == (n, dim)
        assert r.latent.logvar is None or r.latent.logvar.shape == (n, dim)
        assert r.nll.shape == r.penalty.shape == (n,)
        assert torch.equal(r.x_hat, module.decode(r.latent.mu)), "x_hat is decoded from the mean code"


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name, digits):
    module = build(name)
    reached = set()
    for key, parameter in module.named_parameters():
        assert parameter.requires_grad
        parameter.register_hook(
            lambda grad, key=key: reached.add(key) if grad.isfinite().all() and grad.any() else None
        )
    before = copy.deepcopy(dict(module.named_parameters()))
    trainer(limit_train_batches=2, limit_val_batches=0).fit(module, datamodule=digits)
    every = dict(module.named_parameters())
    assert every.keys() - reached == set()
    assert not [key for key, parameter in every.items() if torch.equal(parameter, before[key])], "a step moves all"


@pytest.mark.parametrize("name", MODELS)
def test_loss_is_the_mean_of_its_terms(name, digits):
    module, batch = build(name), images(9, (1, 28, 28))
    if isinstance(module, ReconstructionModule):
        torch.manual_seed(1)
        r = module._step(batch, "train")
        torch.manual_seed(1)
        loss = module.training_step(batch, 0)
        assert torch.equal(loss, (r.nll + r.penalty).mean())
        assert torch.equal(r.nll, module.likelihood.fit(module.decoder(r.latent.z), batch.x).nll)
        assert torch.equal(r.penalty, module.penalty(r.x_in, r.latent))
    run = trainer(limit_val_batches=0)
    seen = []
    original = module.track
    module.track = lambda stage, **terms: (seen.append(terms), original(stage, **terms))[1]
    run.fit(module, datamodule=digits)
    logged = {key.removeprefix("train/"): value.item() for key, value in run.callback_metrics.items()}
    assert logged.keys() == seen[0].keys()
    for key, value in logged.items():
        by_sample = torch.cat([terms[key] for terms in seen])
        assert by_sample.shape == (150,), "the last batch is smaller: a mean of batch means would be off"
        assert value == pytest.approx(by_sample.double().mean().item(), rel=1e-6)
    if isinstance(module, ReconstructionModule):
        assert logged["loss"] == pytest.approx(logged["nll"] + logged["penalty"], rel=1e-6)


def all_metrics(name, digits, seed):
    """Metrics of two epochs and of the test after them."""
    module = build(name, seed=seed)
    run = trainer(2, limit_train_batches=2)
    run.fit(module, datamodule=digits)
    fitted = {key: value.item() for key, value in run.callback_metrics.items()}
    (tested,) = run.test(module, datamodule=digits, verbose=False)
    return fitted | tested


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_gives_bit_identical_metrics(name, digits):
    first, again, other = (all_metrics(name, digits, seed) for seed in (0, 0, 1))
    assert again == first
    assert other.keys() == first.keys()
    assert {key.split("/")[0] for key in first} == {"train", "val", "test"}
    assert all(math.isfinite(value) for value in first.values())
    changed = [key for key, value in first.items() if other[key] != value]
    assert changed == [key for key in first if first[key] != 0]


@pytest.mark.parametrize("name", MODELS)
def test_checkpoint_round_trip(name, digits, tmp_path):
    module = build(name)
    run = trainer()
    run.fit(module, datamodule=digits)
    path = tmp_path / "model.ckpt"
    run.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert content["family"] == type(module).__name__
    assert content["state_dict"].keys() == module.state_dict().keys()
    torch.manual_seed(5)
    (expected,) = run.test(module, datamodule=digits, verbose=False)

    other = build(name, seed=1)
    torch.manual_seed(5)
    (found,) = trainer().test(other, datamodule=digits, ckpt_path=path, weights_only=True, verbose=False)
    assert found == expected
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in other.state_dict().items())

    again = build(name, seed=2)
    resumed = trainer(2)
    resumed.fit(again, datamodule=digits, ckpt_path=path, weights_only=True)
    assert resumed.current_epoch == 2
    assert resumed.global_step == 2 * run.global_step


@pytest.mark.parametrize("name", MODELS)
def test_other_families_refuse_the_checkpoint_in_words(name, digits, tmp_path):
    module = build(name)
    run = trainer()
    run.strategy.connect(module)
    path = tmp_path / "model.ckpt"
    run.save_checkpoint(path, weights_only=True)
    others = [build(other) for other in MODELS]
    others = {type(other): other for other in others if type(other) is not type(module)}.values()
    assert others
    for other in others:
        with pytest.raises(SettingError, match=f"holds a {type(module).__name__} but model is {type(other).__name__}"):
            trainer().test(other, datamodule=digits, ckpt_path=path, weights_only=True, verbose=False)


@pytest.mark.parametrize("name", MODELS)
def test_another_size_of_the_family_refuses_the_checkpoint_in_words(name):
    module, other = build(name), build(name, latent_dim=3)
    with pytest.raises(SettingError, match="does not fit the model: .* here and .* there"):
        other.on_load_checkpoint({"family": type(module).__name__, "state_dict": module.state_dict()})


@pytest.mark.parametrize("name", MODELS)
def test_code_of_no_size_is_refused(name):
    with pytest.raises(SettingError, match="latent_dim is 0"):
        build(name, latent_dim=0)


@pytest.mark.parametrize("name", MODELS)
def test_loss_that_is_no_number_stops_at_once_and_names_step_and_term(name, digits):
    module = build(name)
    with torch.no_grad():
        next(module.decoder.parameters()).fill_(math.nan)
    run = trainer()
    with pytest.raises(FloatingPointError, match=r"train/\w+ not finite at step 0 .*learning rate"):
        run.fit(module, datamodule=digits)
    assert run.global_step == 0


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
    assert torch.allclose(one.penalty(x, latent), kl, rtol=1e-4)
    assert torch.allclose(four.penalty(x, latent), 4 * kl, rtol=1e-4)


def test_ae_has_no_noise_and_no_penalty():
    module, batch = build("ae"), images(5, (1, 28, 28))
    first, second = module.test_step(batch, 0), module.test_step(batch, 0)
    assert torch.equal(first.nll, second.nll)
    assert not first.penalty.any()
    assert torch.equal(first.latent.z, first.latent.mu)
    squared = (first.x_hat - batch.x).square().flatten(1).mean(1)
    assert torch.allclose(first.nll, squared)


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
    assert torch.allclose(module.discriminator_loss(batch), expected)
    assert torch.allclose(module.generator_loss(batch), expected)


def test_gan_players_move_in_opposite_directions():
    module, batch = build("gan_published"), images(64, (1, 28, 28))

    def losses():
        torch.manual_seed(0)
        return module.discriminator_loss(batch).mean(), module.generator_loss(batch).mean()

    before = losses()
    g_grads = torch.autograd.grad(losses()[1], list(module.generator_parameters()))
    d_grads = torch.autograd.grad(losses()[0], list(module.discriminator.parameters()))
    assert all(grad.any() for grad in (*g_grads, *d_grads))
    assert not any(p.grad is not None for p in module.generator_parameters()), (
        "the discriminator's loss leaves the generator alone"
    )
    with torch.no_grad():
        for parameter, grad in zip(module.discriminator.parameters(), d_grads, strict=True):
            parameter -= 0.1 * grad
    better = losses()
    assert better[0] < before[0]
    assert better[1] > before[1], "a better discriminator makes it harder for the generator"


def test_every_model_yaml_is_one_family_with_its_settings():
    for name in MODELS:
        content = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())
        assert content.keys() == {"model"}
        assert build(name).latent_dim == content["model"]["init_args"]["latent_dim"]
