"""`lit-ae fit | validate | test | predict`: stock LightningCLI over stacked YAML, tracked in MLflow."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import yaml
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

import lit_ae.callbacks
import lit_ae.data
import lit_ae.models
import lit_ae.nets
import lit_ae.samplers
from lit_ae import tracking
from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.models.class_paths import check_class_paths
from lit_ae.models.settings import bare, import_all
from lit_ae.models.tracked import TrackedModule
from lit_ae.settings.files import config_path
from lit_ae.tracking.logger import RunLogger, run_logger
from lit_ae.training.bounds import check_bounds
from lit_ae.training.callback_selection import keep_only_scores, refuse_callbacks, set_aside
from lit_ae.training.checkpoint_files import write_whole_checkpoints
from lit_ae.training.choice_of_run import Wanted, refuse_of_another, refuse_without_more, status_of_training
from lit_ae.training.data_of_run import refuse_other_data
from lit_ae.training.faults import explained, refused, unreadable_config
from lit_ae.training.loop import several_steps_a_call
from lit_ae.training.model_of_run import refuse_other_settings
from lit_ae.training.own_settings import adapt_defaults, add_settings, refuse_of_a_run
from lit_ae.training.precision import precision_for
from lit_ae.training.predict_callback import WritePredictions
from lit_ae.training.progress_bar import StepsBar
from lit_ae.training.quiet import quiet
from lit_ae.training.run_settings import flat, settings_hash
from lit_ae.training.tracking_callback import Tracking
from lit_ae.training.what_next import on_terminal, what_next

quiet()

LINKED = ("input_shape", "num_classes")  # what a model takes from the data module

for _package in (lit_ae.data, lit_ae.nets, lit_ae.models, lit_ae.samplers, lit_ae.callbacks):
    import_all(_package)


class AutoencoderCLI(LightningCLI):
    """LightningCLI in subclass mode, with the data module's shape linked to the model and an MLflow run around it.

    Args:
        args: subcommand and settings, as on the command line.
        run_id: run to write to; None: a new one for `fit`, and for other commands the one that holds the weights.
        then_test: test in the same run when `fit` has ended.
    """

    def __init__(self, args: Sequence[str], run_id: str | None = None, then_test: bool = False) -> None:
        self.run_id, self.then_test, self.given = run_id, then_test, list(args)
        self.requested = next((a for a in args if a in LightningCLI.subcommands()), "fit")
        defaults = {"default_config_files": [str(config_path("defaults.yaml"))], "exit_on_error": False}
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
        """Only the requested subcommand: each parser takes seconds to build."""
        return {self.requested: LightningCLI.subcommands()[self.requested]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Settings of the run, and those that the model takes from the data module."""
        add_settings(parser, self.requested)
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; what cannot be parsed becomes an error of one line."""
        if fault := unreadable_config(args):
            raise SettingError(fault)
        with explained(args, self._subcommand_parsers[self.requested]):
            super().parse_arguments(parser, args)
        config = self.config[self.requested]
        adapt_defaults(config.trainer, args, with_summary=self.requested == "fit" and on_terminal())
        check_class_paths(config.as_dict())
        check_bounds(config.as_dict())

    def _parse_ckpt_path(self) -> None:
        """Do nothing: settings come from YAML and the command line, not from a checkpoint."""

    # -- the MLflow run -----------------------------------------------------------------------------------------

    def _dump_config(self) -> None:
        """As LightningCLI does, without checking again what has just been parsed, and as JSON, which is read faster."""
        if not hasattr(self, "config_dump"):
            how = {"format": "json", "skip_link_targets": False, "skip_none": False, "skip_validation": True}
            self.config_dump = json.loads(self.parser.dump(self.config, **how))[self.config.subcommand]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with the run's logger, unless the settings name another or switch logging off."""
        writers: list[Callback] = []
        if self.requested == "predict":
            self.datamodule.predicted = split = self._get(self.config, "split")
            writers = [WritePredictions(self.model, self._get(self.config, "output"), split)]
        self._dump_config()
        logger, fast = (self._get(self.config_init, f"trainer.{name}") for name in ("logger", "fast_dev_run"))
        tracked = logger in (None, True) and not fast
        if not tracked:
            why = "trainer.fast_dev_run" if fast else "trainer.logger"
            refuse_of_a_run(self.config[self.requested].as_dict(), why)
            rank_zero_info(f"{why} is set, so that nothing goes to MLflow")
        self.found_run = self._find_run() if tracked else None
        self._choose_precision()
        if tracked:
            kwargs["logger"] = RunLogger(self._get(self.config, "figures"))
        self.config_dump.pop("resume", None)  # `test` has no such setting, and takes the file as --config
        extra: list[Callback] = [Tracking(yaml.safe_dump(self.config_dump, sort_keys=False))]
        if self._get(self.config_init, "trainer.enable_progress_bar") is not False:
            extra.append(StepsBar(refresh_rate=50))  # drawing at every step would take a tenth of the time
        self.trainer_defaults["callbacks"] = extra + writers
        with refused("trainer"):
            trainer = super().instantiate_trainer(**kwargs)
        refuse_callbacks(trainer)
        write_whole_checkpoints(trainer)
        return trainer

    def _choose_precision(self) -> None:
        """Set that of the run that goes on or is tested, or one that suits model and device, unless one is given."""
        if self._get(self.config, "trainer.precision") or self._get(self.config, "trainer.plugins"):
            return
        params = tracking.get_run(self.found_run).params if self.found_run else {}
        accelerator = self._get(self.config, "trainer.accelerator")
        chosen = params.get("trainer.precision") or precision_for(self.model, accelerator)
        parsed = (self._get(config, "trainer") for config in (self.config, self.config_init))
        for trainer in (self.config_dump["trainer"], *parsed):
            trainer["precision"] = chosen

    def _find_run(self) -> str | None:
        """The run that goes on or is tested; None for a new one."""
        if self.run_id:
            return self.run_id
        tracking.send_unsent()
        tracking.end_abandoned(self._get(self.config, "experiment"))
        return self._wanted(self.requested).find()

    def instantiate_classes(self) -> None:
        """Model, data and trainer; the model keeps its settings as plain data, for its checkpoints."""
        super().instantiate_classes()
        linked = {name: self.model.init_args[name] for name in LINKED if name in self.model.init_args}
        self.model.init_args = {**(bare(self.config_dump)["model"].get("init_args") or {}), **linked}
        if names := self._get(self.config, "only_scores"):
            keep_only_scores(self.trainer, self.model, names)

    def _run_subcommand(self, subcommand: str) -> None:
        logger = run_logger(self.trainer)
        if logger is None:
            self._execute(subcommand)
            return
        logger.run_id = self.found_run  # on every rank, since each loads its weights
        self._checkpoint(subcommand)  # refuse one that does not fit before the run is changed
        if self.found_run and not (subcommand == "predict" and self._get(self.config, "split") == "all"):
            refuse_other_data(self.found_run, self.datamodule, self.config_dump)
        if getattr(rank_zero_only, "rank", 0) != 0:
            self._execute(subcommand)
            return
        if logger.run_id and not self.run_id:
            refuse_of_another(tracking.get_run(logger.run_id))  # who may have begun while the data were loaded
        if logger.run_id and subcommand == "fit" and not self.run_id:  # goes on, perhaps with other settings
            tracking.set_tags(logger.run_id, {"config_hash": self._hash()})
        kept = "" if subcommand == "fit" or self.run_id else status_of_training(logger.run_id)
        logger.run_id = logger.run_id or self._create_run()
        owned = nullcontext() if self.run_id else tracking.owned(logger.run_id)  # else by who gave the run
        with owned, tracking.run_status(logger.run_id, kept):
            self._execute(subcommand)
        if subcommand == "fit" and not self.run_id and not tracking.waits(logger.run_id):
            print(what_next(tracking.get_run(logger.run_id), self.given))

    def _execute(self, subcommand: str) -> None:
        logger = run_logger(self.trainer)
        if logger and logger.run_id:
            settings = dict(flat(self.config_dump))
            logger.log_hyperparams({**settings, "trainer.precision": str(self.trainer.precision)})  # without aliases
        if subcommand == "fit":
            steps = self._get(self.config, "steps_per_call")
            calls = several_steps_a_call(self.trainer, self.model, self.datamodule, steps)
            with set_aside(self.trainer), calls:
                super()._run_subcommand(subcommand)
            if logger and logger.run_id and self.trainer.is_global_zero:
                tracking.set_tags(logger.run_id, {"trained": "true"})
        else:
            super()._run_subcommand(subcommand)
        if self.then_test and subcommand == "fit":
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kept = {"return_predictions": False} if subcommand == "predict" else {}  # they are in the file
        return {**kwargs, **kept, "weights_only": True, "ckpt_path": self._checkpoint(subcommand)}

    def _checkpoint(self, subcommand: str) -> str | None:
        """The checkpoint to load, which must fit the model."""
        logger = run_logger(self.trainer)
        run_id = logger.run_id if logger else None
        path = self._wanted(subcommand).checkpoint(run_id)
        if path is None:
            return None
        content = read_checkpoint(path)
        self.model.on_load_checkpoint(content)
        if subcommand != "fit":
            refuse_other_settings(self.model.init_args, content)
        else:
            refuse_without_more(self.trainer, content, run_id)
            if logger and run_id and content.get("run_id") == run_id:
                logger.resumed_after = content.get("epoch", -1) + 1
        return str(path)

    def _wanted(self, subcommand: str) -> Wanted:
        said = {name: self._get(self.config, name) for name in ("experiment", "run_id", "ckpt_path")}
        tags = self._tags()
        del tags["model"]  # in a study it is a label, such as "Deep AE"
        resume = bool(self._get(self.config, "resume", False))
        return Wanted(subcommand, own_hash=self._hash(), tags=tags, resume=resume, **said)

    def _hash(self) -> str:
        return settings_hash(self.config_dump)

    def _tags(self) -> dict[str, str]:
        seed = str(self._get(self.config, "seed_everything"))
        return {"model": type(self.model).__name__, "data": self.datamodule.name, "seed": seed}

    def _create_run(self) -> str:
        tags = self._tags()
        name = self._get(self.config, "run_name") or f"{tags['model']} {tags['data']} seed {tags['seed']}"
        tags |= {"kind": "single", "config_hash": self._hash()}
        return tracking.create_run(self._get(self.config, "experiment"), name, tags)
