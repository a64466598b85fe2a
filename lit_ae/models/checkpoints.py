"""The only reader of checkpoint files."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_ae.errors import SettingError


def read_checkpoint(path: str | Path, setting: str = "ckpt_path") -> dict[str, Any]:
    """A training run's checkpoint, loaded on the CPU without executing any code that the file may hold.

    Args:
        path: the file.
        setting: the setting that names the file, for messages.

    Raises:
        SettingError: the file is missing, truncated, holds more than plain data, or is no checkpoint of a training run.
    """
    if not Path(path).is_file():
        instead = ", or --run_id for the last one of a run" if setting == "ckpt_path" else ""
        raise SettingError(f"{setting} {path} is not a file: give a checkpoint{instead}")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if zipfile.is_zipfile(path):  # older ones are no archives
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(damaged)
    except Exception as error:
        raise SettingError(
            f"{setting} {path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged or another "
            "kind of file; give another one, or train again"
        ) from error
    if not isinstance(content, dict) or not {"state_dict", "pytorch-lightning_version"} <= content.keys():
        raise SettingError(f"{setting} {path} is no checkpoint of a training run: give one that `lit-ae fit` wrote")
    return content


def saved_part(path: str, name: str) -> dict[str, Tensor]:
    """The state of one part (`encoder` or `decoder`) of the model in a training run's checkpoint.

    Raises:
        SettingError: the file cannot be read, or its model has no such part.
    """
    state: dict[str, Tensor] = read_checkpoint(path, "model.pretrained")["state_dict"]
    found = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    if not found:
        raise SettingError(
            f"model.pretrained {path} holds a model without {name}: give the checkpoint of an autoencoder"
        )
    return found


def load_pretrained(part: nn.Module, state: dict[str, Tensor], path: str) -> None:
    """Load a saved state into a network of the same architecture.

    Raises:
        SettingError: the state does not fit the network.
    """
    try:
        part.load_state_dict(state)
    except RuntimeError as error:
        raise SettingError(
            f"model.pretrained {path} does not fit {type(part).__name__}: "
            "give the networks and the latent_dim that it was trained with"
        ) from error


def load_others(module: nn.Module, path: str) -> None:
    """Load what a checkpoint holds beside encoder and decoder as far as the model has it, such as pseudo-inputs."""
    own, saved = module.state_dict(), read_checkpoint(path, "model.pretrained")["state_dict"]
    found = {
        name: value
        for name, value in saved.items()
        if name in own and own[name].shape == value.shape and not name.startswith(("encoder.", "decoder."))
    }
    module.load_state_dict(found, strict=False)
