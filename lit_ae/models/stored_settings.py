"""A model's settings in its checkpoints, and the model that a checkpoint describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from lightning.pytorch import LightningModule

from lit_ae.errors import SettingError
from lit_ae.models.checkpoints import read_checkpoint
from lit_ae.models.settings import as_plain, built

SETTINGS = "hyper_parameters"  # Lightning's key
MODULE = "family_module"  # of the family's class, since one's own may have the name of one of this project
NOT_STORED = "settings_not_stored"  # names of those that no plain data describe


class StoredSettings(LightningModule):
    """A LightningModule whose settings go into each checkpoint, so that `load_from_checkpoint` needs nothing else.

    They are stored as plain data, so that loading never runs code from a file.
    """

    init_args: dict[str, Any]  # by name, as the constructor was given them

    def store_settings(self, checkpoint: dict[str, Any]) -> None:
        """Put the family's name and module and the settings into a checkpoint."""
        settings: dict[str, Any] = {"_instantiator": "lightning.pytorch.cli.instantiate_module"}
        missing = []
        for name, value in self.init_args.items():
            try:
                settings[name] = as_plain(value)
            except TypeError:  # a lambda, say: it has to be given again when the checkpoint is loaded
                missing.append(name)
        checkpoint |= {"family": type(self).__name__, MODULE: type(self).__module__}
        checkpoint |= {SETTINGS: settings, NOT_STORED: missing}

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        strict: bool = True,
        weights_only: bool = True,
        **settings: Any,
    ) -> Self:
        """The model of a checkpoint, in training mode, as for any LightningModule; `lit_ae.load` finds the class, too.

        Args:
            checkpoint_path: written by `Trainer.save_checkpoint`, by a `ModelCheckpoint` or by `lit-ae fit`.
            map_location: device of the model; None: the CPU.
            strict: whether the names of all weights have to match.
            weights_only: for compatibility; code in the file is never run, whatever its value.
            settings: constructor arguments that replace the stored ones, as for the constructor itself.

        Raises:
            SettingError: the file cannot be read, is of another family, or does not hold all settings.
        """
        module = restored(cls, read_checkpoint(checkpoint_path, "checkpoint_path"), settings, strict)
        return module if map_location is None else module.to(map_location)


M = TypeVar("M", bound="StoredSettings")


def restored(cls: type[M], checkpoint: Mapping[str, Any], settings: Mapping[str, Any], strict: bool = True) -> M:
    """The model of a checkpoint's content, with some constructor arguments given anew.

    Raises:
        SettingError: the checkpoint is of another family, or a setting is missing or does not fit.
    """
    family = checkpoint.get("family")
    if family != cls.__name__:
        raise SettingError(
            f"the checkpoint holds a {family or 'model of another project'} and not a {cls.__name__}: load it by "
            "lit_ae.load, which finds the class"
        )
    missing = [name for name in checkpoint.get(NOT_STORED, []) if name not in settings]
    if missing:
        raise SettingError(
            f"the checkpoint does not hold {', '.join(missing)}, which no plain data describe (a lambda, for example): "
            f"give {', '.join(f'{name}=...' for name in missing)}"
        )
    stored = {name: value for name, value in checkpoint.get(SETTINGS, {}).items() if not name.startswith("_")}
    module = built(cls, stored, **settings)
    module.init_args |= {name: value for name, value in stored.items() if name not in settings}  # plain already
    module.on_load_checkpoint(dict(checkpoint))
    module.load_state_dict(checkpoint["state_dict"], strict=strict)
    return module
