"""Weights of another run."""

import torch
from torch import Tensor, nn

from lit_ae.errors import SettingError


def saved_part(path: str, name: str) -> dict[str, Tensor]:
    """State of the part `name` (encoder, decoder) of the model in a training run's checkpoint.

    Raises:
        SettingError: the file cannot be read, or its model has no such part.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:
        raise SettingError(
            f"model.pretrained {path} cannot be read as a checkpoint ({type(error).__name__}): give last.ckpt of a run"
        ) from error
    found = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    if not found:
        raise SettingError(f"model.pretrained {path} holds a model without {name}: give one of an autoencoder")
    return found


def load_pretrained(part: nn.Module, state: dict[str, Tensor], path: str) -> None:
    """Put a saved state into a net that is built alike.

    Raises:
        SettingError: it does not fit.
    """
    try:
        part.load_state_dict(state)
    except RuntimeError as error:
        raise SettingError(
            f"model.pretrained {path} does not fit {type(part).__name__}: "
            "give the nets and latent_dim that it was trained with"
        ) from error
