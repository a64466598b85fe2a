"""What connects Lightning's trainer to an MLflow run."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from lit_ae import tracking
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import SPLITS
from lit_ae.evaluation.access import whole_split_is_scored
from lit_ae.tracking import machine
from lit_ae.tracking.logger import RunLogger, run_logger
from lit_ae.training.scored_weights import described, load_current, load_kept, move_best, store_average


class Tracking(Callback):
    """Stores a run's config, data set, machine and checkpoints in MLflow, and the run's id in the checkpoints.

    When training has ended, the model has the weights of the checkpoint that is kept, with which the run is scored.

    Args:
        config: the resolved settings as YAML.
    """

    def __init__(self, config: str) -> None:
        self.config = config
        self.kept = ""  # what the weights are that this training has kept
        self.loaded = ""  # what the weights are that a separate test has loaded
        self.of_run: str | None = None  # the run that has trained them

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put checkpoints beside the run's artifacts, and log config and machine."""
        logger = run_logger(trainer)
        run_id = trainer.strategy.broadcast(logger.run_id if logger else None)
        for callback in trainer.checkpoint_callbacks:
            if not isinstance(callback, ModelCheckpoint) or callback.dirpath is not None:
                continue
            if run_id:
                callback.dirpath = str(tracking.checkpoint_folder(run_id))
            else:  # all trainings of this folder write to one, where the model of another would be lost
                callback._enable_version_counter = True
        if logger and logger.run_id and trainer.is_global_zero and stage == "fit":
            before = tracking.get_run(logger.run_id).artifact("config.yaml") if logger.resumed_after else None
            if before is not None:
                text = before.read_text(encoding="utf-8")
                tracking.log_text(logger.run_id, text, f"config_until_epoch_{logger.resumed_after}.yaml")
            tracking.log_text(logger.run_id, self.config, "config.yaml")
            logger.log_json(machine.environment(), "environment.json")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the data set, which is loaded by now."""
        logger, data = run_logger(trainer), trainer.datamodule  # type: ignore[attr-defined]
        if logger and logger.run_id and trainer.is_global_zero and isinstance(data, BaseDataModule):
            sizes = {str(name): len(data.split(name)) for name in SPLITS}
            tracking.log_dataset(logger.run_id, data.name, data.digest(), "train", sizes)
            tracking.set_tags(logger.run_id, {tracking.DIGEST: data.digest()})

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the run's id, so that `test --ckpt_path` finds the run, the digest of the data, and averaged weights.

        The values of the epochs before are written first: they would be lost if the training went on from here.
        """
        logger = run_logger(trainer)
        if logger:
            logger.write_held()
        checkpoint["run_id"] = logger.run_id if logger else None
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, BaseDataModule) and trainer.is_global_zero:
            checkpoint[tracking.DIGEST] = data.digest()
        store_average(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Log a separate test or validation under the epoch that the weights are from."""
        logger = run_logger(trainer)
        if logger and trainer.state.fn in (TrainerFn.TESTING, TrainerFn.VALIDATING):
            logger.epochs_before = checkpoint["epoch"] + (trainer.state.fn == TrainerFn.TESTING)
        if trainer.state.fn == TrainerFn.FITTING:
            load_current(trainer, pl_module, checkpoint)
            move_best(trainer, checkpoint)
            if logger and logger.run_id and logger.run_id == checkpoint.get("run_id"):
                _log_lost(logger, checkpoint, trainer)
                logger.known = _logged_later(logger.run_id, checkpoint["epoch"] + 1)
        else:
            self.loaded = described(checkpoint, f"checkpoint {Path(str(trainer.ckpt_path)).name}")
            self.of_run = checkpoint.get("run_id")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the values of the last epochs, from which figures may be drawn."""
        if logger := run_logger(trainer):
            logger.write_held()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the weights that are kept, say which they are, and upload checkpoints to artifacts elsewhere."""
        logger, found = run_logger(trainer), load_kept(trainer, pl_module)
        if logger and logger.run_id and trainer.is_global_zero:
            if found is not None:
                self.kept = found[1]
                name = _within(tracking.checkpoint_folder(logger.run_id), found[0])
                tracking.set_tags(logger.run_id, {"checkpoint": name, "scored_weights": found[1]})
            tracking.upload_checkpoints(logger.run_id)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say which weights are scored, and keep the scores of fewer samples apart from those of the whole split."""
        self._begin(trainer, "test")
        logger = run_logger(trainer)
        if logger and logger.run_id and trainer.is_global_zero:
            weights = self.kept or self._of_an_earlier_training(logger.run_id, trainer)
            logger.log_protocol({"weights": weights.rsplit(" (epoch", 1)[0]}, renewed=())
            if not logger.limited:
                tracking.set_tags(logger.run_id, {"tested_weights": weights})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for a separate validation."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._begin(trainer, "val")

    def _begin(self, trainer: Trainer, stage: str) -> None:
        """Find out whether samples are left out, and from which step on the values of this stage are the newest.

        Those of a validation of all samples are of the epoch that the weights are from, as in training.
        """
        logger = run_logger(trainer)
        if logger is None:
            return
        if isinstance(trainer.datamodule, BaseDataModule):  # type: ignore[attr-defined]
            logger.limited = not whole_split_is_scored(trainer)
        if not (logger.run_id and trainer.is_global_zero):
            return
        own = f"{stage}_limited/" if logger.limited else f"{stage}/"
        if own != "val/":
            run = tracking.get_run(logger.run_id)
            logger.least_step = max((run.history(key)[-1][0] for key in run.metrics if key.startswith(own)), default=0)
        if logger.limited:
            print(
                f"trainer.limit_{stage}_batches leaves samples out: metrics are logged as {own}..., figures as "
                f"limited-..., beside those of the whole {stage} split"
            )

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the wanted figures that nothing draws, such as those whose name is misspelt."""
        logger = run_logger(trainer)
        if not (logger and logger.run_id and logger.wanted and trainer.is_global_zero):
            return
        run = tracking.get_run(logger.run_id)
        unknown = [
            name for name in logger.wanted if name not in logger.offered and not run.artifact(f"figures/{name}.png")
        ]
        if unknown:
            print(
                f"--figures names {', '.join(unknown)}, which none of the run's callbacks draws for these data; they "
                f"draw {', '.join(sorted(logger.offered)) or 'no figure'}"
            )

    def _of_an_earlier_training(self, run_id: str, trainer: Trainer) -> str:
        run, path = tracking.get_run(run_id), Path(str(trainer.ckpt_path)).as_posix()
        kept = "scored_weights" in run.tags and self.of_run == run_id and path.endswith(run.checkpoint_name)
        if trainer.ckpt_path and not kept:
            return self.loaded
        return run.tags.get("scored_weights", "weights at the end of training")


def _within(folder: Path, path: Path) -> str:
    """The path of a checkpoint relative to the folder of its run's checkpoints, into which it is copied if need be."""
    if not path.resolve().is_relative_to(folder.resolve()):
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(shutil.copy2(path, folder))
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _logged_later(run_id: str, epoch: int) -> dict[tuple[str, int], float]:
    """The values of later epochs, which a training that was stopped within one of them has logged: they come again."""
    run = tracking.get_run(run_id)
    keys = [key for key in run.metrics if key.startswith(("train/", "val/"))]
    return {(key, step): value for key in keys for step, value in run.history(key) if step > epoch}


def _log_lost(logger: RunLogger, checkpoint: dict[str, Any], trainer: Trainer) -> None:
    """Log values of an epoch whose training was killed between the checkpoint at its end and their logging."""
    epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    if epoch["processed"] > epoch["completed"]:
        run, values = tracking.get_run(str(logger.run_id)), checkpoint.get("logged", {})
        every = trainer.check_val_every_n_epoch
        validated = every is not None and (checkpoint["epoch"] + 1) % every == 0
        stages = ("train/", "val/") if validated else ("train/",)
        own = {key: value for key, value in values.items() if key.startswith(stages)}
        lost = {key: value for key, value in own.items() if checkpoint["epoch"] + 1 not in dict(run.history(key))}
        logger.log_metrics({**lost, "epoch": checkpoint["epoch"]})
