"""NAME.json of format 4, which had no claims and an answer of several clauses, read as one of format 5.

The reports of the full profile cannot be made again without their runs. Everything that the summary needs is in their
tables' texts; figures are grouped by their captions.
"""

from __future__ import annotations

import re
from typing import Any

from lit_ae.report.formats import ARROWS
from lit_ae.report.summary import ClaimText, Tested, claim_text, counted
from lit_ae.report.verdicts import Shown, decide, direction

FORMAT = 4
OF_A_RUN = re.compile(r"(.+), seed \d+: (.+)")  # caption of a figure that a run stored
SIGNIFICANT = "significant at 5 % (Holm): "
WORDS = {"higher": "higher", "lower": "lower", "varies more": "higher", "varies less": "lower"}


def upgraded(page: dict[str, Any]) -> dict[str, Any]:
    """The page with its claims, an answer of one sentence, and groups of figures; nothing else changes."""
    claims = [
        _claim(dict(zip(table["header"], row, strict=True)), page)
        for table in (page["readings"][0]["tables"] if page["readings"] else [])
        for row in table["rows"]
        if dict(zip(table["header"], row, strict=True)).get("claim")
    ]
    figures = [figure | {"group": _group(figure["caption"])} for figure in page["figures"]]
    answer = counted(claims) if claims else page["answer"]
    return page | {"claims": claims, "answer": answer, "figures": figures}


def _claim(cells: dict[str, str], page: dict[str, Any]) -> ClaimText:
    a, b = re.split(" − | against ", cells["comparison"], maxsplit=1)
    result = cells["result"].removeprefix(f"{SIGNIFICANT}{a} ")
    shown: Any = next((word for start, word in WORDS.items() if result.startswith(start)), "")
    arrow = next((name for name, arrow in ARROWS.items() if cells["metric"].endswith(arrow)), "none")
    better = "lower" if "std" in cells else arrow  # of spreads, whatever the metric
    found = decide(direction(cells["claim"], a), Shown(shown), better)  # no comparison had a margin
    measured = cells["std"] if "std" in cells else f"difference {cells['difference']}"
    test = Tested(a, b, cells["metric"], cells["claim"], cells["result"], cells["n"], measured, found, "std" in cells)
    return claim_text(test, page["columns"], page["rows"])


def _group(caption: str) -> str:
    """What the figures of a row have in common: the caption without the run, or a name for curves of losses."""
    of_a_run = OF_A_RUN.fullmatch(caption)
    if of_a_run:
        return of_a_run[2]
    return "Losses" if "by epoch" in caption else "Sweep"
