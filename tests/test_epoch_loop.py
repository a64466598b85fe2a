"""Our loop over an epoch against Lightning's own: the same weights, metrics, hooks and counters."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

from lit_ae.data.digits import Digits
from lit_ae.epoch_loop import HOOKS, EpochLoop, is_straight
from lit_ae.likelihoods import Gaussian
from lit_ae.models.ae import AE
from lit_ae.nets import MLPDecoder, MLPEncoder


class Recorder(Callback):
    """Which hooks are called, with which batch, at which step."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.straight: bool | None = None

    def on_train_start(self, trainer, pl_module) -> None:
        self.straight = is_straight(trainer)

    def on_validation_start(self, trainer, pl_module) -> None:
        self.calls.append(("validation", trainer.global_step))

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.calls.append(("epoch end", trainer.global_step, trainer.current_epoch))


def _record(name: str, self: Recorder, trainer, pl_module, *args) -> None:
    seen = [a.x.sum().item() for a in args if hasattr(a, "x")]  # the batch
    seen += [a["loss"].item() for a in args if isinstance(a, dict)] + [a for a in args if isinstance(a, int)]
    self.calls.append((name, trainer.global_step, trainer.fit_loop.epoch_loop.batch_idx, *seen))


for hook in HOOKS:
    setattr(Recorder, hook, lambda self, *args, name=hook: _record(name, self, *args))


class LogsBySteps(AE):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("by_step", loss)
        self.log("by_epoch", loss, on_step=False, on_epoch=True)
        return loss


class EndsEarly(AE):
    def on_train_batch_start(self, batch, batch_idx):
        return -1 if batch_idx == 5 else None


class SchedulesSteps(AE):
    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def trained(loop: type[_TrainingEpochLoop], folder, family: type[AE] = AE, settings=None, checkpoint=None):
    seed_everything(0)
    data = Digits(limit=600, batch_size=64)
    module = family(
        data.input_shape,
        8,
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        encoder=partial(MLPEncoder, widths=[32]),
        decoder=partial(MLPDecoder, widths=[32]),
        likelihood=Gaussian(),
    )
    recorder = Recorder()
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder, ModelCheckpoint(dirpath=folder, save_last=True)],
        **{"max_epochs": 2, **(settings or {})},
    )
    own = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = loop(trainer, own.min_steps, own.max_steps)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer, module, recorder


CASES: dict[str, tuple[type[AE], dict[str, Any], bool]] = {
    "plain": (AE, {}, True),
    "bfloat16": (AE, {"precision": "bf16-mixed"}, True),
    "validation within an epoch": (AE, {"val_check_interval": 0.5}, True),
    "validation every 3 steps": (AE, {"val_check_interval": 3, "check_val_every_n_epoch": None}, True),
    "some batches": (AE, {"limit_train_batches": 4}, True),
    "steps that end within an epoch": (AE, {"max_steps": 13}, True),
    "values logged by step": (LogsBySteps, {}, True),
    "an epoch that ends early": (EndsEarly, {"max_epochs": 1}, True),
    "schedule by step": (SchedulesSteps, {}, True),
    "clipping": (AE, {"gradient_clip_val": 0.1}, False),
    "accumulation": (AE, {"accumulate_grad_batches": 2}, False),
    "profiler": (AE, {"profiler": "simple"}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_loop_trains_as_lightnings_own(case, tmp_path):
    family, settings, straight = CASES[case]
    ours, our_module, our_calls = trained(EpochLoop, tmp_path / "ours", family, settings)
    theirs, their_module, their_calls = trained(_TrainingEpochLoop, tmp_path / "theirs", family, settings)
    assert our_calls.straight is straight
    assert len(our_calls.calls) > 10
    assert our_calls.calls == their_calls.calls
    for name, value in their_module.state_dict().items():
        assert torch.equal(our_module.state_dict()[name], value), name
    assert ours.global_step == theirs.global_step
    assert ours.callback_metrics.keys() == theirs.callback_metrics.keys()
    for name, value in theirs.callback_metrics.items():
        assert ours.callback_metrics[name] == value, name
    mine, own = ours.fit_loop.epoch_loop.state_dict(), theirs.fit_loop.epoch_loop.state_dict()
    assert mine == own


def test_training_goes_on_from_a_checkpoint_as_lightnings_own(tmp_path):
    ends = []
    for loop in (EpochLoop, _TrainingEpochLoop):
        folder = tmp_path / loop.__name__
        trained(loop, folder)
        ends.append(trained(loop, folder, settings={"max_epochs": 3}, checkpoint=folder / "last.ckpt"))
    (ours, our_module, our_calls), (theirs, their_module, their_calls) = ends
    assert ours.global_step == theirs.global_step
    assert our_calls.calls == their_calls.calls
    assert all(torch.equal(our_module.state_dict()[k], value) for k, value in their_module.state_dict().items())


def test_step_without_a_loss_is_refused(tmp_path):
    class Forgets(AE):
        def training_step(self, batch, batch_idx):
            return None

    with pytest.raises(TypeError, match="training_step of Forgets returns None: it must return a loss"):
        trained(EpochLoop, tmp_path, Forgets)
