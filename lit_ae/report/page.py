"""Texts and figures to files: Markdown, LaTeX, CSV, PNG, and one HTML page over all reports of a folder."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lit_ae.console import output
from lit_ae.report import comparisons, figures, tables
from lit_ae.report.collect import collect

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.console import Console

    from lit_ae.study import Study

FORMAT = 2  # of NAME.json; the page leaves out files that say otherwise

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "†": r"$\dagger$", "–": "--",
    "…": r"\dots{}", "²": "$^2$", "→": r"$\to$",
    "∞": r"$\infty$", "≤": r"$\leq$", "≥": r"$\geq$", "“": "``", "”": "''", "’": "'", '"': "''", "α": r"$\alpha$",
    "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\varepsilon$", "λ": r"$\lambda$",
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


def build_report(study: Study, profile: str, out_dir: Path) -> ReportPaths:
    """Write a study's NAME.md, .tex, .csv, -comparisons.csv, .json and NAME/*.png, and index.html over all reports.

    Everything comes from the study's finished runs, so building twice gives the same bytes.

    Raises:
        SettingError: unknown profile, no run at all, or a metric that no run logged.
    """
    results = collect(study, profile)
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn, absent = figures.draw(results, out_dir)
    page: dict[str, Any] = {
        "format": FORMAT,
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "answer": comparisons.answer(results),
        "profile": profile,
        "problems": results.problems + absent,
        "columns": [column.label for column in study.columns],
        "rows": tables.table_1(results),
        "published": tables.beside_published(results),
        "published_caption": tables.published_caption(results),
        "unplaced": tables.unplaced(results),
        "readings": comparisons.readings(results),
        "figures": drawn,
        "cards": [
            {"title": title, "rows": rows}
            for title, rows in (
                ("Protocol of the scores", results.protocol),
                ("Runs", tables.run_card(results)),
                ("Models", tables.model_card(results)),
                ("Versions and hardware", results.environment),
            )
            if rows
        ],
        "seeds": tables.seeds_text(len(results.profile.seeds)),
        "notes": list(study.notes),
        "notes_title": "What the original got wrong, and how we know" if study.published else "Notes",
        "order": study.order,
    }
    paths = ReportPaths(
        markdown=out_dir / f"{study.name}.md",
        latex=out_dir / f"{study.name}.tex",
        csv=out_dir / f"{study.name}.csv",
        comparisons=out_dir / f"{study.name}-comparisons.csv",
        html=out_dir / "index.html",
        json=out_dir / f"{study.name}.json",
        figures=tuple(out_dir / figure["src"] for figure in drawn),
    )
    _write(paths.json, json.dumps(page, ensure_ascii=False, indent=1) + "\n")
    _write(paths.csv, tables.table_1_csv(results))
    _write(paths.comparisons, comparisons.comparisons_csv(results))
    _write(paths.markdown, _templates("md").get_template("report.md.j2").render(page))
    _write(paths.latex, _templates("tex").get_template("report.tex.j2").render(page))
    reports = [report for report in map(_read, sorted(out_dir.glob("*.json"))) if report]
    reports.sort(key=lambda report: report["order"])
    _write(paths.html, _templates("html").get_template("index.html.j2").render(reports=reports))
    return paths


def print_table(study: Study, profile: str, console: Console | None = None) -> None:
    """Print Table 1, the published figures and the answer in the terminal; raises as `build_report` does."""
    results = collect(study, profile)
    console = console or output()
    for problem in results.problems:
        console.print(problem, style="yellow", markup=False, highlight=False)
    width = console.width
    for table in (tables.rich_table(results), tables.rich_published(results)):
        if table:
            if not console.is_terminal:  # the lines of a log are as long as it takes
                needed = table.__rich_measure__(console, console.options.update(max_width=1000)).maximum
                console.width = max(width, needed)
            console.print(table)
            console.width = width
    console.print(comparisons.answer(results), markup=False, highlight=False)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _read(path: Path) -> dict[str, Any] | None:
    """A report's texts; None for a JSON file that is no report of this format."""
    try:
        page = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
    return page if isinstance(page, dict) and page.get("format") == FORMAT else None


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
    environment.filters["md"] = lambda text: re.sub(r"\s+", " ", str(text)).replace("|", r"\|")
    environment.filters["tex"] = tex_escape
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    return environment


def tex_escape(text: str) -> str:
    """Plain text to LaTeX: special characters, signs and Greek letters."""
    return "".join(_TEX.get(character, character) for character in text)
