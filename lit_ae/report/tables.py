"""Numbers to text: Table 1 and the card of the runs as plain strings, shared by every output format."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, TypedDict

from lit_ae.report.collect import ALPHA, differing, seed_values

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

    from lit_ae.report.collect import Cards, Cell, Results
    from lit_ae.study import Column

DASH = "–"


class CellText(TypedDict):
    """A cell of Table 1; `few` says n where it is less than the seeds; empty texts where there is nothing."""

    text: str  # with a dagger where a declared comparison tells the row from another
    few: str
    published: str
    best: bool


class RowText(TypedDict):
    """A row of Table 1."""

    model: str
    cells: list[CellText]


class PublishedText(TypedDict):
    """One of our figures beside the published one; `difference` is ours - published."""

    model: str
    metric: str
    ours: str
    published: str
    difference: str  # with a dagger where our interval leaves the published figure out
    ours_is: str  # better, worse, or a dash where there is nothing to choose


def seeds_text(n: int, most: int | None = None) -> str:
    """`1 seed`, `3 seeds`, or `3 to 5 seeds` where some have more."""
    if most is not None and most != n:
        return f"{n} to {seeds_text(most)}"
    return f"{n} seed{'' if n == 1 else 's'}"


def number(value: float, spec: str) -> str:
    """The value in that format with a true minus sign, a dash where it is NaN, ∞ where it is infinite."""
    return DASH if math.isnan(value) else format(value, spec).replace("-", "−").replace("inf", "∞")


def significant(value: float, sign: str = "") -> str:
    """Three significant digits, trailing zeros kept; `sign` "+" shows that of positive values too."""
    return number(value, f"{sign}#.3g").removesuffix(".")


def p_value(p: float) -> str:
    """A p-value to three digits, a dash where it is NaN."""
    return DASH if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def mean_std(cell: Cell) -> str:
    """`mean ± std` in the column's format; a std which that format would show as 0 gets one digit."""
    if cell.n == 0:
        return DASH
    mean = number(cell.mean, cell.column.format)
    if math.isnan(cell.std):
        return mean
    std = number(cell.std, cell.column.format)
    if cell.std > 0 and not re.search("[1-9]", std):
        std = number(cell.std, ".1g")
    return f"{mean} ± {std}"


def table_1(results: Results) -> list[RowText]:
    """Rows of Table 1: models × columns, the best mean of each column marked (as its `better` says)."""
    seeds = len(results.profile.seeds)
    best = {column.metric: best_rows(results, column)[1] for column in results.study.columns}
    tests = results.readings[0].tests if results.readings else []
    told_apart = {(t.comparison.a, t.comparison.metric) for t in tests if t.p_holm < ALPHA}
    rows: list[RowText] = []
    for model in results.runs:
        texts: list[CellText] = []
        for column in results.study.columns:
            cell = results.cells[model, column.metric]
            texts.append(
                {
                    "text": mean_std(cell) + ("†" if (model, column.metric) in told_apart else ""),
                    "few": f"n = {cell.n}" if 0 < cell.n < seeds else "",
                    "published": "" if math.isnan(cell.published) else number(cell.published, column.format),
                    "best": model in best[column.metric],
                }
            )
        rows.append({"model": model, "cells": texts})
    return rows


def best_rows(results: Results, column: Column) -> tuple[str, list[str]]:
    """The best mean as printed and the rows that have it (ties as printed); none where there is nothing to choose.

    Rows on data of their own have another task and are left out.
    """
    models = results.study.models.items()
    cells = [results.cells[m, column.metric] for m, spec in models if results.profile_name not in spec.profile_data]
    means = {cell.model: cell.mean for cell in cells if not math.isnan(cell.mean)}
    if column.better == "none" or len(means) < 2:
        return "", []
    best = number(min(means.values()) if column.better == "lower" else max(means.values()), column.format)
    return best, [model for model, mean in means.items() if number(mean, column.format) == best]


def beside_published(results: Results) -> list[PublishedText]:
    """Every figure of ours that has a published one in its column, with the difference.

    The dagger is for a published figure outside the 95 % t interval of our mean over seeds, taken as exact.
    """
    rows: list[PublishedText] = []
    for cell in results.cells.values():
        if math.isnan(cell.published) or not cell.n:
            continue
        column, difference = cell.column, cell.mean - cell.published
        better = difference < 0 if column.better == "lower" else difference > 0
        rows.append(
            {
                "model": cell.model,
                "metric": column.label,
                "ours": mean_std(cell),
                "published": number(cell.published, column.format),
                "difference": number(difference, f"+{column.format}") + ("†" if _excluded(results, cell) else ""),
                "ours_is": DASH if column.better == "none" or not difference else "better" if better else "worse",
            }
        )
    return rows


def _excluded(results: Results, cell: Cell) -> bool:
    from lit_ae import stats

    try:
        values = list(seed_values(results.runs[cell.model], cell.column.metric).values())
        low, high = stats.confidence_interval(values, 1 - ALPHA)
    except ValueError:  # one seed, or no spread
        return False
    return not low <= cell.published <= high


def unplaced(results: Results) -> str:
    """Published figures that no column names (not comparable with ours); empty where there are none."""
    keys = {column.published for column in results.study.columns}
    rows = {
        model: ", ".join(f"{key} {value:g}" for key, value in values.items() if key not in keys)
        for model, values in results.study.published.items()
    }
    said = "; ".join(f"{model}: {text}" for model, text in rows.items() if text)
    return f"Published, but with no column of ours that could stand beside it: {said}." if said else ""


def table_1_csv(results: Results) -> str:
    """Table 1 in long format, unrounded; the difference is ours − published."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "metric", "mean", "std", "n", "published", "difference"])
    for cell in results.cells.values():
        values = [cell.mean, cell.std, cell.n, cell.published, cell.mean - cell.published]
        texts = ["" if math.isnan(value) else str(value) for value in values]
        writer.writerow([cell.model, cell.column.metric, *texts])
    return out.getvalue()


def run_card(results: Results) -> Cards:
    """What was run: data, seeds, epochs, revision, times."""
    profile, runs = results.profile, results.all_runs
    counts = [len(results.study.seeds(model, profile)) for model in results.runs]
    each = seeds_text(min(counts), max(counts))
    finished = {model: list(own.values()) for model, own in results.runs.items() if own}
    seconds = {model: [run.seconds for run in own] for model, own in finished.items()}
    by_model = "; ".join(
        f"{model}: {duration(sum(own))} ({duration(sum(own) / len(own))} a run)" for model, own in seconds.items()
    )
    total = duration(sum(map(sum, seconds.values())))
    epochs = {model: [run.params.get("trainer.max_epochs", DASH) for run in own] for model, own in finished.items()}
    revisions = sorted({run.tags.get("git_sha", "unknown") for run in runs})
    return [
        ("profile", f"{results.profile_name}{f': {profile.note}' if profile.note else ''}"),
        ("data", ", ".join(sorted({run.data for run in runs}))),
        ("runs", f"{len(runs)} of {sum(counts)} ({len(counts)} models × {each})"),
        ("seeds", ", ".join(map(str, profile.seeds))),
        ("epochs", differing(epochs)),
        ("git revision", ", ".join(revisions)),
        ("wall time", f"{total} summed over runs"),
        ("wall time by model", by_model),
    ]


def model_card(results: Results) -> Cards:
    """What each row of Table 1 is: its model file, what the study changes of it, its note."""
    rows = []
    for label, spec in results.study.models.items():
        args = [*spec.args, *spec.profile_args.get(results.profile_name, [])]
        text = " ".join([f"configs/model/{spec.config}.yaml", *args])
        rows.append((label, f"{text}: {spec.note}" if spec.note else text))
    return rows


def published_caption(results: Results) -> str:
    """Caption of the table beside the published figures; outside `full` it also warns of other data and budgets."""
    text = "difference: ours − published; †: the published figure lies outside the 95 % t interval of our mean"
    if results.profile_name != "full":
        return (
            f"{text}; the {results.profile_name} profile has other data or a smaller budget than the published protocol"
        )
    return f"{text}; the protocol card says where our protocol differs"


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rich_table(results: Results) -> RichTable:
    """Table 1 for the terminal, turned where that is narrower; published figures below ours."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{results.study.title} ({results.profile_name})"
    seeds = len(results.profile.seeds)
    caption = f"mean ± std over {seeds_text(seeds)}; bold: best mean; in parentheses the published figure"
    rows = table_1(results)
    names, heads = [row["model"] for row in rows], [column.label for column in results.study.columns]
    cells = [[_rich_cell(cell) for cell in row["cells"]] for row in rows]
    corner = "model"
    if len(names) <= len(heads):
        corner, names, heads, cells = "metric", heads, names, [list(line) for line in zip(*cells, strict=True)]
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(corner)
    for head in heads:
        table.add_column(head, justify="right")
    for name, line in zip(names, cells, strict=True):
        table.add_row(name, *line)
    return table


def rich_published(results: Results) -> RichTable | None:
    """Our figures beside the published ones for the terminal, None where there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = beside_published(results)
    if not rows:
        return None
    table = Table(
        title="Beside the published figures", caption=published_caption(results), box=SIMPLE_HEAD, pad_edge=False
    )
    for head in ("model", "metric"):
        table.add_column(head)
    for head in ("ours", "published", "difference", "ours is"):
        table.add_column(head, justify="right")
    for row in rows:
        texts = (row["model"], row["metric"], row["ours"], row["published"], row["difference"], row["ours_is"])
        table.add_row(*(text.replace("[", r"\[") for text in texts))
    return table


def _rich_cell(cell: CellText) -> Text:
    from rich.text import Text

    text = Text(cell["text"], style="bold" if cell["best"] else "")
    if cell["few"]:
        text.append(f"\n{cell['few']}", style="not bold yellow")
    if cell["published"]:
        text.append(f"\n({cell['published']})", style="not bold dim")
    return text
