"""A training that is killed and goes on from its checkpoint ends bit for bit where an uninterrupted one ends."""

import functools
import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR
from torch.utils.data import DataLoader

from lit_ae.data.digits import Digits
from lit_ae.data.epoch_order import shared_seed
from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.models.dec import DEC
from lit_ae.models.denoising_ae import DenoisingAE
from lit_ae.models.gan import GAN
from lit_ae.models.rbm import RBM
from lit_ae.models.resumable import random_states, set_random_states
from lit_ae.models.vae import VAE
from lit_ae.models.wae_gan import WAEGAN
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.schedules import LinearSchedule
from lit_ae.training.loop import several_steps_a_call
from lit_ae.training.scored_weights import move_best

N, BATCH, EPOCHS = 100, 16, 3
STEPS = 7  # in an epoch; the last is smaller
SMALL = {"encoder": partial(MLPEncoder, widths=[16], dropout=0.2), "decoder": partial(MLPDecoder, widths=[16])}


class ByStep(AE):
    """A schedule that acts at every second step."""

    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        schedule = {"scheduler": ExponentialLR(optimizer, 0.9), "interval": "step", "frequency": 2}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def watches(monitor):
    plateau = partial(ReduceLROnPlateau, monitor=monitor, factor=0.5, patience=0, threshold=1e4, threshold_mode="abs")
    return partial(AE, lr_scheduler=plateau, **SMALL)


FAMILIES = {
    "AE": partial(AE, lr_scheduler=partial(CosineAnnealingLR, T_max=EPOCHS), **SMALL),
    "VAE": partial(VAE, annealing=LinearSchedule(0.9), **SMALL),
    "GAN": GAN,
    "DEC": partial(DEC, clusters=3, pretrain_epochs=1, tolerance=0, **SMALL),
    "denoising": partial(DenoisingAE, lr_scheduler=partial(ExponentialLR, gamma=0.5), **SMALL),
    "schedule by step": partial(ByStep, **SMALL),
    "plateau of training": watches("train/loss"),
    "plateau of validation": watches("val/loss"),
    "RBM with chains": partial(RBM, latent_dim=8, chains=10),
    "WAEGAN": partial(WAEGAN, **SMALL),
}
# By name: settings of the ModelCheckpoint, the step at which training is killed, and that of the file it goes on from
# (which counts the steps of both networks of a GAN)
KILLS = {
    "within an epoch": ({"every_n_train_steps": 4}, 11, (8, 10)),
    "after the last step of an epoch": ({"every_n_train_steps": STEPS}, 11, (7,)),
    "after a validation": ({"save_on_train_epoch_end": False}, 11, (7,)),
    "at the end of an epoch": ({}, 11, (7,)),
}


class KilledError(Exception):
    pass


class Values(Callback):
    """What has been logged by the end of each epoch."""

    per_step = False

    def __init__(self):
        self.seen = {}

    def on_train_end(self, trainer, pl_module):
        self.seen["end"] = {name: value.item() for name, value in trainer.callback_metrics.items()}

    def on_train_epoch_start(self, trainer, pl_module):
        self.seen[trainer.current_epoch] = {name: value.item() for name, value in trainer.callback_metrics.items()}


def train(folder, make, steps, saves, checkpoint=None, kill=None, loaders=None, limits=None, more=list, **settings):
    seed_everything(3, verbose=False)
    data = Digits(limit=N, batch_size=BATCH, **settings)
    module = make(input_shape=data.input_shape)
    values, taken, step = Values(), [0], type(module).training_step

    @functools.wraps(step)
    def counted(self, *args):
        if taken[0] == kill:
            raise KilledError
        taken[0] += 1
        return step(self, *args)

    every = ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False, **saves)
    trainer = Trainer(
        default_root_dir=folder, accelerator="cpu", logger=False, num_sanity_val_steps=0, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[values, every, *more()], **(limits or {"max_epochs": EPOCHS}),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, several_steps_a_call(trainer, module, data, steps) as calls:
        patch.setattr(type(module), "training_step", counted)
        try:
            given = {"datamodule": data} if loaders is None else {"train_dataloaders": loaders(data)}
            trainer.fit(module, **given, ckpt_path=checkpoint, weights_only=True)
        except KilledError:
            return None
        assert calls.steps == (1 if calls.why else steps)
        trainer.save_checkpoint(folder / "end.ckpt")
    end = torch.load(folder / "end.ckpt", weights_only=True)
    progress = {name: end["loops"]["fit_loop"][name] for name in ("epoch_progress", "epoch_loop.batch_progress")}
    kept = {name: end[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")}
    return SimpleNamespace(kept={**kept, **progress, "random": end["random_states"]}, seen=values.seen)


def differences(ours, theirs, name=""):
    """Names of the parts that are not equal to the bit."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), name
        return [found for key in theirs for found in differences(ours[key], theirs[key], f"{name}/{key}")]
    if isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), name
        return [found for i, part in enumerate(theirs) for found in differences(ours[i], part, f"{name}/{i}")]
    same = torch.equal(ours, theirs) if isinstance(theirs, torch.Tensor) else ours == theirs
    return [] if same else [name]


def killed_and_resumed(folder, make, steps, kill, **options):
    saves, at, saved = KILLS[kill]
    whole = train(folder / "whole", make, steps, saves, **options)
    assert train(folder / "killed", make, steps, saves, kill=at, **options) is None
    checkpoint = folder / "killed" / "last.ckpt"
    loop = torch.load(checkpoint, weights_only=True)["loops"]["fit_loop"]
    assert loop["epoch_loop.batch_progress"]["total"]["processed"] in saved
    return whole, train(folder / "resumed", make, steps, saves, checkpoint, **options)


def check(whole, resumed):
    assert not differences(resumed.kept, whole.kept)
    assert len(resumed.seen) >= 2
    for epoch, values in resumed.seen.items():
        if epoch == 1:
            continue  # values of the epoch before the checkpoint are not logged again
        assert "train/loss" in values or "train/generator_loss" in values
        assert values == whole.seen[epoch]


IN_ALL_WAYS = ("AE", "VAE", "GAN", "DEC", "plateau of training", "plateau of validation")
CASES = [
    (family, kill, 1) for family in FAMILIES for kill in KILLS if family in IN_ALL_WAYS or kill == "within an epoch"
]
CASES += [(family, "at the end of an epoch", 4) for family in FAMILIES]


def by_default(family, kill, steps):
    """Whether a case is run each time: four families at two moments, and one of them at all."""
    return family == "VAE" or (family in IN_ALL_WAYS[:4] and kill in ("within an epoch", "at the end of an epoch"))


@pytest.mark.parametrize(
    ("family", "kill", "steps"),
    [pytest.param(*case, marks=[] if by_default(*case) else pytest.mark.slow) for case in CASES],
)
def test_killed_training_ends_where_an_uninterrupted_one_ends(family, kill, steps, tmp_path):
    check(*killed_and_resumed(tmp_path, FAMILIES[family], steps, kill))


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("most", [STEPS * EPOCHS - 3, STEPS * EPOCHS])
def test_training_that_a_number_of_steps_ends(kill, most, tmp_path):
    """The epoch that follows the checkpoint is a whole one, too."""
    limits = {"max_steps": most, "max_epochs": -1}
    check(*killed_and_resumed(tmp_path, FAMILIES["VAE"], 1, kill, limits=limits))


class Wanders(Callback):
    """A value that falls from the fourth epoch on."""

    per_step = False

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/n", [1.0, 2.0, 2.0, 0.5, 0.4, 0.3, 0.2, 0.1][trainer.current_epoch])


@pytest.mark.parametrize("kill", [5, 11])
def test_gradients_that_are_being_accumulated_are_kept(kill, tmp_path, monkeypatch):
    """The checkpoint follows a validation after the third batch of an epoch."""
    limits = {"max_epochs": EPOCHS, "accumulate_grad_batches": 2, "val_check_interval": 3}
    monkeypatch.setitem(KILLS, "accumulating", ({"save_on_train_epoch_end": False}, kill, (3, 10)))
    check(*killed_and_resumed(tmp_path, FAMILIES["VAE"], 1, "accumulating", limits=limits))


@pytest.mark.parametrize("limits", [{"min_epochs": 5}, {"min_steps": 4 * STEPS + 4}])
def test_a_request_to_stop_waits_for_the_least_length_after_a_break_too(limits, tmp_path, monkeypatch):
    """It is made in the third epoch of eight, and the value is better later, so that it is not made again."""
    limits = {"max_epochs": 8, **limits}
    monkeypatch.setitem(KILLS, "waiting", ({}, 3 * STEPS + 2, (3 * STEPS,)))

    def more():
        return [Wanders(), EarlyStopping("val/n", patience=2)]

    whole, resumed = killed_and_resumed(tmp_path, FAMILIES["VAE"], 1, "waiting", limits=limits, more=more)
    assert whole.kept["epoch"] == 5
    assert not differences(resumed.kept, whole.kept)


class Watches(Wanders):
    """A value that is best in the first epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/n", [0.1, 5.0, 3.0][trainer.current_epoch])


def test_the_best_checkpoint_so_far_is_known_in_another_folder(tmp_path):
    saves = {"monitor": "val/n"}
    assert train(tmp_path / "here", FAMILIES["AE"], 1, saves, kill=11, more=lambda: [Watches()]) is None
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "there" / "last.ckpt").rename(tmp_path / "last.ckpt")
    found = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.save(found, tmp_path / "there" / "last.ckpt")
    trainer = Trainer(default_root_dir=tmp_path, logger=False, callbacks=[
        ModelCheckpoint(dirpath=tmp_path / "there", filename="last", enable_version_counter=False, **saves)
    ])  # fmt: skip
    move_best(trainer, found)
    (state,) = (state for key, state in found["callbacks"].items() if "ModelCheckpoint" in key)
    assert state["dirpath"] == str(tmp_path / "there")
    assert state["best_model_path"] == str(tmp_path / "there" / "last.ckpt")
    assert list(state["best_k_models"]) == [state["best_model_path"]]


def test_batches_that_would_be_given_again_are_refused(tmp_path):
    limits = {"max_epochs": EPOCHS, "overfit_batches": 3}
    train(tmp_path, FAMILIES["AE"], 1, {"every_n_train_steps": 2}, kill=5, limits=limits)
    with pytest.raises(SettingError, match=r"within an epoch, whose first batches trainer\.overfit_batches"):
        train(tmp_path / "on", FAMILIES["AE"], 1, {}, tmp_path / "last.ckpt", limits=limits)


@pytest.mark.parametrize("kill", ["within an epoch", "at the end of an epoch"])
def test_worker_processes_go_on_with_the_same_samples(kill, tmp_path):
    check(*killed_and_resumed(tmp_path, FAMILIES["VAE"], 1, kill, num_workers=1))


@pytest.mark.parametrize(("kill", "steps"), [("within an epoch", 1), ("at the end of an epoch", 4)])
def test_training_goes_on_with_the_pixels_that_are_drawn_for_its_epoch(kill, steps, tmp_path):
    check(*killed_and_resumed(tmp_path, FAMILIES["VAE"], steps, kill, binarise="every_epoch"))


def test_training_goes_on_with_the_random_order_of_a_plain_loader(tmp_path):
    """Somebody else's loader, from the end of an epoch: it draws its order from the global generator."""

    def loader(data):
        return DataLoader(data.split("train").x[:N] / 255, BATCH, shuffle=True)

    check(*killed_and_resumed(tmp_path, FAMILIES["VAE"], 1, "at the end of an epoch", loaders=loader))


def test_checkpoint_of_this_loader_serves_another_one(tmp_path):
    train(tmp_path / "ours", FAMILIES["AE"], 1, {"every_n_train_steps": STEPS * 2})

    def loader(data):
        return DataLoader(data.split("train").x[:N] / 255, BATCH)

    end = train(tmp_path / "plain", FAMILIES["AE"], 1, {}, tmp_path / "ours" / "last.ckpt", loaders=loader)
    assert end.kept["global_step"] == STEPS * EPOCHS


def test_states_of_all_generators_come_back_from_a_file(tmp_path):
    def draws():
        return [random.gauss(0, 1), np.random.normal(), np.random.random(), torch.randn(3).tolist()]

    random.gauss(0, 1), np.random.normal()  # of each pair of numbers the second is kept in the state
    torch.save(random_states(), tmp_path / "states")
    expected = draws()
    assert draws() != expected
    set_random_states(torch.load(tmp_path / "states", weights_only=True))
    assert draws() == expected


def test_each_process_draws_noise_of_its_own_and_shares_the_order_of_the_samples():
    def draws(rank):
        torch.manual_seed(7)
        module = AE(input_shape=(1, 28, 28), **SMALL)
        module._trainer = SimpleNamespace(global_rank=rank)
        torch.manual_seed(7)
        module.on_train_epoch_start()
        first = torch.rand(()).item()
        module.on_train_epoch_start()
        return first, torch.rand(()).item()

    found = [draws(rank) for rank in range(3)]
    torch.manual_seed(7)
    assert found[0] == (torch.rand(()).item(), torch.rand(()).item()), "one process alone draws as before"
    assert len({value for pair in found for value in pair}) == 6
    assert draws(1) == found[1]
    torch.manual_seed(7)
    several = SimpleNamespace(world_size=2, strategy=SimpleNamespace(broadcast=lambda seed: 5))
    assert [shared_seed(trainer) for trainer in (None, SimpleNamespace(world_size=1), several)] == [7, 7, 5]


def test_loading_a_model_leaves_random_numbers_alone(tmp_path):
    train(tmp_path, FAMILIES["AE"], 1, {})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    AE.load_from_checkpoint(tmp_path / "last.ckpt", input_shape=(1, 28, 28), **SMALL)
    torch.manual_seed(5)
    module = AE(input_shape=(1, 28, 28), **SMALL)
    after = torch.get_rng_state()
    module.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert torch.equal(torch.get_rng_state(), after)
    assert not torch.equal(before, after)
