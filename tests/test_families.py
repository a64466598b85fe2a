"""What every family of autoencoder or GAN keeps to, whatever it overrides; a new YAML is found by itself."""

import copy
import json
import math
from contextlib import nullcontext

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser

import lit_ae.lightning_cli  # noqa: F401 - knows every family by name
from lit_ae.config_files import config_folder
from lit_ae.data.base import BaseDataModule, Batch
from lit_ae.data.digits import Digits
from lit_ae.data.one_hot import OneHot
from lit_ae.errors import SettingError
from lit_ae.models import GAN, SAE, VAE, ReconstructionModule
from lit_ae.models.base import GenerativeModule, TrackedModule
from lit_ae.models.closed_form import ClosedFormModule

MODELS = sorted(path.stem for path in (config_folder() / "model").glob("*.yaml"))
IMAGES = [(1, 28, 28), (3, 20, 24)]
VECTORS = {"nmn": [(8,), (5,)]}  # models that are for vectors, with shapes to try


def first_of_each_family():
    """One YAML for each class: what depends on the class alone is tested once."""
    found = {}
    for name in MODELS:
        content = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())
        found.setdefault(content["model"]["class_path"], name)
    return sorted(found.values())


FAMILIES = first_of_each_family()


def shape_of(name):
    return VECTORS.get(name, IMAGES)[0]


class MadeData(BaseDataModule):
    """Says what a model asks of its data module, and holds no data."""

    name = "made"

    def __init__(self, input_shape: tuple[int, ...], num_classes: int = 10) -> None:
        super().__init__()
        self.input_shape, self.num_classes = input_shape, num_classes

    def load(self):
        raise AssertionError("there are no data")


def build(name, shape=None, seed=0, num_classes=10, **changes):
    """The model of configs/model/NAME.yaml, as the command line makes it."""
    parser = LightningArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_lightning_class_args(BaseDataModule, "data", subclass_mode=True)
    parser.add_lightning_class_args(TrackedModule, "model", subclass_mode=True)
    for link in ("input_shape", "num_classes"):
        parser.link_arguments(f"data.{link}", f"model.init_args.{link}", apply_on="instantiate")
    shape = list(shape or shape_of(name))
    data = ("--data=MadeData", f"--data.input_shape={shape}", f"--data.num_classes={num_classes}")
    options = [f"--model.init_args.{key}={value}" for key, value in changes.items()]
    config = parser.parse_args(["--config", str(config_folder() / "model" / f"{name}.yaml"), *data, *options])
    pl.seed_everything(seed, verbose=False)
    return parser.instantiate_classes(config).model


def given(module, batch):
    """Where a model is told the class, the batch's."""
    return module.given(batch.y) if hasattr(module, "given") else nullcontext()


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


# -- all models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name in MODELS for shape in VECTORS.get(name, IMAGES)])
def test_shapes_follow_the_data(name, shape):
    module = build(name, shape).eval()
    n, dim = 7, module.latent_dim
    if not isinstance(module, GenerativeModule):
        assert module(images(n, shape).x).shape == (n, 10)
        return
    decoded = module.decode(torch.rand(n, dim))
    assert decoded.shape == (n, *shape)
    assert decoded.isfinite().all()
    if not isinstance(module, ReconstructionModule):
        return
    batch = images(n, shape)
    for step in (module.test_step, module.validation_step, module.predict_step):
        r = step(batch, 0)
        assert torch.equal(r.x, batch.x)
        assert torch.equal(r.y, batch.y)
        assert r.x_in.shape == r.x_hat.shape == (n, *shape)
        assert r.latent.mu.shape == r.latent.z.shape == (n, dim)
        assert r.latent.logvar is None or r.latent.logvar.shape == (n, dim)
        assert r.nll.shape == r.penalty.shape == (n,)
        with given(module, batch):
            assert torch.equal(r.x_hat, module.decode(r.latent.mu)), "x_hat is decoded from the mean code"


@pytest.mark.parametrize("name", MODELS)
def test_loss_is_the_mean_of_its_terms(name):
    module, batch = build(name), images(9, shape_of(name))
    if type(module).training_step is not ReconstructionModule.training_step:  # an objective of its own
        return
    torch.manual_seed(1)
    r = module._step(batch, "train")
    torch.manual_seed(1)
    loss = module.training_step(batch, 0)
    assert torch.equal(loss, (r.nll + r.penalty).mean())
    r = module.eval()._step(batch, "train")  # without dropout, so that decoding again gives the same
    with given(module, batch):
        assert torch.equal(r.nll, module.likelihood.fit(module.decoder(r.latent.z), batch.x).nll)


@pytest.mark.parametrize("name", MODELS)
def test_an_epoch_trains_every_parameter_and_logs_the_mean_of_its_terms(name, data_of):
    module, run, data = build(name), trainer(limit_val_batches=0), data_of(name)
    before = copy.deepcopy(module.state_dict())
    every = {key: parameter for key, parameter in module.named_parameters() if parameter.requires_grad}
    reached, seen, track = set(), [], module.track
    for key, parameter in every.items():
        parameter.register_hook(
            lambda grad, key=key: reached.add(key) if grad.isfinite().all() and grad.any() else None
        )
    module.track = lambda stage, **terms: (seen.append(terms), track(stage, **terms))[1]
    run.fit(module, datamodule=data)

    after = module.state_dict()
    assert not [key for key in every if torch.equal(after[key], before[key])]
    if isinstance(module, ClosedFormModule):  # solved instead
        assert reached == set()
        assert [key for key, value in after.items() if not torch.equal(value, before[key])]
    else:
        assert every.keys() - reached == set()

    logged = {key.removeprefix("train/"): value.item() for key, value in run.callback_metrics.items()}
    assert logged.keys() >= seen[0].keys()
    for key in seen[0]:
        by_sample = torch.cat([terms[key] for terms in seen])
        assert len(by_sample) == len(data.split("train"))
        # the last batch is smaller: a mean of the batches' means would be off
        assert logged[key] == pytest.approx(by_sample.double().mean().item(), rel=1e-6)
    if isinstance(module, ReconstructionModule):
        assert all(torch.equal(terms["loss"], terms["nll"] + terms["penalty"]) for terms in seen)


def all_metrics(name, data_of, seed):
    """Metrics of an epoch of two steps and of the test after it."""
    module, run = build(name, seed=seed), trainer(limit_train_batches=2)
    run.fit(module, datamodule=data_of(name))
    fitted = {key: value.item() for key, value in run.callback_metrics.items()}
    (tested,) = run.test(module, datamodule=data_of(name), verbose=False)
    return fitted | tested


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_gives_bit_identical_metrics_and_another_does_not(name, data_of):
    first, again = (all_metrics(name, data_of, seed=0) for _ in range(2))
    assert again == first
    assert {key.split("/")[0] for key in first} == {"train", "val", "test"}
    assert all(math.isfinite(value) for value in first.values())
    if name not in FAMILIES or name == "pca":  # whose solution has no randomness
        return
    other = all_metrics(name, data_of, seed=1)
    assert other.keys() == first.keys()
    terms = [key for key in first if key.endswith(("/loss", "/nll", "/mse", "/generator_loss", "/discriminator_loss"))]
    assert len(terms) >= 3
    assert not [key for key in terms if other[key] == first[key]]


# -- all families ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpoint_round_trip(name, data_of, tmp_path):
    module = build(name)
    run = trainer()
    run.fit(module, datamodule=data_of(name))
    path = tmp_path / "model.ckpt"
    run.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert content["family"] == type(module).__name__
    assert content["state_dict"].keys() == module.state_dict().keys()
    torch.manual_seed(5)
    (expected,) = run.test(module, datamodule=data_of(name), verbose=False)

    other = build(name, seed=1)
    torch.manual_seed(5)
    (found,) = trainer().test(other, datamodule=data_of(name), ckpt_path=path, weights_only=True, verbose=False)
    assert found == expected
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in other.state_dict().items())

    again = build(name, seed=2)
    resumed = trainer(2)
    resumed.fit(again, datamodule=data_of(name), ckpt_path=path, weights_only=True)
    assert resumed.current_epoch == 2
    assert resumed.global_step == 2 * run.global_step


@pytest.fixture(scope="module")
def one_of_each_family():
    return [build(name) for name in FAMILIES]


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families_refuse_the_checkpoint_in_words(name, one_of_each_family, data_of, tmp_path):
    module, run, path = build(name), trainer(), tmp_path / "model.ckpt"
    run.strategy.connect(module)
    run.save_checkpoint(path, weights_only=True)
    others = [other for other in one_of_each_family if type(other) is not type(module)]
    assert len(others) == len(FAMILIES) - 1 > 0
    for other in others:
        message = f"holds a {type(module).__name__} but model is {type(other).__name__}"
        with pytest.raises(SettingError, match=message):
            other.on_load_checkpoint(torch.load(path, weights_only=True))
    with pytest.raises(SettingError, match="the config that the checkpoint was trained with"):
        trainer().test(others[0], datamodule=data_of(name), ckpt_path=path, weights_only=True, verbose=False)


@pytest.mark.parametrize("name", FAMILIES)
def test_another_size_of_the_family_refuses_the_checkpoint_in_words(name):
    module, other = build(name), build(name, latent_dim=2)
    with pytest.raises(SettingError, match=r"does not fit the model: .* here and .* there"):
        other.on_load_checkpoint({"family": type(module).__name__, "state_dict": module.state_dict()})


@pytest.mark.parametrize("name", FAMILIES)
def test_code_of_no_size_is_refused(name):
    with pytest.raises(ValueError, match="latent_dim is 0: it must be at least 1"):  # wrapped by the parser
        build(name, latent_dim=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_that_is_no_number_stops_at_once_and_names_step_and_term(name, data_of, monkeypatch):
    module = build(name)
    net = module.decoder if isinstance(module, GenerativeModule) else module.encoder
    forward = net.forward
    monkeypatch.setattr(net, "forward", lambda z: forward(z) * math.nan)
    run = trainer()
    with pytest.raises(FloatingPointError, match=r"train/\w+ not finite (at|by) step 0 "):
        run.fit(module, datamodule=data_of(name))
    assert run.global_step == 0


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


def test_every_model_yaml_is_one_family_with_its_settings():
    for name in MODELS:
        content = yaml.safe_load((config_folder() / "model" / f"{name}.yaml").read_text())
        assert content.keys() == {"model"}
        assert build(name).latent_dim == content["model"]["init_args"]["latent_dim"]
