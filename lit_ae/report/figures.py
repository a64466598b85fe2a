"""The report's figures: loss curves over all seeds, and pictures that the runs stored."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lit_ae.report import data_set_tables, sweeps
from lit_ae.settings.names import file_name
from lit_ae.settings.whole_files import write_whole

if TYPE_CHECKING:
    from lit_ae.report.analyse import Results
    from lit_ae.tracking import Run

LINES = 8  # in one figure of losses; more are hard to distinguish


def draw(results: Results, out_dir: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Draw the loss curves and copy the study's figures: entries {src, caption, group}, and which figures are missing.

    PNG files that no longer belong to the report are removed from its folder.
    """
    folder = out_dir / results.study.name
    folder.mkdir(exist_ok=True)
    figures = [*data_set_tables.draw(results, folder), *sweeps.draw(results, folder), *_loss_figures(results, folder)]
    absent: list[str] = []
    for spec in results.study.figures:
        without = []
        for model in spec.models:
            seeds = results.runs.get(model, {})
            if not seeds:
                continue  # already among the problems: all its runs are missing
            first = seeds[min(seeds, key=results.profile.seeds.index)]
            source = first.artifact(f"figures/{spec.name}.png")
            if source is None:
                without.append(model)
                continue
            target = folder / f"{file_name(model)}-{file_name(spec.name)}.png"
            write_whole(target, source.read_bytes(), "give another one by --reports")
            figures.append(
                {
                    "src": f"{folder.name}/{target.name}",
                    "caption": f"{model}, seed {first.seed}: {spec.caption}",
                    "group": spec.caption or spec.name,
                }
            )
        if without:
            absent.append(f"figure {spec.name} is missing in the first seed of {', '.join(without)}")
    drawn = {figure["src"].split("/")[1] for figure in figures}
    for old in folder.glob("*.png"):
        if old.name not in drawn:
            old.unlink()
    return figures, absent


def _loss_figures(results: Results, folder: Path) -> list[dict[str, str]]:
    from lit_ae import plots

    seeds = "mean over seeds, band from lowest to highest seed"
    drawn = []
    for name, keys, caption in (
        (
            "loss",
            {"train/loss": ""},
            f"Training loss by epoch, {seeds}. The loss has different terms in different families: compare the curves' "
            "shapes, not their heights.",
        ),
        (
            "adversarial_loss",
            {"train/generator_loss": "generator", "train/discriminator_loss": "discriminator"},
            f"Adversarial losses by epoch, {seeds}.",
        ),
    ):
        series, bands = {}, {}
        for model, runs in results.runs.items():
            for key, suffix in keys.items():
                points = _over_seeds(list(runs.values()), key)
                if points:
                    label = f"{model} {suffix}".strip()
                    series[label] = [(epoch, sum(values) / len(values)) for epoch, values in points]
                    bands[label] = [min(v) for _, v in points], [max(v) for _, v in points]
        all_labels = list(series)
        n = math.ceil(len(all_labels) / LINES)  # figures, with as many lines in each, so that no line is alone
        ends = [k * len(all_labels) // n for k in range(n + 1)] if n else [0]
        parts = [all_labels[start:end] for start, end in pairwise(ends)]
        for i, labels in enumerate(parts, 1):
            part = {label: bands[label] for label in labels}
            lowest = min(min(low) for low, _ in part.values())
            log_y = 0 < 20 * lowest < max(max(high) for _, high in part.values())
            title = caption.split(" by epoch")[0] + (f", {i} of {len(parts)}" if len(parts) > 1 else "")
            lines = {label: series[label] for label in labels}
            figure = plots.curves(lines, "epoch", title.lower().split(",")[0], title, bands=part, log_y=log_y)
            path = plots.save(figure, folder / (f"{name}-{i}.png" if len(parts) > 1 else f"{name}.png"))
            which = f" Rows of this figure: {', '.join(labels)}." if len(parts) > 1 else ""
            drawn.append({"src": f"{folder.name}/{path.name}", "caption": caption + which, "group": "Losses"})
    return drawn


def _over_seeds(runs: list[Run], key: str) -> list[tuple[int, list[float]]]:
    """(epoch, the seeds' values) of a metric's history, in order of epochs."""
    values: dict[int, list[float]] = {}
    for run in runs:
        for epoch, value in run.history(key):
            if value == value:  # a NaN would hide the other seeds
                values.setdefault(epoch, []).append(value)
    return sorted(values.items())
