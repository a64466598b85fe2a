"""Whether a command has the model settings that its checkpoint was trained with."""

from collections.abc import Iterator, Mapping
from typing import Any

from lit_ae.errors import SettingError
from lit_ae.models.settings import bare
from lit_ae.models.stored_settings import SETTINGS

OF_TRAINING = ("optimizer", "lr_scheduler", "pretrained", "pretrain_epochs")  # what names of such settings end in


def refuse_other_settings(settings: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Refuse settings of a model that give other codes, reconstructions or terms than those of its checkpoint.

    Settings of training alone may differ. One that only this or that version of the family has is not compared.

    Args:
        settings: the model's, by name, as plain data.
        checkpoint: the content of the checkpoint.

    Raises:
        SettingError: naming those that differ.
    """
    differing = list(_differing("model", bare(checkpoint.get(SETTINGS, {})), bare(settings)))
    if differing:
        raise SettingError(
            f"the weights were trained with other settings: {'; '.join(differing)}. Give those of the training, or "
            "train a new run with these"
        )


def _differing(name: str, before: Any, now: Any) -> Iterator[str]:
    """What differs, in words, of all that both have."""
    nested = isinstance(before, Mapping) and isinstance(now, Mapping)
    if nested and before.get("class_path") == now.get("class_path"):
        for key in sorted(before.keys() & now.keys()):
            if not key.endswith(OF_TRAINING):
                yield from _differing(name if key == "init_args" else f"{name}.{key}", before[key], now[key])
    elif _plain(before) != _plain(now):
        yield f"{name} is {_text(now)} and was {_text(before)}"


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    found = value.get("class_path", value) if isinstance(value, Mapping) else value
    return "not set" if found is None else str(found)
