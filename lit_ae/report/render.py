"""Texts and figures to files: Markdown, LaTeX, CSV, PNG, and one HTML page over all reports of a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lit_ae.console import as_it_is, output
from lit_ae.report import (
    captions,
    cards,
    comparison_tables,
    csv_tables,
    earlier,
    figures,
    gaps,
    summary,
    tables,
    terminal,
    text,
)
from lit_ae.report.analyse import Results, analyse
from lit_ae.report.claims import write_claims
from lit_ae.report.collect import collect
from lit_ae.report.formats import seeds_text, with_arrow
from lit_ae.report.markdown import md_cell, md_escaped
from lit_ae.settings.whole_files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.console import Console

    from lit_ae.studies.spec import Study

FORMAT = 5  # of NAME.json; `earlier` reads format 4, and the page leaves out files of other formats

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "†": r"$\dagger$", "–": "--",
    "…": r"\dots{}", "²": "$^2$", "→": r"$\to$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "∞": r"$\infty$", "≤": r"$\leq$", "≥": r"$\geq$", "√": r"$\surd$", "“": "``", "”": "''", "’": "'", '"': "''",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\varepsilon$", "λ": r"$\lambda$",
    "μ": r"$\mu$", "ρ": r"$\rho$", "σ": r"$\sigma$", "Σ": r"$\Sigma$", "χ": r"$\chi$",
}  # fmt: skip


@dataclass(frozen=True)
class ReportPaths:
    """The files of one report."""

    markdown: Path
    latex: Path
    csv: Path
    comparisons: Path
    html: Path
    json: Path
    figures: tuple[Path, ...]


def build_report(study: Study, profile: str, out_dir: Path, explorers: Mapping[str, str] | None = None) -> ReportPaths:
    """Write a study's NAME.md, .tex, .csv, -comparisons.csv, .json and NAME/*.png, and index.html over all reports.

    Everything comes from the study's finished runs, so building twice gives the same bytes.

    Args:
        study: the study.
        profile: name of the profile whose runs are reported.
        out_dir: folder of all reports of that profile.
        explorers: row -> path, relative to the folder, of a page on which its codes are explored, to be linked.

    Raises:
        SettingError: unknown profile, no run at all, or a metric that no run logged.
    """
    return write_report(analyse(collect(study, profile)), out_dir, explorers)


def write_report(results: Results, out_dir: Path, explorers: Mapping[str, str] | None = None) -> ReportPaths:
    """Write what `build_report` writes."""
    study = results.study
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn, absent = figures.draw(results, out_dir)
    page = report_page(results, drawn, absent) | {"explorers": dict(explorers or {})}
    paths = ReportPaths(
        markdown=out_dir / f"{study.name}.md",
        latex=out_dir / f"{study.name}.tex",
        csv=out_dir / f"{study.name}.csv",
        comparisons=out_dir / f"{study.name}-comparisons.csv",
        html=out_dir / "index.html",
        json=out_dir / f"{study.name}.json",
        figures=tuple(out_dir / figure["src"] for figure in drawn),
    )
    _write(paths.csv, csv_tables.table_1_csv(results))
    _write(paths.comparisons, csv_tables.comparisons_csv(results))
    write_page(page, out_dir)
    write_index(out_dir)
    return paths


def report_page(results: Results, drawn: list[dict[str, str]], absent: list[str]) -> dict[str, Any]:
    """Everything that a report prints, as the templates take it and NAME.json keeps it."""
    study = results.study
    columns, rows = tables.columns(results), tables.table_1(results)
    claims = summary.claims(results, columns, rows)
    return {
        "format": FORMAT,
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "answer": summary.answer(results, claims),
        "claims": claims,
        "profile": results.profile_name,
        "problems": results.problems + absent,
        "columns": columns,
        "rows": rows,
        "file": results.file,
        "legend": text.legend(results),
        "left_out": gaps.left_out_scores(results),
        "published": tables.beside_published(results),
        "published_caption": captions.published_caption(results),
        "unplaced": text.unplaced(results),
        "readings": comparison_tables.readings(results),
        "figures": drawn,
        "cards": [
            {"title": title, "rows": rows}
            for title, rows in (
                ("Protocol of the scores", cards.merged_card(results.protocol, study)),
                ("Runs", cards.run_card(results)),
                ("Models", cards.model_card(results)),
                ("Versions and hardware", cards.merged_card(results.environment, study)),
            )
            if rows
        ],
        "seeds": seeds_text(len(results.profile.seeds)),
        "notes": [{"title": note.title, "text": note.text} for note in study.notes],
        "order": study.order,
    }


def write_page(page: dict[str, Any], out_dir: Path) -> None:
    """Write a report's NAME.json, .md and .tex."""
    name = page["name"]
    _write(out_dir / f"{name}.json", json.dumps(page, ensure_ascii=False, indent=1) + "\n")
    _write(out_dir / f"{name}.md", _templates("md").get_template("report.md.j2").render(md_escaped(page)))
    _write(out_dir / f"{name}.tex", _templates("tex").get_template("report.tex.j2").render(page))


def write_index(out_dir: Path) -> None:
    """Write index.html, one page over all reports of the folder, and all-comparisons.md."""
    write_claims(out_dir)
    reports = [report for report in map(_read, sorted(out_dir.glob("*.json"))) if report]
    reports.sort(key=lambda report: report["order"])
    _write(out_dir / "index.html", _templates("html").get_template("index.html.j2").render(reports=reports))


def print_table(study: Study, profile: str, console: Console | None = None) -> None:
    """Print Table 1, the published figures and the answer in the terminal; raises as `build_report` does."""
    print_results(analyse(collect(study, profile)), console)


def print_results(results: Results, console: Console | None = None) -> None:
    """Print what `print_table` prints."""
    console = console or output()
    for problem in results.problems:
        console.print(as_it_is(problem, "yellow"))
    width = console.width
    claims = summary.claims(results, tables.columns(results), tables.table_1(results))
    for table in (terminal.rich_table(results), terminal.rich_published(results), terminal.rich_claims(claims)):
        if table:
            if not console.is_terminal:  # lines of a log are not limited to a width
                needed = table.__rich_measure__(console, console.options.update(max_width=1000)).maximum
                console.width = max(width, needed)
            console.print(table)
            console.width = width
    for line in (*gaps.left_out_scores(results), summary.answer(results, claims)):
        console.print(as_it_is(line))


def _write(path: Path, content: str) -> None:
    write_whole(path, content.encode(), "give another one by --reports")


def _read(path: Path) -> dict[str, Any] | None:
    """A report's texts; None for a JSON file that is not a report of this format."""
    try:
        page = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
    if not isinstance(page, dict):
        return None
    if page.get("format") == earlier.FORMAT:
        page = earlier.upgraded(page) | {"format": FORMAT}
    return page if page.get("format") == FORMAT else None


@cache
def _templates(kind: Literal["md", "html", "tex"]) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lit_ae.report", "templates"),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    if kind == "tex":  # LaTeX is full of braces and hashes
        environment.block_start_string, environment.block_end_string = "<%", "%>"
        environment.variable_start_string, environment.variable_end_string = "<<", ">>"
        environment.comment_start_string, environment.comment_end_string = "<#", "#>"
    environment.filters["md"] = md_cell
    environment.filters["header"] = lambda column: with_arrow(column["label"], column["better"])
    environment.filters["by_group"] = lambda figures: groupby(figures, key=itemgetter("group"))
    environment.filters["values_are"], environment.filters["shows"] = text.values_are, text.shows
    environment.filters["tex"] = tex_escape
    environment.filters["capital"] = lambda value: value[:1].upper() + value[1:]
    return environment


def tex_escape(value: str) -> str:
    """Plain text to LaTeX: special characters, signs and Greek letters."""
    return "".join(_TEX.get(character, character) for character in value)
