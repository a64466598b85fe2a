"""`make readme`: render the committed reports from their JSON, and fill in the tables of README.md from them.

A table stands between two comments:

<!-- table: full/stochastic --> ... <!-- /table -->    is Table 1 of experiments/reports/full/stochastic.md
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REPORTS = Path("experiments/reports")  # from the README
PLACE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def table_of(report: str, root: Path = ROOT) -> str:
    """The first table of a report such as `full/stochastic`, with its caption and a link to the report."""
    path = REPORTS / f"{report}.md"
    try:
        text = (root / path).read_text("utf-8")
    except OSError:
        sys.exit(f"error: README.md asks for the table of {report}, but {path} is not there: make that report first")
    found = re.search(r"^## Table 1\n\n((?:\|.*\n)+)\n(.+)\n", text, re.M)
    if found is None:
        sys.exit(f"error: {path} holds no Table 1")
    return f"\n{found[1]}\n{found[2]} [Report]({path.as_posix()}).\n\n"


def filled(readme: str, root: Path = ROOT) -> str:
    """The README with every table as it is in its report now."""
    return PLACE.sub(lambda place: place[1] + table_of(place[2], root) + place[3], readme)


def render_reports(folder: Path = ROOT / REPORTS / "full") -> None:
    """Write the Markdown, LaTeX and index of a folder anew from each report's JSON, by the templates of today."""
    from lit_ae.report.render import FORMAT, write_index, write_page

    for path in sorted(folder.glob("*.json")):
        page = json.loads(path.read_text("utf-8"))
        if page["format"] == FORMAT:
            write_page(page, folder)
    write_index(folder)


if __name__ == "__main__":
    render_reports()
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text("utf-8")), "utf-8")
