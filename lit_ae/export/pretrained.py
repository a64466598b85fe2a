"""A model as a folder of safetensors, settings and a model card, in the layout of the Hugging Face hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lit_ae.models
from lit_ae.errors import SettingError
from lit_ae.export.card import model_card
from lit_ae.models.settings import import_all, subclass_named
from lit_ae.models.stored_settings import MODULE, NOT_STORED, SETTINGS, restored
from lit_ae.models.tracked import TrackedModule
from lit_ae.settings.extras import needs
from lit_ae.settings.whole_files import write_whole

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def save_pretrained(model: TrackedModule, folder: str | Path, run_id: str | None = None, licence: str = "mit") -> Path:
    """Write weights, settings and a model card into a new or empty folder.

    The weights are `model.safetensors`, which cannot hold code; the settings and the names of classes `config.json`;
    the card `README.md` has the scores, protocol and data of the run. `hf upload NAME FOLDER` publishes
    the folder.

    Args:
        model: a trained model.
        folder: where they are written.
        run_id: the MLflow run that the card describes; None: the card has no scores.
        licence: of the weights, as the hub abbreviates it. Mind the terms of the data.

    Returns:
        The folder.

    Raises:
        SettingError: the folder holds files, or a setting of the model (a lambda, for example) is no plain data.

    >>> import lit_ae, tempfile, torch
    >>> model = lit_ae.VAE(input_shape=(8,), latent_dim=2).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = lit_ae.save_pretrained(model, folder)
    ...     loaded = lit_ae.from_pretrained(folder)
    >>> x = torch.rand(4, 8)
    >>> bool((loaded.embed(x) == model.embed(x)).all())
    True
    """
    with needs("export", "save_pretrained"):
        from safetensors.torch import save

    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise SettingError(f"{folder} is there already and not empty: give another folder (--output)")
    stored: dict[str, Any] = {}
    model.store_settings(stored)
    if missing := stored[NOT_STORED]:
        raise SettingError(f"{', '.join(missing)} of the model is no plain data, a lambda for example: use a class")
    settings = {name: value for name, value in stored[SETTINGS].items() if not name.startswith("_")}
    config = {"library_name": "lit_ae", "family": stored["family"], MODULE: stored[MODULE], "settings": settings}
    config["class_names"] = list(model.class_names)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(folder / WEIGHTS, save(tensors, {"format": "pt"}))
    write_whole(folder / CONFIG, json.dumps(config, indent=1).encode())
    write_whole(folder / CARD, model_card(model, run_id, licence).encode())
    return folder


def from_pretrained(source: str | Path, revision: str | None = None, **settings: Any) -> Any:
    """A model that `save_pretrained` wrote, in evaluation mode on the CPU, without running code from the folder.

    Args:
        source: a folder, or a name OWNER/NAME on the Hugging Face hub, from which it is downloaded.
        revision: branch, tag or commit on the hub.
        settings: constructor arguments that replace the stored ones.

    Raises:
        SettingError: there is no such folder, or it does not hold a model of this project.

    >>> import lit_ae
    >>> lit_ae.from_pretrained("no/such/folder")
    Traceback (most recent call last):
    lit_ae.errors.SettingError: no/such/folder is no folder, nor a name OWNER/NAME on the Hugging Face hub...
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _downloaded(str(source), revision)
    with needs("export", "from_pretrained"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise SettingError(
            f"{source} cannot be read as a model ({type(error).__name__}): give a folder that `lit-ae export --format "
            "safetensors` wrote"
        ) from error
    if not isinstance(config, Mapping) or not {"family", "settings"} <= config.keys():
        raise SettingError(f"{source} holds a model of another project: load it by that project's own class")
    import_all(lit_ae.models)
    cls = subclass_named(TrackedModule, config["family"], config.get(MODULE))
    checkpoint = {"family": config["family"], SETTINGS: config["settings"], "state_dict": state}
    checkpoint["class_names"] = config.get("class_names")
    return restored(cls, checkpoint, settings).eval()


def _downloaded(name: str, revision: str | None) -> Path:
    owner, _, rest = name.partition("/")
    if not (owner and rest) or "/" in rest:
        raise SettingError(f"{name} is no folder, nor a name OWNER/NAME on the Hugging Face hub: give one of these")
    with needs("export", "a model on the Hugging Face hub"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, CONFIG, CARD]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SettingError(f"{name} cannot be fetched from the Hugging Face hub ({type(error).__name__})") from error
