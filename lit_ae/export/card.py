"""The model card of an exported model."""

import json
from typing import Any

import yaml

from lit_ae import tracking
from lit_ae.models.tracked import TrackedModule
from lit_ae.tracking.left_out import why_left_out

HEADING = "## Scores of the test split"
USE = """```python
import lit_ae

model = lit_ae.from_pretrained("FOLDER")  # or OWNER/NAME on the Hugging Face hub
{use}
```"""


def model_card(model: TrackedModule, run_id: str | None, licence: str) -> str:
    """A model card in Markdown with the hub's header in YAML.

    Args:
        model: the model.
        run_id: the MLflow run that trained it, for scores, protocol and data.
        licence: as the hub abbreviates it.
    """
    family = type(model).__name__
    run = tracking.get_run(run_id) if run_id else None
    header: dict[str, Any] = {"library_name": "lit_ae", "license": licence, "tags": ["autoencoder", family.lower()]}
    data = tracking.dataset(run.id) if run else None
    parts = [f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {family}", _summary(model)]
    if run:
        revision = run.tags.get("git_sha", "unknown")
        parts.append(f"Run `{run.id}`, seed {run.seed}, revision `{revision}` of lit_ae; {_weights(run)}.")
    if data:
        parts.append(f"## Data\n\n`{data[0]}`, digest `{data[1]}` (of all samples of all splits).")
    if hasattr(model, "classes") and model.class_names:
        named = "\n".join(f"| {number} | {name} |" for number, name in enumerate(model.class_names))
        parts.append(f"## Classes\n\n| number | name |\n|--:|:--|\n{named}")
    if run:
        parts += _scores(run)
    use = "images = model.sample(16)" if not hasattr(model, "encoder") else "codes = model.embed(x)"
    parts.append(f"## Use\n\n{USE.format(use=use)}")
    parts.append(
        f"## Licence\n\nThe weights: {licence}, as their author has stated it. Weights are made from data: the "
        "terms of the data set apply as well. The code of lit_ae: MIT."
    )
    return "\n\n".join(parts) + "\n"


def _weights(run: tracking.Run) -> str:
    return run.tags.get("scored_weights", "weights at the end of training")


def _scores(run: tracking.Run) -> list[str]:
    """The values of the run's last test, and how they were measured; nothing if there are none."""
    if (tested := run.tags.get("tested_weights", _weights(run))) != _weights(run):
        return [f"{HEADING}\n\nThese weights are not tested, but {tested}."]
    path = run.artifact("protocol.json")
    protocol: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path else {}
    left_out = protocol.pop("left_out", {})  # by the last test: their values are of an earlier one
    scores = {key: value for key, value in sorted(run.metrics.items()) if key.startswith("test/")}
    rows = [f"| `{key}` | {value:.6g} |" for key, value in scores.items() if not why_left_out(left_out, key)]
    if not rows:
        return []
    parts = ["\n".join([f"{HEADING}\n\n| score | value |\n|:--|--:|", *rows])]
    lines = [f"- {key}: {value}" for key, value in sorted(protocol.items())]
    lines += [f"- left out: {key}: {why}" for key, why in sorted(left_out.items())]
    return [*parts, "\n".join(lines)] if lines else parts


def _summary(model: TrackedModule) -> str:
    """The family's own first sentence, and sizes."""
    first = (type(model).__doc__ or "").strip().split("\n\n")[0]
    numbers = sum(p.numel() for p in model.parameters())
    shape = list(getattr(model, "input_shape", ()))
    sizes = f"Samples of shape {shape}, " if shape else ""
    return f"{' '.join(first.split())}\n\n{sizes}codes of {model.latent_dim} numbers, {numbers:,} parameters."
