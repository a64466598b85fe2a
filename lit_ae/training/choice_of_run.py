"""Which MLflow run a command belongs to, and which of its checkpoints it loads."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.training.run_settings import stored_hash

NAMED = ("last", "best")  # checkpoints that --ckpt_path may name instead of a file


@dataclass(frozen=True)
class Wanted:
    """What the command line says about the run, and what identifies it if it says nothing.

    Attributes:
        subcommand: `fit`, `validate`, `test` or `predict`.
        experiment: MLflow experiment of the run.
        own_hash: of model, data and seed.
        tags: those of data and seed, for runs that are older than the tag of the hash.
        run_id: --run_id.
        ckpt_path: --ckpt_path: a file, or one of `NAMED`.
        resume: --resume.
    """

    subcommand: str
    experiment: str
    own_hash: str
    tags: Mapping[str, str]
    run_id: str | None
    ckpt_path: str | None
    resume: bool = False

    def find(self) -> str | None:
        """The run's id; None for a new run.

        Raises:
            SettingError: there is no such run, or none with these settings and a checkpoint, or another process is
                working on the one that is named.
        """
        named = self.ckpt_path is not None and self.ckpt_path not in NAMED
        by = read_checkpoint(Path(str(self.ckpt_path))).get("run_id") if named else None
        if self.run_id is not None:
            if by and by != self.run_id:
                raise SettingError(
                    f"--ckpt_path {self.ckpt_path} is of run {by}, and --run_id is {self.run_id}, which its values "
                    "would be written to: leave one of them out"
                )
            return refuse_of_another(tracking.get_run(self.run_id)).id
        if named:
            return refuse_of_another(self._run_of_checkpoint(by)).id if by else None
        if self.subcommand == "fit" and not (self.resume or self.ckpt_path):
            return None
        runs = self._of_these_settings()
        if self.resume:
            runs = [run for run in runs if _is_unfinished(run) and _can_be_read(run)]
        others = [run for run in runs if _is_of_another(run)]
        trained = next((run for run in runs if _newest(run) and run not in others), None)
        if trained is None and self.resume:
            print("--resume: no unfinished run with these settings has a checkpoint, so training starts in a new run")
            return None
        if trained is None and others:
            refuse_of_another(others[0])
        if trained is None:
            lacking = f"run {runs[0].id}, trained with these settings, has no checkpoint" if runs else (
                "no run in this store was trained with these settings"
            )  # fmt: skip
            raise SettingError(
                f"{self.subcommand} needs a trained model, and {lacking}: run `lit-ae fit` with them first, or give "
                "--run_id or --ckpt_path"
            )
        what = "the newest with this model, these data and this seed"
        rank_zero_only(print)(f"{self.subcommand}: run {trained.id}, {what}")
        return trained.id

    def _run_of_checkpoint(self, run_id: str) -> tracking.Run:
        """The run that a checkpoint names.

        Raises:
            SettingError: this store does not have it.
        """
        try:
            return tracking.get_run(run_id)
        except SettingError as error:
            raise SettingError(
                f"--ckpt_path {self.ckpt_path} is of run {run_id}, which {tracking.store_uri()} does not have: set "
                "MLFLOW_TRACKING_URI to its store, run in the folder of that store, or set --trainer.logger=false"
            ) from error

    def _of_these_settings(self) -> list[tracking.Run]:
        """Finished runs first, and newer ones before older ones; before all, what the first process has taken up."""
        runs = tracking.search(self.experiment, config_hash=self.own_hash) or [
            run for run in tracking.search(self.experiment, **self.tags) if stored_hash(run) == self.own_hash
        ]
        return sorted(runs, key=lambda run: (not _is_of_the_first(run), run.status != "FINISHED"))

    def checkpoint(self, run_id: str | None) -> Path | None:
        """The checkpoint to load; None: training starts with untrained weights.

        Raises:
            SettingError: there is no such checkpoint.
        """
        if self.ckpt_path is not None and self.ckpt_path not in NAMED:
            return Path(self.ckpt_path)
        if run_id is None:
            if self.subcommand != "fit":
                raise SettingError(f"{self.subcommand} of an untracked run needs --ckpt_path: the weights to load")
            if self.ckpt_path:
                raise SettingError(
                    f"--ckpt_path is {self.ckpt_path}, which names a checkpoint of a tracked run: give a file"
                )
            return None
        run = tracking.get_run(run_id)
        last = _newest(run)
        if self.ckpt_path == "best" and not run.tags.get("scored_weights", "").startswith("best"):
            raise SettingError(
                f"--ckpt_path is best, but run {run_id} watched no value for its checkpoints: give "
                "--ckpt_path=last, or train with a ModelCheckpoint that has a `monitor`"
            )
        if self.ckpt_path == "last" or (self.subcommand == "fit" and self.ckpt_path is None):
            found = last
        else:
            found = run.checkpoint
        if found is None and (self.subcommand != "fit" or self.ckpt_path):
            return tracking.last_checkpoint(run_id)  # which says that there is none
        return found


def _newest(run: tracking.Run) -> Path | None:
    """The checkpoint that a training goes on from: `last.ckpt`, or what one's own ModelCheckpoint has written last."""
    if found := run.artifact("checkpoints/last.ckpt") or run.checkpoint:
        return found
    return max(tracking.checkpoint_folder(run.id).glob("*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)


def _can_be_read(run: tracking.Run) -> bool:
    """Whether the checkpoint that its training would go on from is whole; a line tells if it is damaged."""
    path = _newest(run)
    try:
        if path is not None:
            read_checkpoint(path)
    except SettingError as error:
        print(f"--resume leaves run {run.id} out: {error}")
        return False
    return True


def refuse_of_another(run: tracking.Run) -> tracking.Run:
    """The run itself, unless another process is working on it, which would end with its status and its checkpoints.

    Raises:
        SettingError: one is; the message names it.
    """
    if _is_of_another(run):
        raise SettingError(
            f"{tracking.owner_name(run.tags)} is working on run {run.id}: wait until it has ended, or stop it; a "
            "checkpoint of it can meanwhile be tested by --trainer.logger=false --ckpt_path=FILE"
        )
    return run


def _is_unfinished(run: tracking.Run) -> bool:
    return run.status in ("KILLED", "FAILED") or _is_of_the_first(run)


def _is_of_another(run: tracking.Run) -> bool:
    """Whether another process is working on a run, which is none of this training."""
    return _is_held(run) and not _is_further_process()


def _is_of_the_first(run: tracking.Run) -> bool:
    """Whether this is a further process of a training or test, and the first one has taken up the run already."""
    return _is_held(run) and _is_further_process()


def _is_held(run: tracking.Run) -> bool:
    return run.status == "RUNNING" and tracking.is_alive(run.tags) and not tracking.is_own(run.tags)


def _is_further_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) != 0 or os.environ.get("NODE_RANK", "0") != "0"


def status_of_training(run_id: str | None) -> str:
    """The status that a run's training ended with; empty for no run. Of one that was killed at once it is not known."""
    if run_id is None:
        return ""
    run = tracking.get_run(run_id)
    return run.status if run.status != "RUNNING" else "FINISHED" if "trained" in run.tags else "KILLED"


def refuse_without_more(trainer: Trainer, content: Mapping[str, Any], run_id: str | None) -> None:
    """Refuse to go on with a finished run whose training has reached the end that the settings give.

    Raises:
        SettingError: it has; the message names the setting to raise.
    """
    if (
        run_id is None
        or tracking.get_run(run_id).status != "FINISHED"
        or not {"epoch", "global_step"} <= content.keys()
    ):
        return
    epochs, steps = content["epoch"] + 1, content["global_step"]
    for setting, done, end in (("epochs", epochs, trainer.max_epochs), ("steps", steps, trainer.max_steps)):
        if end is not None and 0 <= end <= done:
            raise SettingError(
                f"run {run_id} is finished, after {done} {setting}: set --trainer.max_{setting} above {done} to train "
                "it further, or leave --run_id and --ckpt_path out for a new run"
            )
