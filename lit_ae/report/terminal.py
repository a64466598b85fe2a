"""The tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_ae.console import as_it_is
from lit_ae.report.captions import published_caption
from lit_ae.report.formats import with_arrow
from lit_ae.report.tables import CellText, beside_published, table_1
from lit_ae.report.text import legend, shows, values_are

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

    from lit_ae.report.analyse import Results
    from lit_ae.report.summary import ClaimText


def rich_table(results: Results) -> RichTable:
    """Table 1 for the terminal, transposed if that is narrower; published figures below ours."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = as_it_is(f"{results.study.title} ({results.profile_name})", "table.title")
    rows = table_1(results)
    published = "; in parentheses the published figure" if shows(rows, "published") else ""
    caption = f"{values_are(len(results.profile.seeds))}{published}; {legend(results)}"
    names = [row["model"] for row in rows]
    heads = [with_arrow(column.label, column.better) for column in results.study.columns]
    cells = [[_rich_cell(cell) for cell in row["cells"]] for row in rows]
    corner = "model"
    if len(names) <= len(heads):
        corner, names, heads, cells = "metric", heads, names, [list(line) for line in zip(*cells, strict=True)]
    table = Table(title=title, caption=as_it_is(caption, "table.caption"), box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(corner)
    for head in heads:
        table.add_column(as_it_is(head), justify="right")
    for name, line in zip(names, cells, strict=True):
        table.add_row(as_it_is(name), *line)
    return table


def rich_published(results: Results) -> RichTable | None:
    """Our figures and the published ones for the terminal, None if there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = beside_published(results)
    if not rows:
        return None
    caption = as_it_is(published_caption(results), "table.caption")
    table = Table(title="Comparison with published figures", caption=caption, box=SIMPLE_HEAD, pad_edge=False)
    for head in ("model", "metric"):
        table.add_column(head)
    for head in ("ours", "published", "difference", "our result"):
        table.add_column(head, justify="right")
    for row in rows:
        texts = (row["model"], row["metric"], row["ours"], row["published"], row["difference"], row["ours_is"])
        table.add_row(*map(as_it_is, texts))
    return table


def rich_claims(claims: list[ClaimText]) -> RichTable | None:
    """The declared claims and their verdicts for the terminal, None if there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if not claims:
        return None
    table = Table(title="Claims", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("claim", "published", "ours", "verdict", "what the test shows"):
        table.add_column(head)
    for claim in claims:
        texts = (claim["claim"], claim["published"], claim["ours"], claim["verdict"], claim["why"])
        table.add_row(*map(as_it_is, texts))
    return table


def _rich_cell(cell: CellText) -> Text:
    text = as_it_is(cell["text"], "bold" if cell["best"] else "")
    if cell["few"]:
        text.append(f"\n{cell['few']}", style="not bold yellow")
    if cell["published"]:
        text.append(f"\n({cell['published']})", style="not bold dim")
    return text
