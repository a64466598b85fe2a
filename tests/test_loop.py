"""Several steps in a call of `training_step` against Lightning's own step: the same weights, values and files."""

from contextlib import suppress
from functools import partial, wraps
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR

from lit_ae.callbacks.training.l1_penalty import L1Penalty
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.digits import Digits
from lit_ae.errors import SettingError
from lit_ae.models.ae import AE
from lit_ae.models.dec import DEC
from lit_ae.models.gan import GAN
from lit_ae.models.pca import PCA
from lit_ae.models.rbm import RBM
from lit_ae.models.vae import VAE
from lit_ae.models.wae_gan import WAEGAN
from lit_ae.nets.processor import fast_training
from lit_ae.objectives.schedules import LinearSchedule
from lit_ae.training.by_step import counts_read_by
from lit_ae.training.loop import Calls, several_steps_a_call

SHAPE = Digits.input_shape
N, BATCH = 290, 16  # 19 batches: one call of 16 and one of 3, of which the last is smaller


class SchedulesSteps(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        schedule = {"scheduler": ExponentialLR(optimizer, 0.9), "interval": "step", "frequency": 3}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class SchedulesAsLists(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        schedules = [ExponentialLR(optimizer, 0.5), {"scheduler": ExponentialLR(optimizer, 0.99), "interval": "step"}]
        return [optimizer], schedules


class WatchesEverySecondEpoch(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1e4)
        config = {"scheduler": schedule, "monitor": "val/loss", "frequency": 2}
        return {"optimizer": optimizer, "lr_scheduler": config}


class LogsBySteps(AE):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("by_step", loss)
        self.log_dict({"by_epoch": loss}, on_step=False, on_epoch=True)
        self.log("index", float(batch_idx), on_step=True, on_epoch=True)
        return loss


class GivesDict(AE):
    def training_step(self, batch, batch_idx):
        return {"loss": super().training_step(batch, batch_idx), "extra": 1}


class SkipsSteps(AE):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return None if batch_idx % 3 == 1 else loss


class TakesNoIndex(AE):
    def training_step(self, batch):
        return self._step(batch, "train").loss.mean()


class Flips(Callback):
    """Acts between backward and step, as `L1Penalty` does."""

    per_step = False

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.neg_()


plateau = partial(ReduceLROnPlateau, monitor="train/loss", factor=0.5, patience=0, threshold=1e4, threshold_mode="abs")
CASES = {
    "AE": AE,
    "epoch schedule": partial(AE, lr_scheduler=partial(ExponentialLR, gamma=0.5)),
    "step schedule": SchedulesSteps,
    "two schedules": SchedulesAsLists,
    "plateau": partial(AE, lr_scheduler=plateau),
    "plateau of validation, every second epoch": WatchesEverySecondEpoch,
    "VAE with annealing": partial(VAE, annealing=LinearSchedule(0.9)),
    "GAN": GAN,
    "WAEGAN": WAEGAN,
    "RBM": partial(RBM, latent_dim=8, chains=10),
    "DEC": partial(DEC, clusters=3, pretrain_epochs=1, tolerance=0),
    "PCA": PCA,
    "values logged by step": LogsBySteps,
    "a dict": GivesDict,
    "None at some steps": SkipsSteps,
    "no index": TakesNoIndex,
    "an optimiser with a closure": partial(AE, optimizer=partial(torch.optim.LBFGS, max_iter=3)),
}


def fitted(folder, steps, family=AE, checkpoint=None, callbacks=(), data=None, **settings):
    """A module trained on digits: `trainer, module, calls`, with the learning rate of each epoch as `calls.rates`."""
    seed_everything(0)
    data = data or Digits(limit=N, batch_size=BATCH)
    module = family(input_shape=data.input_shape)
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Rates(), ModelCheckpoint(dirpath=folder, filename="last"), *callbacks],
        **{"max_epochs": 3, "logger": False, **settings},
    )
    with several_steps_a_call(trainer, module, data, steps) as calls:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        taken = calls.steps
    assert data.steps_a_call == 1
    assert "training_step" not in vars(module)
    assert not any(isinstance(callback, Calls) for callback in trainer.callbacks)
    return SimpleNamespace(trainer=trainer, module=module, why=calls.why, steps=taken, rates=Rates.of(trainer))


class Rates(Callback):
    """Learning rate and step count at the beginning of each epoch and at the end."""

    def __init__(self):
        self.seen = []

    def note(self, trainer, pl_module):
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.seen.append((trainer.current_epoch, trainer.global_step, rates))

    on_train_epoch_start = on_validation_start = on_train_epoch_end = on_train_end = note

    @staticmethod
    def of(trainer):
        return next(c for c in trainer.callbacks if isinstance(c, Rates)).seen


def stored(folder):
    """A checkpoint's content without its folder and two counts that Lightning keeps and never reads."""
    content = torch.load(folder / "last.ckpt", weights_only=True)
    loop = content["loops"]["fit_loop"]
    del content["callbacks"], loop["epoch_loop.scheduler_progress"]
    del loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["zero_grad"]
    return content


def same(ours, theirs):
    """Equal to the bit, whatever tensors are within."""
    if isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], value) for key, value in theirs.items())
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize("case", CASES)
def test_calls_train_as_single_steps(case, tmp_path):
    ours = fitted(tmp_path / "ours", 16, CASES[case])
    theirs = fitted(tmp_path / "theirs", 1, CASES[case])
    assert (ours.steps, theirs.steps, ours.why) == (16, 1, "")
    assert ours.trainer.num_training_batches == 2
    assert theirs.trainer.num_training_batches == 19
    assert ours.trainer.global_step == theirs.trainer.global_step >= 19
    assert same(ours.module.state_dict(), theirs.module.state_dict())
    assert same(dict(ours.trainer.callback_metrics), dict(theirs.trainer.callback_metrics))
    assert ours.rates == theirs.rates
    assert len(ours.rates) >= 4
    mine, own = stored(tmp_path / "ours"), stored(tmp_path / "theirs")
    assert own["global_step"] == theirs.trainer.global_step
    for key, value in own.items():
        assert same(mine[key], value), key
    assert ours.module.automatic_optimization == theirs.module.automatic_optimization


def test_schedules_move_the_learning_rate_as_they_should(tmp_path):
    """What the comparison above rests on: each schedule does something within these epochs."""
    rates = {}
    for name in ("epoch schedule", "step schedule", "two schedules", "plateau"):
        rates[name] = [r for _, _, (r,) in fitted(tmp_path / name, 16, CASES[name]).rates]
    assert rates["epoch schedule"][-1] == pytest.approx(1e-3 * 0.5**3)
    assert rates["step schedule"][-1] == pytest.approx(1e-3 * 0.9**18)  # every third of 19 steps, 3 times
    assert rates["two schedules"][-1] == pytest.approx(1e-3 * 0.5**3 * 0.99**57)
    assert rates["plateau"][-1] == pytest.approx(1e-3 * 0.5**2)  # the first value is the best


@pytest.mark.parametrize(("limit", "workers"), [(16 * BATCH, 0), (19 * BATCH, 0), (32 * BATCH, 0), (19 * BATCH, 1)])
def test_order_of_samples_in_every_epoch_is_that_of_single_steps(limit, workers, tmp_path):
    """Also if the batches divide the samples evenly and the calls do not, or both do."""
    data = {"limit": limit, "batch_size": BATCH, "num_workers": workers}
    ours, theirs = (fitted(tmp_path / str(steps), steps, data=Digits(**data)) for steps in (16, 1))
    assert (ours.steps, theirs.steps) == (16, 1)
    assert same(ours.module.state_dict(), theirs.module.state_dict())


@pytest.mark.parametrize("case", ["VAE with annealing", "plateau", "GAN", "step schedule"])
def test_training_goes_on_the_same_from_either_kind_of_checkpoint(case, tmp_path):
    for steps in (1, 16):
        fitted(tmp_path / f"{steps}", steps, CASES[case], max_epochs=2)
    ends = {}
    for first in (1, 16):
        for then in (1, 16):
            folder = tmp_path / f"{first} {then}"
            checkpoint = tmp_path / f"{first}" / "last.ckpt"
            ends[first, then] = fitted(folder, then, CASES[case], checkpoint, max_epochs=4)
            assert ends[first, then].steps == then
            ends[first, then].stored = stored(folder)
    own = ends[1, 1]
    assert own.trainer.current_epoch == 4
    for end in ends.values():
        assert end.trainer.global_step == own.trainer.global_step == 4 * 19 * len(own.trainer.optimizers)
        assert end.rates == own.rates
        assert same(end.module.state_dict(), own.module.state_dict())
        assert same(dict(end.trainer.callback_metrics), dict(own.trainer.callback_metrics))
        for key in ("state_dict", "global_step", "epoch", "optimizer_states", "lr_schedulers"):
            assert same(end.stored[key], own.stored[key]), key
        batches = end.stored["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        assert batches == own.stored["loops"]["fit_loop"]["epoch_loop.batch_progress"]


def test_training_goes_on_from_within_an_epoch_by_single_steps(tmp_path):
    every_5 = ModelCheckpoint(dirpath=tmp_path, filename="within-{step}", every_n_train_steps=5, save_top_k=-1)
    fitted(tmp_path, 16, callbacks=[every_5], max_epochs=1)
    within = tmp_path / "within-step=15.ckpt"
    assert torch.load(within, weights_only=True)["global_step"] == 15
    ends = [fitted(tmp_path / f"{steps}", steps, checkpoint=within, max_epochs=2) for steps in (1, 16)]
    assert ends[1].steps == 1
    assert ends[1].why == "ckpt_path, which was written within an epoch"
    assert same(ends[1].module.state_dict(), ends[0].module.state_dict())


def test_checkpoint_of_calls_is_one_of_a_plain_trainer(tmp_path):
    """As somebody loads it who has never heard of calls."""
    fitted(tmp_path, 16, max_epochs=2)
    seed_everything(0)
    data = Digits(limit=N, batch_size=BATCH)
    trainer = Trainer(
        default_root_dir=tmp_path / "plain", accelerator="cpu", logger=False, max_epochs=3,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(AE(SHAPE), datamodule=data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert trainer.global_step == 3 * 19


def test_training_twice_with_one_trainer(tmp_path):
    ends = []
    for steps in (1, 16):
        end = fitted(tmp_path / f"{steps}", steps, max_epochs=1)
        end.trainer.fit_loop.max_epochs = 2
        data = end.trainer.datamodule
        with several_steps_a_call(end.trainer, end.module, data, steps) as calls:
            end.trainer.fit(end.module, datamodule=data)
            assert calls.steps == steps
        ends.append(end)
    assert ends[0].trainer.global_step == ends[1].trainer.global_step == 38
    assert same(ends[1].module.state_dict(), ends[0].module.state_dict())


def test_callback_within_a_step_is_called_at_each(tmp_path):
    ends = [fitted(tmp_path / f"{steps}", steps, callbacks=[L1Penalty(0.1), Flips()]) for steps in (1, 16)]
    plain = fitted(tmp_path / "plain", 16)
    assert ends[1].steps == 16
    assert same(ends[1].module.state_dict(), ends[0].module.state_dict())
    assert not same(ends[1].module.state_dict(), plain.module.state_dict())


def test_early_stopping_ends_training_at_the_same_epoch(tmp_path):
    ends = []
    for steps in (1, 16):
        stop = EarlyStopping("val/loss", min_delta=10, patience=1)
        ends.append(fitted(tmp_path / f"{steps}", steps, callbacks=[stop], max_epochs=9))
    assert ends[1].steps == 16
    assert ends[0].trainer.current_epoch == ends[1].trainer.current_epoch == 2
    assert ends[0].trainer.global_step == ends[1].trainer.global_step == 38


# -- where Lightning's own step is kept ------------------------------------------------------------------------------


class EndsEarly(AE):
    def on_train_batch_start(self, batch, batch_idx):
        return -1 if batch_idx == 5 else None


class OwnStep(AE):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)


class AsksHowLong(AE):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * (self.global_step / self.trainer.estimated_stepping_batches)


def one_cycle(optimizer, trainer):
    return OneCycleLR(optimizer, 0.01, total_steps=trainer.estimated_stepping_batches)


class HasItAsked(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        return [optimizer], [{"scheduler": one_cycle(optimizer, self.trainer), "interval": "step"}]


class LooksForTheLast(GAN):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        if self.trainer.is_last_batch:
            self.last = batch_idx


class WatchesSteps(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        config = {"scheduler": schedule, "monitor": "train/loss", "interval": "step", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": config}


class Augments(AE):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = super().on_after_batch_transfer(batch, dataloader_idx)
        return x + 0.1 * torch.randn_like(x), y


class ByStep(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.last = batch_idx


class Checkpoint(ModelCheckpoint):
    def on_train_batch_end(self, *args):
        pass


class Plans(Callback):
    def on_train_start(self, trainer, pl_module):
        self.planned = sum(trainer.num_training_batches for _ in range(trainer.max_epochs))


class OwnLoader(Digits):
    def train_dataloader(self):
        return super().train_dataloader()


BY_STEP = {
    "trainer.gradient_clip_val": {"gradient_clip_val": 0.1},
    "trainer.accumulate_grad_batches": {"accumulate_grad_batches": 2},
    "trainer.precision": {"precision": "bf16-mixed"},
    "trainer.max_steps": {"max_steps": 13, "max_epochs": -1},
    "trainer.min_steps": {"min_steps": 3},
    "trainer.limit_train_batches": {"limit_train_batches": 5},
    "trainer.limit_train_batches ": {"limit_train_batches": 1},  # one batch, where 1.0 is all of them
    "trainer.val_check_interval": {"val_check_interval": 0.5},
    "trainer.val_check_interval ": {"val_check_interval": 1, "max_epochs": 1},
    "trainer.limit_train_batches  ": {"overfit_batches": 2},
    "trainer.profiler": {"profiler": "simple"},
    "trainer.logger": {"logger": "csv", "log_every_n_steps": 5},
    "callback Timer": {"max_time": "00:01:00:00"},
    "callback ModelCheckpoint": {"callbacks": lambda: [ModelCheckpoint(every_n_train_steps=7)]},
    "callback Checkpoint": {"callbacks": lambda: [Checkpoint()]},
    "callback LearningRateMonitor": {"logger": "csv", "callbacks": lambda: [LearningRateMonitor()]},
    "callback ByStep": {"callbacks": lambda: [ByStep()]},
    "model.on_train_batch_start": {"family": EndsEarly, "max_epochs": 1},
    "model.optimizer_step": {"family": OwnStep},
    "model.on_after_batch_transfer": {"family": Augments},
    "model.lr_scheduler": {"family": WatchesSteps},
    "trainer.estimated_stepping_batches": {"family": HasItAsked},
    "trainer.estimated_stepping_batches in AsksHowLong": {"family": AsksHowLong},
    "trainer.is_last_batch in LooksForTheLast": {"family": LooksForTheLast},
    "trainer.num_training_batches in Plans": {"callbacks": lambda: [Plans()], "max_epochs": 1},
    "data.train_dataloader": {"data": lambda: OwnLoader(limit=N, batch_size=BATCH)},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("why", BY_STEP)
def test_lightnings_own_step_is_kept(why, tmp_path):
    settings = {"max_epochs": 1, **BY_STEP[why]}
    ends = []
    for steps in (None, 1):
        folder = tmp_path / f"{steps}"
        made = {name: make() for name, make in settings.items() if name in ("callbacks", "data")}
        if settings.get("logger") == "csv":
            made["logger"] = CSVLogger(folder)
        ends.append(fitted(folder, steps, **{**settings, **made}))
    ours, theirs = ends
    assert ours.steps == 1
    if "logger" not in settings or "callback" not in why:  # the logger is named first
        assert ours.why == why.strip()
    assert ours.trainer.global_step == theirs.trainer.global_step
    assert same(ours.module.state_dict(), theirs.module.state_dict())
    assert same(dict(ours.trainer.callback_metrics), dict(theirs.trainer.callback_metrics))


def wrapped(function):
    @wraps(function)
    def outer(*args):
        return function(*args)

    return outer


class InAProperty(Callback):
    planned = property(lambda self: self.trainer.estimated_stepping_batches)


class InALambda(Callback):
    def on_train_start(self, trainer, pl_module):
        self.share = lambda: [trainer.global_step / n for n in [trainer.num_training_batches]]


class InADecorator(Callback):
    @wrapped
    def on_train_epoch_end(self, trainer, pl_module):
        self.last = trainer.is_last_batch


class InAStaticMethod(Callback):
    on_train_start = staticmethod(lambda trainer, pl_module: print(trainer.num_training_batches))


class Inherits(Plans):
    num_training_batches = 3  # of its own


@pytest.mark.parametrize("cls", [Plans, InAProperty, InALambda, InADecorator, InAStaticMethod, Inherits])
def test_the_trainers_counts_are_found_wherever_a_callback_reads_them(cls):
    (name,) = counts_read_by(cls())
    assert name in ("num_training_batches", "estimated_stepping_batches", "is_last_batch")


def test_callbacks_that_read_no_counts_leave_the_fast_loop():
    for callback in (ByStep(), Checkpoint(), ModelCheckpoint(), LearningRateMonitor()):
        assert not [*counts_read_by(callback)]


def test_one_step_a_call_is_lightnings_own(tmp_path):
    assert fitted(tmp_path, 1, max_epochs=1).trainer.num_training_batches == 19


def test_number_of_steps_below_1_is_refused(tmp_path):
    with pytest.raises(SettingError, match="--steps_per_call is 0: it must be at least 1"):
        fitted(tmp_path, 0)


# -- what a step returns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [{"los": torch.zeros(())}, "text"])
@pytest.mark.parametrize("steps", [1, 16])
def test_result_without_a_loss_is_refused(tmp_path, result, steps):
    class Forgets(AE):
        def training_step(self, batch, batch_idx):
            return result

    with pytest.raises(
        MisconfigurationException, match=r"training_step. (returns a dict|must return)|(dict|str) without"
    ):
        fitted(tmp_path, steps, Forgets)


def test_skipped_steps_are_counted_and_change_nothing(tmp_path):
    class Skips(AE):
        def training_step(self, batch, batch_idx):
            return None

    end = fitted(tmp_path, 16, Skips, max_epochs=1)
    seed_everything(0)
    assert end.trainer.global_step == 19
    assert same(end.module.state_dict(), AE(SHAPE).state_dict())


# -- how much memory a call takes ------------------------------------------------------------------------------------


class Large(BaseDataModule):
    """Few samples of many floats."""

    name = "large"
    input_shape = (2**17,)
    num_classes = 0

    def load(self):
        part = ArrayDataset(torch.zeros(20, *self.input_shape).half(), torch.full((20,), -1))
        return Splits(part, part, part)


class Sizes(Callback):
    per_step = False

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(len(batch.x))


class Cheap(AE):
    """Takes no time, whatever the size of a sample."""

    def training_step(self, batch, batch_idx):
        return self.weight.square() + 0 * batch.x[:, 0].sum()

    def configure_optimizers(self):
        self.weight = torch.nn.Parameter(torch.ones(()))
        return torch.optim.SGD([self.weight], 0.1)


@pytest.mark.parametrize(("size", "seen"), [(2, [16, 4]), (4, [16, 4]), (8, [16, 4]), (16, [16, 4]), (20, [20])])
def test_samples_of_a_call_are_bounded_in_bytes(tmp_path, size, seen):
    """8 MiB hold 16 of these samples as floats; a batch that is larger comes alone."""
    sizes = Sizes()
    data = Large(batch_size=size, eval_batch_size=20)
    family = partial(Cheap, encoder=lambda *args: torch.nn.Identity(), decoder=lambda *args: torch.nn.Identity())
    end = fitted(tmp_path, None, family, data=data, callbacks=[sizes], max_epochs=1, limit_val_batches=0)
    assert sizes.seen == seen
    assert end.steps == max(1, 16 // size)
    assert end.trainer.global_step == -(-20 // size)


def test_small_samples_come_16_batches_at_a_time(tmp_path):
    sizes = Sizes()
    assert fitted(tmp_path, None, callbacks=[sizes], max_epochs=1).steps == 16
    assert sizes.seen == [256, 34]


def is_flushed():
    return (torch.tensor(2.0**-120, dtype=torch.float32) * 2.0**-10).item() == 0


def test_subnormal_numbers_are_zeros_while_a_model_is_trained(tmp_path):
    """In the means of Adam, where inactive units leave them, they took a processor ten times as long."""
    found = []
    noted = LambdaCallback(on_train_batch_end=lambda *_: found.append(is_flushed()))
    fitted(tmp_path, None, callbacks=[noted], max_epochs=1)
    assert set(found) == {True}
    assert not is_flushed()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("before", [False, True])
def test_subnormal_numbers_are_treated_as_before_once_training_has_ended_or_failed(before, dtype):
    torch.set_flush_denormal(before)
    torch.set_default_dtype(dtype)
    try:
        with suppress(KeyboardInterrupt), fast_training():
            assert is_flushed()
            raise KeyboardInterrupt
        assert is_flushed() is before
    finally:
        torch.set_flush_denormal(False)
        torch.set_default_dtype(torch.float32)
