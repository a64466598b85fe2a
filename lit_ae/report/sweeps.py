"""A sweep's figures: each metric by the setting in which the rows differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lit_ae.report.collect import metric_label, seed_values
from lit_ae.settings.names import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from lit_ae.report.analyse import Results
    from lit_ae.studies.spec import Sweep

GROUP = "Sweep"


def draw(results: Results, folder: Path) -> list[dict[str, str]]:
    """Write the figures of the study's sweep, if it has one, to the folder: entries {src, caption, group}."""
    sweep = results.study.sweep
    if sweep is None:
        return []
    drawn = [_metric(results, sweep, metric, folder) for metric in sweep.metrics]
    drawn += [_trade_off(results, sweep, y, x, folder) for y, x in sweep.against.items()]
    return [figure for figure in drawn if figure]


def _metric(results: Results, sweep: Sweep, metric: str, folder: Path) -> dict[str, str]:
    """One metric by x: ours as mean over seeds with its band, and the published figures if its column has some."""
    from lit_ae import plots
    from lit_ae.plots import sweeps as plots_sweeps

    key = next((c.published for c in results.study.columns if c.metric == metric and c.published), None)
    series, bands, printed = {}, {}, {}
    for line, rows in sweep.lines.items():
        found = [(x, list(seed_values(results.runs[row], metric).values())) for row, x in _by_x(rows)]
        points = [(x, values) for x, values in found if values]
        if points:
            series[line] = [(x, sum(values) / len(values)) for x, values in points]
            bands[line] = [min(values) for _, values in points], [max(values) for _, values in points]
        known = [(x, results.study.published.get(row, {}).get(key or "", math.nan)) for row, x in _by_x(rows)]
        known = [(x, value) for x, value in known if math.isfinite(value)]
        if known:
            printed[f"{line}, published" if len(sweep.lines) > 1 else "published"] = known
    levels = {}
    for row in sweep.references:
        values = list(seed_values(results.runs[row], metric).values())
        if values:
            levels[row] = sum(values) / len(values)
    if not series:
        return {}
    label = metric_label(results.study, metric)
    title = f"{label} by {sweep.label}"
    figure = plots_sweeps.sweep(series | printed, levels, bands, sweep.label, label, title, sweep.log_x)
    path = plots.save(figure, folder / f"sweep-{file_name(metric)}.png")
    caption = f"{title}, mean over seeds, band from lowest to highest seed."
    return {"src": f"{folder.name}/{path.name}", "caption": caption, "group": GROUP}


def _trade_off(results: Results, sweep: Sweep, y: str, x: str, folder: Path) -> dict[str, str]:
    """One metric against another, means over seeds, each point labelled with its value of the setting."""
    from lit_ae import plots
    from lit_ae.plots import sweeps as plots_sweeps

    series: dict[str, list[tuple[float, float]]] = {}
    names: dict[str, list[str]] = {}
    for line, rows in [*sweep.lines.items(), *((row, {row: math.nan}) for row in sweep.references)]:
        for row, value in _by_x(rows):
            pair = [seed_values(results.runs[row], metric) for metric in (x, y)]
            common = pair[0].keys() & pair[1].keys()
            if common:
                mean_x, mean_y = (sum(values[seed] for seed in common) / len(common) for values in pair)
                series.setdefault(line, []).append((mean_x, mean_y))
                names.setdefault(line, []).append("" if math.isnan(value) else f"{value:g}")
    if not series:
        return {}
    x_label, y_label = (metric_label(results.study, metric) for metric in (x, y))
    title = f"{y_label} against {x_label}"
    figure = plots_sweeps.trade_off(series, names, x_label, y_label, title)
    path = plots.save(figure, folder / f"sweep-{file_name(y)}-{file_name(x)}.png")
    return {
        "src": f"{folder.name}/{path.name}",
        "caption": f"{title}, means over seeds; the number at each point is {sweep.label}.",
        "group": GROUP,
    }


def _by_x(rows: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(rows.items(), key=lambda item: item[1])
