"""The settings of a run: their hash, and one parameter for each."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lit_ae import tracking
from lit_ae.models.settings import bare
from lit_ae.settings.hashing import content_hash

OF_SCORING = {"eval_batch_size", "num_workers", "root"}  # settings of data that change no weight; files may be moved


def settings_hash(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of what is trained: they change with model, data and seed, not with where files lie."""
    parts = bare({key: config.get(key) for key in ("model", "data", "seed_everything")})
    data = parts["data"]
    if isinstance(data, Mapping) and data.get("init_args"):
        kept = {name: value for name, value in data["init_args"].items() if name not in OF_SCORING}
        if isinstance(path := kept.get("path"), str) and Path(path).expanduser().exists():
            kept["path"] = str(Path(path).expanduser().resolve())
        parts["data"] = {**data, "init_args": kept}
    return content_hash(parts)


def stored_hash(run: tracking.Run) -> str:
    """`settings_hash` of the config that a run stored, which may be older than today's tag; empty without a config."""
    path = run.artifact("config.yaml")
    return settings_hash(yaml.safe_load(path.read_text(encoding="utf-8"))) if path else ""


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
