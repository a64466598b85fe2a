"""The checkpoint from which a training can go on is written at most once a second, and always at its end."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

from lit_ae import tracking
from lit_ae.callbacks.training import last_checkpoint
from lit_ae.callbacks.training.last_checkpoint import LastCheckpoint
from lit_ae.data.digits import Digits
from lit_ae.models import AE

HERE = f"--trainer.callbacks+={__name__}"


@pytest.fixture
def written(monkeypatch):
    """The epochs after which a checkpoint has been written."""
    epochs, save = [], LastCheckpoint._save_checkpoint
    monkeypatch.setattr(last_checkpoint, "time", SimpleNamespace(monotonic=lambda: 0.0))  # no time passes

    def record(self, trainer, path):
        epochs.append(trainer.current_epoch + 1)
        save(self, trainer, path)

    monkeypatch.setattr(LastCheckpoint, "_save_checkpoint", record)
    return epochs


class StopAt(Callback):
    """Ends the training in the third epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == 2


class KillAt(Callback):
    """Ends the process in the sixth epoch, as far as the training can tell."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 5:
            raise RuntimeError("killed")


def last(run):
    return torch.load(tracking.last_checkpoint(run.id), weights_only=True)


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.max_epochs=5"],
        ["--trainer.max_epochs=-1", "--trainer.max_steps=5"],
        ["--trainer.max_epochs=5", f"{HERE}.StopAt"],
    ],
)
def test_first_and_last_epoch_are_kept_however_the_training_ends(store, lit_ae, settings, written, options):
    assert lit_ae("fit", *settings("ae"), *options) == 0
    content = last(tracking.search("lit_ae")[0])
    assert written == [1, content["epoch"] + 1]
    assert content["epoch"] + 1 == (3 if options[-1].endswith("StopAt") else 5)


def test_weights_of_the_last_epoch_are_kept_if_it_is_not_validated(store, lit_ae, settings):
    assert lit_ae("fit", *settings("ae"), "--trainer.max_epochs=5", "--trainer.check_val_every_n_epoch=2") == 0
    run = tracking.search("lit_ae")[0]
    assert run.tags["scored_weights"] == "last checkpoint (epoch 5, step 5)"


def test_with_0_seconds_there_is_one_after_every_epoch(store, lit_ae, settings, written, tmp_path):
    each = tmp_path / "each.yaml"
    each.write_text("trainer: {callbacks: [{class_path: LastCheckpoint, init_args: {seconds: 0}}]}")
    assert lit_ae("fit", *settings("ae"), "--config", str(each), "--trainer.max_epochs=4") == 0
    assert written == [1, 2, 3, 4]


def test_a_killed_training_goes_on_from_epochs_before_and_ends_the_same(store, lit_ae, settings, written):
    fit = ("fit", *settings("ae"), "--trainer.max_epochs=8")
    assert lit_ae(*fit) == 0
    whole = tracking.search("lit_ae")[0]
    with pytest.raises(RuntimeError, match="killed"):
        lit_ae(*fit, f"{HERE}.KillAt")
    killed = tracking.search("lit_ae")[0]
    assert last(killed)["epoch"] == 0
    assert lit_ae(*fit, f"--run_id={killed.id}", "--ckpt_path=last") == 0
    assert killed.id != whole.id
    assert all(
        torch.equal(a, b) for a, b in zip(*(last(r)["state_dict"].values() for r in (whole, killed)), strict=True)
    )
    for key in ("train/loss", "val/loss"):
        assert tracking.get_run(killed.id).history(key) == whole.history(key)


def test_what_changes_at_the_end_of_an_epoch_is_kept_where_it_ends_with_a_validation(tmp_path):
    """The average is renewed after the validation: the epoch's checkpoint holds the newer one."""
    for seconds in (0.0, 3600.0):
        data, callback = Digits(limit=48, batch_size=16), LastCheckpoint(seconds=seconds)
        callback.dirpath = str(tmp_path / f"{seconds}")
        average = EMAWeightAveraging(update_starting_at_epoch=0, update_every_n_steps=0)
        trainer = Trainer(
            max_epochs=3, val_check_interval=3, callbacks=[average, callback], accelerator="cpu", logger=False,
            num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(AE(input_shape=data.input_shape), datamodule=data)
        content = torch.load(tmp_path / f"{seconds}" / "last.ckpt", weights_only=True)
        assert content["averaging_state"]["n_averaged"] == 3
