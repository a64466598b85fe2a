"""A trained model, or a run's data, from a run, a checkpoint or a folder."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

import lit_ae.data
import lit_ae.models
from lit_ae import tracking
from lit_ae.api.runs import need_store
from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.models.settings import bare, built, import_all, parameters, subclass_named
from lit_ae.models.stored_settings import MODULE, SETTINGS, restored
from lit_ae.models.tracked import TrackedModule

RUN_ID = re.compile("[0-9a-f]{32}")


def load(source: str | Path, **settings: Any) -> Any:
    """A trained model in evaluation mode on the CPU, without running any code that a file may hold.

    The family and its settings are read from the checkpoint; those of a checkpoint that holds none (written by older
    code) from the config.yaml of its run. To train it further, call `.train()` first.

    Args:
        source: id of an MLflow run, for the checkpoint that it is scored with; path of a checkpoint; or folder of a
            run's artifacts or of checkpoints, for its last.ckpt or its only one.
        settings: constructor arguments that replace the stored ones, as for the constructor itself.

    Raises:
        SettingError: there is no such run, file or folder, or the model cannot be built from it.

    >>> import lit_ae, lightning, tempfile, torch
    >>> model = lit_ae.VAE(input_shape=(8,), latent_dim=2)
    >>> quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    >>> trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    >>> trainer.fit(model, torch.utils.data.DataLoader(torch.rand(16, 8), batch_size=8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer.save_checkpoint(f"{folder}/vae.ckpt")
    ...     loaded = lit_ae.load(f"{folder}/vae.ckpt")
    >>> type(loaded).__name__, loaded.training
    ('VAE', False)
    >>> x = torch.rand(4, 8)
    >>> bool((loaded.embed(x) == model.embed(x)).all())
    True
    """
    import_all(lit_ae.models)
    found = _find(source)
    if found.checkpoint is None:
        raise SettingError(f"{source} has no checkpoint last.ckpt: train it first, or give the path of a checkpoint")
    checkpoint = read_checkpoint(found.checkpoint, "checkpoint")
    if "family" not in checkpoint:
        raise SettingError(f"{source} holds a model of another project: load it by that project's own class")
    cls = subclass_named(TrackedModule, checkpoint["family"], checkpoint.get(MODULE))
    if SETTINGS not in checkpoint:
        checkpoint[SETTINGS] = _settings_of_run(cls, _config(found, checkpoint))
    return restored(cls, checkpoint, settings).eval()


def load_data(source: str | Path) -> BaseDataModule:
    """The data module that a run was trained with, from its config.yaml; source as for `load`.

    Raises:
        SettingError: there is no such run, file or folder, or no config.yaml of a run with it; or the data have changed
            since the run was trained.

    >>> import lit_ae, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = "seed_everything: 0\\ndata: {class_path: Digits, init_args: {limit: 100}}\\n"
    ...     _ = pathlib.Path(folder, "config.yaml").write_text(config)
    ...     data = lit_ae.load_data(folder)
    >>> data.name, len(data.split("train"))
    ('digits', 100)
    """
    found = _find(source)
    is_run = RUN_ID.fullmatch(str(source)) and not Path(source).exists()
    stored = {} if is_run or found.checkpoint is None else read_checkpoint(found.checkpoint, "checkpoint")
    data = _data(_config(found, stored))
    trained_on = (tracking.get_run(str(source)).tags if is_run else stored).get(tracking.DIGEST)
    if trained_on:
        tracking.refuse_other_data(found.source, trained_on, data.name, data.digest())
    return data


# -- the files of a run --------------------------------------------------------------------------------------------


class Files(NamedTuple):
    """The files that were found of a run."""

    source: str
    checkpoint: Path | None
    config: Path | None


def _find(source: str | Path) -> Files:
    path = Path(source).expanduser()
    if path.is_file():
        return Files(str(source), path, _first(path.parent / "config.yaml", path.parent.parent / "config.yaml"))
    if path.is_dir():
        folders = (path, path / "checkpoints", path / "artifacts" / "checkpoints")
        config = _first(path / "config.yaml", path.parent / "config.yaml", path / "artifacts" / "config.yaml")
        checkpoint = _first(*(folder / "last.ckpt" for folder in folders))
        return Files(str(source), checkpoint or _only_checkpoint(folders), config)
    if not RUN_ID.fullmatch(str(source)):
        raise SettingError(
            f"{source} is no file or folder, and not the id of a run (32 hexadecimal digits): give a checkpoint, a "
            "folder of a run's artifacts, or a run_id that lit_ae.runs() lists"
        )
    need_store()
    run = tracking.get_run(str(source))
    return Files(f"run {source}", run.checkpoint, run.artifact("config.yaml"))


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _only_checkpoint(folders: tuple[Path, ...]) -> Path | None:
    """The checkpoint in the first of the folders that has any."""
    for folder in folders:
        found = sorted(folder.glob("*.ckpt"))
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:5])
            raise SettingError(f"{folder} holds {len(found)} checkpoints ({names}): give the path of one")
        if found:
            return found[0]
    return None


# -- what a run was trained with -----------------------------------------------------------------------------------


def _config(found: Files, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run that wrote a checkpoint: from the file beside it, otherwise from the store."""
    path, run_id = found.config, checkpoint.get("run_id")
    if path is None and run_id:
        need_store()
        path = tracking.get_run(run_id).artifact("config.yaml")
    if path is None:
        raise SettingError(
            f"{found.source} comes without the config.yaml of its run: give the run_id, or put that file beside it"
        )
    try:
        config = bare(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"{path} cannot be read as YAML ({type(error).__name__}): restore it") from error
    if not isinstance(config, dict):
        raise SettingError(f"{path} holds no settings: give the config.yaml that `lit-ae fit` wrote")
    return config


def _settings_of_run(cls: type[TrackedModule], config: Mapping[str, Any]) -> dict[str, Any]:
    """The model's settings; input_shape and num_classes are taken from the data module, as in training."""
    settings = dict((config.get("model") or {}).get("init_args") or {})
    linked = [name for name in ("input_shape", "num_classes") if name in parameters(cls) and not settings.get(name)]
    if linked:
        data = _data(config)
        settings |= {name: getattr(data, name) for name in linked}
    return settings


def _data(config: Mapping[str, Any]) -> BaseDataModule:
    import_all(lit_ae.data)
    section = config.get("data")
    if not isinstance(section, Mapping) or not isinstance(section.get("class_path"), str):
        raise SettingError("config.yaml names no data module: give the one of a run that `lit-ae fit` trained")
    module, _, name = section["class_path"].rpartition(".")
    cls = subclass_named(BaseDataModule, name, module or "lit_ae")  # type: ignore[type-abstract]
    data = built(cls, section.get("init_args") or {})
    if data.labels_per_class is not None:  # drawn by the run's seed
        with torch.random.fork_rng([]):
            torch.manual_seed(int(config.get("seed_everything") or 0))
            data.split("train")
    return data
