"""`lit-ae fit | validate | test | predict`: stock LightningCLI over stacked YAML, tracked in MLflow."""

import hashlib
import importlib
import logging
import os
import pkgutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.trainer.states import TrainerFn

import lit_ae.callbacks
import lit_ae.data
import lit_ae.models
import lit_ae.nets
import lit_ae.samplers
from lit_ae import machine, tracking
from lit_ae.config_errors import explained, refused
from lit_ae.config_files import config_folder
from lit_ae.data.base import SPLITS, BaseDataModule
from lit_ae.epoch_loop import EpochLoop, NoProfiler
from lit_ae.errors import SettingError
from lit_ae.models.base import TrackedModule
from lit_ae.run_logger import RunLogger, run_logger

warnings.filterwarnings("ignore", ".*does not have many workers.*")
warnings.filterwarnings("ignore", ".*IterableDataset.*__len__.*")
warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec..*")
warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # terms are logged by the epoch
warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # values come to the logger as one over all processes
warnings.filterwarnings("ignore", ".*intended to run from within Python.*")  # sys.argv is kept: ddp needs it
logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda r: "litlogger" not in r.getMessage())


if not torch.cuda.is_available():
    # Lightning has PyTorch look for GPUs by NVML, whose library every step of an optimiser would then search for anew
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def import_all(package: Any) -> None:
    """Import a package's modules, so that their classes go by bare name in YAML and on the command line."""
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


for _package in (lit_ae.data, lit_ae.nets, lit_ae.models, lit_ae.samplers, lit_ae.callbacks):
    import_all(_package)


class Tracking(Callback):
    """Connects a training run to its MLflow run: checkpoints with the run's id, config, data set, machine."""

    def __init__(self, config: str) -> None:
        self.config = config

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put checkpoints beside the run's artifacts and describe the run."""
        logger = run_logger(trainer)
        run_id = trainer.strategy.broadcast(logger.run_id if logger else None)
        for callback in trainer.checkpoint_callbacks:
            if run_id and isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(tracking.checkpoint_folder(run_id))
        if logger and logger.run_id and trainer.is_global_zero and stage == "fit":
            tracking.log_text(logger.run_id, self.config, "config.yaml")
            logger.log_json(machine.environment(), "environment.json")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the data set, which is loaded by now."""
        logger, data = run_logger(trainer), trainer.datamodule  # type: ignore[attr-defined]
        if logger and logger.run_id and trainer.is_global_zero and isinstance(data, BaseDataModule):
            sizes = {str(name): len(data.split(name)) for name in SPLITS}
            tracking.log_dataset(logger.run_id, data.name, data.digest(), "train", sizes)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let `test` find the run."""
        logger = run_logger(trainer)
        checkpoint["run_id"] = logger.run_id if logger else None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Give a test or validation on its own the epoch that it has after training, or an earlier one looks later."""
        logger = run_logger(trainer)
        if logger and trainer.state.fn in (TrainerFn.TESTING, TrainerFn.VALIDATING):
            logger.epochs_before = checkpoint["epoch"] + (trainer.state.fn == TrainerFn.TESTING)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand checkpoints to a store that lies elsewhere."""
        logger = run_logger(trainer)
        if logger and logger.run_id and trainer.is_global_zero:
            tracking.upload_checkpoints(logger.run_id)


class AutoencoderCLI(LightningCLI):
    """LightningCLI in subclass mode, with the data module's shape linked to the model and an MLflow run around it.

    Args:
        args: subcommand and settings, as on the command line.
        run_id: run to write to; made, or found through the checkpoint, where None.
        then_test: test in the same run once `fit` is through.
    """

    def __init__(self, args: Sequence[str], run_id: str | None = None, then_test: bool = False) -> None:
        self.run_id, self.then_test = run_id, then_test
        self.requested = next((a for a in args if a in LightningCLI.subcommands()), "fit")
        defaults = {"default_config_files": [str(config_folder() / "defaults.yaml")], "exit_on_error": False}
        super().__init__(
            TrackedModule,
            BaseDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            subclass_mode_model=True,
            subclass_mode_data=True,
            load_from_checkpoint_support=False,
            auto_configure_optimizers=False,
            parser_kwargs={"exit_on_error": False, self.requested: defaults},
            args=list(args),
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that is asked for: each subcommand's parser takes seconds to build."""
        return {self.requested: LightningCLI.subcommands()[self.requested]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Settings of the run, and what the model learns from the data module."""
        parser.add_argument("--experiment", type=str, default="lit_ae", help="MLflow experiment of a new run")
        parser.add_argument("--run_name", type=str | None, default=None, help="name of a new run")
        parser.add_argument(
            "--run_id",
            type=str | None,
            default=None,
            help="MLflow run to go on with; `test` alone takes its last checkpoint, too",
        )
        parser.link_arguments("data.input_shape", "model.init_args.input_shape", apply_on="instantiate")
        parser.link_arguments("data.num_classes", "model.init_args.num_classes", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and say in one line what cannot be parsed."""
        with explained(args, self._subcommand_parsers[self.requested]):
            super().parse_arguments(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Checkpoints hold no settings: YAML is the one source of them."""

    # -- the MLflow run -----------------------------------------------------------------------------------------

    def _resolved(self) -> str:
        self._dump_config()
        return yaml.safe_dump(self.config_dump, sort_keys=False)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with the run's logger, unless YAML names one or switches logging off."""
        if self._get(self.config_init, "trainer.logger") in (None, True):
            kwargs["logger"] = RunLogger()
        if self._get(self.config_init, "trainer.profiler") is None:
            kwargs["profiler"] = NoProfiler()
        extra: list[Callback] = [Tracking(self._resolved())]
        if self._get(self.config_init, "trainer.enable_progress_bar") is not False:
            extra.append(TQDMProgressBar(refresh_rate=50))  # drawing at every step would take a tenth of the time
        self.trainer_defaults["callbacks"] = extra
        with refused("trainer"):
            trainer = super().instantiate_trainer(**kwargs)
        loop = trainer.fit_loop.epoch_loop
        trainer.fit_loop.epoch_loop = EpochLoop(trainer, loop.min_steps, loop.max_steps)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        logger = run_logger(self.trainer)
        if logger is None:
            self._execute(subcommand)
            return
        logger.run_id = self.run_id or self._find_run(subcommand)  # on every rank: its weights are wanted
        self._checkpoint(subcommand)  # one that does not fit is refused before a run is touched
        if getattr(rank_zero_only, "rank", 0) != 0:
            self._execute(subcommand)
            return
        logger.run_id = logger.run_id or self._create_run()
        with tracking.run_status(logger.run_id):
            self._execute(subcommand)
        if subcommand == "fit" and not self.run_id:
            print(f"run finished; to score it: lit-ae test (the same settings) --run_id {logger.run_id}")

    def _execute(self, subcommand: str) -> None:
        logger = run_logger(self.trainer)
        if logger and logger.run_id:
            logger.log_hyperparams(dict(flat(self.config_dump)))
        if subcommand == "fit":
            with set_aside(self.trainer):
                super()._run_subcommand(subcommand)
            if logger and logger.run_id and self.trainer.is_global_zero:
                tracking.set_tags(logger.run_id, {"trained": "true"})
        else:
            super()._run_subcommand(subcommand)
        if self.then_test and subcommand == "fit":
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        return {**kwargs, "weights_only": True, "ckpt_path": self._checkpoint(subcommand)}

    def _checkpoint(self, subcommand: str) -> str | None:
        """Where to start from, readable and of this model: --ckpt_path, else the run's last but for `fit`."""
        path = self._get(self.config, "ckpt_path")
        logger = run_logger(self.trainer)
        if path is None and subcommand != "fit" and logger and logger.run_id:
            path = tracking.last_checkpoint(logger.run_id)
        if path is None and subcommand != "fit" and logger is None:
            raise SettingError(f"{subcommand} of an untracked run needs --ckpt_path: the weights to load")
        if path is None:
            return None
        self.model.on_load_checkpoint(read_checkpoint(Path(path)))
        return str(path)

    def _find_run(self, subcommand: str) -> str | None:
        if run_id := self._get(self.config, "run_id"):
            return tracking.get_run(run_id).id
        if path := self._get(self.config, "ckpt_path"):
            found = read_checkpoint(Path(path)).get("run_id")
            return tracking.get_run(found).id if found else None
        if subcommand == "fit":
            return None
        runs = tracking.search(self._get(self.config, "experiment"), config_hash=self._hash())
        if not runs:
            raise SettingError(
                f"{subcommand} needs a trained model, and no run in this store was trained with these settings: "
                "run `lit-ae fit` with them first, or give --run_id or --ckpt_path"
            )
        return runs[0].id

    def _hash(self) -> str:
        parts = {key: self.config_dump.get(key) for key in ("model", "data", "seed_everything")}
        return settings_hash(parts)

    def _create_run(self) -> str:
        model, seed = type(self.model).__name__, str(self._get(self.config, "seed_everything"))
        tags = {
            "kind": "single",
            "model": model,
            "data": self.datamodule.name,
            "seed": seed,
            "config_hash": self._hash(),
        }
        name = self._get(self.config, "run_name") or f"{model} {self.datamodule.name} seed {seed}"
        return tracking.create_run(self._get(self.config, "experiment"), name, tags)


@contextmanager
def set_aside(trainer: Trainer) -> Iterator[None]:
    """Take callbacks that act at test alone out while training: Lightning calls six hooks a step on each."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    trainer.callbacks = [c for c in callbacks if not getattr(c, "test_only", False)]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        trainer.callbacks = callbacks  # type: ignore[attr-defined]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, loaded without running any code that it may hold.

    Raises:
        SettingError: the file is missing, truncated or holds more than weights.
    """
    if not path.is_file():
        raise SettingError(f"ckpt_path {path} is not a file: give a checkpoint, or --run_id for a run's last one")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SettingError(
            f"ckpt_path {path} cannot be read as a checkpoint ({type(error).__name__}): it is truncated or not one; "
            "train again or give another"
        ) from error
    if not isinstance(content, dict) or not {"state_dict", "pytorch-lightning_version"} <= content.keys():
        raise SettingError(f"ckpt_path {path} is no checkpoint of a training run: give one that `lit-ae fit` wrote")
    return content


def settings_hash(settings: object) -> str:
    """Twelve hexadecimal digits that change with the settings and not with their order or layout."""
    import json

    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) pairs of nested settings; class paths stand for their last name."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name.startswith("trainer.callbacks") or value is None:
            continue
        if isinstance(value, Mapping):
            inner = dict(value)
            if "class_path" in inner:
                yield name, str(inner.pop("class_path")).rsplit(".", 1)[-1]
                inner = inner.pop("init_args", None) or {}
            yield from flat(inner, f"{name}.")
        else:
            yield name, value
