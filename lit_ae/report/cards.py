"""What was run and how it was scored, as lists of keys and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lit_ae.report.formats import DASH, duration, seeds_text
from lit_ae.studies.data_sets import OnDataSets
from lit_ae.studies.precision import precision_of

if TYPE_CHECKING:
    from lit_ae.report.collect import Collected, Entries
    from lit_ae.studies.spec import Study
    from lit_ae.tracking import Run

Card = list[tuple[str, str]]


def run_card(collected: Collected) -> Card:
    """What was run: data, seeds, epochs, revision, times."""
    profile, runs = collected.profile, collected.all_runs
    counts = [len(collected.study.seeds(model, profile)) for model in collected.runs]
    each = seeds_text(min(counts), max(counts))
    finished = {model: list(own.values()) for model, own in collected.runs.items() if own}
    seconds = {model: [run.seconds for run in own] for model, own in finished.items()}
    by_model = "; ".join(
        f"{model}: {duration(sum(own))} ({duration(sum(own) / len(own))} a run)" for model, own in seconds.items()
    )
    total = duration(sum(map(sum, seconds.values())))
    epochs = {model: [epochs_of(run) for run in own] for model, own in finished.items()}
    precisions = {model: [precision_of(run) for run in own] for model, own in finished.items()}
    revisions = {model: sorted({revision(run) for run in own}) for model, own in finished.items()}
    return [
        ("profile", f"{collected.profile_name}{f': {profile.note}' if profile.note else ''}"),
        ("data", ", ".join(sorted({run.data for run in runs}))),
        ("runs", f"{len(runs)} of {sum(counts)} ({len(counts)} models × {each})"),
        ("seeds", ", ".join(map(str, profile.seeds))),
        ("epochs", differing(epochs)),
        ("precision", differing(precisions)),
        ("git revision", differing(revisions)),
        ("wall time", f"{total} summed over runs"),
        ("wall time by model", by_model),
    ]


def model_card(collected: Collected) -> Card:
    """What each row of Table 1 is: its model file, the files and options that the study adds, its note."""
    rows = []
    for label, spec in collected.study.models.items():
        args = [*spec.args, *spec.profile_args.get(collected.profile_name, [])]
        data = spec.profile_data.get(collected.profile_name)
        files = ([_file(data, "data")] if data else []) + [_file(name) for name in spec.configs]
        text = " ".join([_file(spec.config, "model"), *(f"--config {file}" for file in files), *args])
        if spec.start:
            text += f" (initialised from {spec.start})"
        text = f"{text}: {spec.note}" if spec.note else text
        rows.append((label, f"{text}; {spec.tuned_on.described()}" if spec.tuned_on else text))
    return rows


def _file(name: str, kind: str = "") -> str:
    """A file of configs/ by its path, and one of the study's own, which may lie anywhere, by its name."""
    if Path(name).is_absolute():
        return Path(name).name
    return f"configs/{kind}/{name}.yaml" if kind else f"configs/{name}"


def epochs_of(run: Run) -> str:
    """How many epochs a run was trained for, or the number of steps that ended it."""
    epochs, steps = (run.params.get(f"trainer.max_{name}", DASH) for name in ("epochs", "steps"))
    if steps in (DASH, "-1"):
        return epochs
    in_steps = f"as many as {int(steps):,} steps take"
    return in_steps if epochs == "-1" else f"{epochs}, or {in_steps} if these are fewer"


def revision(run: Run) -> str:
    """The git revision of the code that a run was made by."""
    return run.tags.get("git_sha", "unknown")


def merged_card(entries: Entries, study: Study) -> Card:
    """What the runs stored of themselves: one text for each key, split by model where models differ."""
    by_data_set: dict[str, list[str]] = {}
    for places in study.rows.values() if isinstance(study, OnDataSets) else ():
        for data, row in places.items():
            by_data_set.setdefault(f"all rows on {data}", []).append(row)
    return [
        (key, differing({model: map(_text, values) for model, values in by_model.items()}, by_data_set))
        for key, by_model in entries.items()
    ]


def differing(values: Mapping[str, Iterable[str]], groups: Mapping[str, list[str]] = MappingProxyType({})) -> str:
    """One text for model -> values: the value alone if all models agree, else each value with its models.

    Args:
        values: model -> values.
        groups: name -> models, which stands for these models where they all agree.
    """
    distinct = {model: " / ".join(dict.fromkeys(texts)) for model, texts in values.items()}
    by_text: dict[str, list[str]] = {}
    for model, text in distinct.items():
        if text:
            by_text.setdefault(text, []).append(model)
    if len(by_text) == 1 and all(distinct.values()):
        return next(iter(by_text))
    for models in by_text.values():
        for name, members in groups.items():
            if set(members) <= set(models):
                models[:] = [*(model for model in models if model not in members), name]
    return "; ".join(f"{', '.join(models)}: {text}" for text, models in by_text.items())


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
