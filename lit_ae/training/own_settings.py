"""The settings of a command that are neither the model's, the data's nor the trainer's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from lit_ae.errors import SettingError
from lit_ae.evaluation.predictions import FORMATS
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.training.faults import config_files, values_of

OF_A_RUN = ("run_id", "run_name", "resume", "figures")  # what they say concerns the MLflow run alone


def add_settings(parser: LightningArgumentParser, subcommand: str) -> None:
    """Add those of `fit`, `validate`, `test` or `predict`."""
    parser.add_argument("--experiment", type=str, default="lit_ae", help="MLflow experiment of a new run")
    parser.add_argument("--run_name", type=str | None, default=None, help="name of a new run")
    parser.add_argument(
        "--run_id",
        type=str | None,
        default=None,
        help="MLflow run to write to; `test` loads the checkpoint that the run is scored with",
    )
    parser.add_argument(
        "--steps_per_call",
        type=int | None,
        default=None,
        help="optimiser steps in a call of training_step; null: up to 16 where possible; 1: Lightning's own step",
    )
    names = "names of the figures to draw, such as [tsne,umap], as PNG; null: all, each also as PDF"
    parser.add_argument("--figures", type=list[str] | None, default=None, help=names)
    if subcommand == "fit":
        parser.add_argument(
            "--resume",
            type=bool,
            default=False,
            help="go on with the newest unfinished run of these settings from its last checkpoint; if there is "
            "none, a new run starts",
        )
    if subcommand == "predict":
        parser.add_argument(
            "--output",
            type=Path | None,
            default=None,
            help=f"file of the predictions, {' or '.join(FORMATS)}; null: predictions-RUN-SPLIT.npz",
        )
        parser.add_argument(
            "--split",
            type=Literal["train", "val", "test", "all"],
            default="test",
            help="samples to predict; all: every sample, those of your own file (--data=Array) in its order",
        )
    if subcommand == "test":
        parser.add_argument(
            "--only_scores",
            type=list[str] | None,
            default=None,
            help="class names of the score callbacks to run, such as [Clustering,LinearProbe]; null, or if the "
            "model's own class is among them: all",
        )


def refuse_of_a_run(settings: Mapping[str, object], why: str) -> None:
    """Refuse the settings that only an MLflow run has, for a command that has none by the setting `why`.

    Raises:
        SettingError: one of them is set.
    """
    found = [f"--{name}" for name in OF_A_RUN if settings.get(name)]
    if found:
        raise SettingError(
            f"{' and '.join(found)} {'need' if found[1:] else 'needs'} an MLflow run, which there is none of with "
            f"{why}: leave out one or the other"
        )


def adapt_defaults(trainer: Any, argv: Sequence[str], with_summary: bool) -> None:
    """Change defaults of the trainer's settings that do not go with those that are given.

    Args:
        trainer: the settings, which are changed in place.
        argv: the command line.
        with_summary: whether a summary of the model is printed, unless a setting says otherwise.
    """
    if trainer.max_steps not in (None, -1) and not is_set("trainer.max_epochs", argv):
        trainer.max_epochs = -1  # the default does not end a training before the steps that are asked for
    if with_summary and not is_set("trainer.enable_model_summary", argv):
        trainer.enable_model_summary = True
    if trainer.enable_checkpointing is False:  # then Lightning takes no callback that writes checkpoints
        trainer.callbacks = [c for c in trainer.callbacks if c.class_path.split(".")[-1] != "LastCheckpoint"]


def is_set(name: str, argv: Sequence[str]) -> bool:
    """Whether a command line sets the setting of this dotted name by itself, in a --config file, or with its group.

    A group is given as in `--trainer FILE` or `--trainer '{max_epochs: 2}'`.
    """
    group, *rest = keys = name.split(".")
    return (
        any(arg.partition("=")[0] == f"--{name}" for arg in argv)
        or any(_holds(read_yaml(path), keys) for path in config_files(argv))
        or any(_holds(_content(value), rest) for value in values_of(argv, f"--{group}"))
    )


def _content(value: str) -> object:
    """What a file holds, or what is given in its place."""
    try:
        return read_yaml(Path(value)) if Path(value).is_file() else yaml.safe_load(value)
    except yaml.YAMLError:  # which the parser says
        return None


def _holds(content: object, keys: Sequence[str]) -> bool:
    if not keys:
        return True
    return isinstance(content, Mapping) and keys[0] in content and _holds(content[keys[0]], keys[1:])
