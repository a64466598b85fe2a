"""The model card of an exported model."""

import json
from typing import Any

import yaml

from lit_ae import tracking
from lit_ae.models.tracked import TrackedModule

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
        weights = run.tags.get("scored_weights", "weights at the end of training")
        parts.append(
            f"Run `{run.id}`, seed {run.seed}, revision `{run.tags.get('git_sha', 'unknown')}` of lit_ae; {weights}."
        )
    if data:
        parts.append(f"## Data\n\n`{data[0]}`, digest `{data[1]}` (of all samples of all splits).")
    if hasattr(model, "classes") and model.class_names:
        named = "\n".join(f"| {number} | {name} |" for number, name in enumerate(model.class_names))
        parts.append(f"## Classes\n\n| number | name |\n|--:|:--|\n{named}")
    if run and (scores := {key: value for key, value in run.metrics.items() if key.startswith("test/")}):
        rows = "\n".join(f"| `{key}` | {value:.6g} |" for key, value in sorted(scores.items()))
        parts.append(f"## Scores of the test split\n\n| score | value |\n|:--|--:|\n{rows}")
        path = run.artifact("protocol.json")
        protocol = json.loads(path.read_text(encoding="utf-8")) if path else {}
        parts += ["\n".join(f"- {key}: {value}" for key, value in sorted(protocol.items()))] if protocol else []
    use = "images = model.sample(16)" if not hasattr(model, "encoder") else "codes = model.embed(x)"
    parts.append(f"## Use\n\n{USE.format(use=use)}")
    parts.append(
        f"## Licence\n\nThe weights: {licence}, as their author has stated it. Weights are made from data: the "
        "terms of the data set apply as well. The code of lit_ae: MIT."
    )
    return "\n\n".join(parts) + "\n"


def _summary(model: TrackedModule) -> str:
    """The family's own first sentence, and sizes."""
    first = (type(model).__doc__ or "").strip().split("\n\n")[0]
    numbers = sum(p.numel() for p in model.parameters())
    shape = list(getattr(model, "input_shape", ()))
    sizes = f"Samples of shape {shape}, " if shape else ""
    return f"{' '.join(first.split())}\n\n{sizes}codes of {model.latent_dim} numbers, {numbers:,} parameters."
