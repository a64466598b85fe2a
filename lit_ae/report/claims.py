"""One page of all comparisons that the studies of a folder declare, corrected together."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from lit_ae.report.formats import DASH, p_value, significant
from lit_ae.report.markdown import md_cell, md_escaped
from lit_ae.settings.whole_files import write_whole

NAME = "all-comparisons.md"
HEADER = [
    "report",
    "comparison",
    "metric",
    "claim",
    "n",
    "difference",
    "p",
    "Holm p, its report",
    "Holm p, all",
    "BH p, all",
]
INTRODUCTION = """# All declared comparisons

Each report corrects its own comparisons (Holm). Who reads all reports looks at {tests} tests, so that the last two
columns correct over all of them: Holm's p bounds the chance of any false finding, Benjamini and Hochberg's (BH) the
expected share of false findings among those below 5 %. {declared} comparisons are declared; one without a test (a dash)
counts in both as p = 1. Variances have no difference. {below} of {tests} p-values are below 5 % as they are, {holm} by
Holm over all, {bh} by BH.
"""


def write_claims(out_dir: Path) -> None:
    """Write all-comparisons.md over the NAME-comparisons.csv files of a folder; nothing where there is none."""
    from lit_ae import statistics

    declared = list(_declared(out_dir))
    if not declared:
        return
    ps = [float(row["p"] or "nan") for _, row in declared]
    counted = [p if math.isfinite(p) else 1.0 for p in ps]
    holm, bh = statistics.holm(counted), statistics.benjamini_hochberg(counted)
    rows = []
    for (name, row), p, all_holm, all_bh in zip(declared, ps, holm, bh, strict=True):
        against = row["b"] if row["b_metric"] == row["metric"] else row["b_metric"]
        difference = significant(float(row["mean_difference"] or "nan"), "+")
        corrected = [p_value(float(row["p_holm"] or "nan")), *map(p_value, (all_holm, all_bh))]
        tested = [p_value(p), *corrected] if math.isfinite(p) else [DASH] * 4
        n = row["n"] if row["over"] == "seeds" else f"{int(row['n']):,} {row['over']}"
        said = [f"{row['a']} against {against}", row["metric"], row["claim"], n, difference]
        rows.append([f"[{name}]({name}.md)", *(md_cell(md_escaped(text)) for text in (*said, *tested))])
    tested_ps = [p for p in ps if math.isfinite(p)]
    numbers = {
        "tests": len(tested_ps),
        "declared": len(declared),
        "below": sum(p < 0.05 for p in tested_ps),
        "holm": sum(p < 0.05 for p in holm),
        "bh": sum(p < 0.05 for p in bh),
    }
    lines = [f"| {' | '.join(line)} |" for line in (HEADER, [":--"] * 4 + ["--:"] * 6, *rows)]
    text = "\n".join([INTRODUCTION.format(**numbers), *lines, ""])
    write_whole(out_dir / NAME, text.encode(), "give another one by --reports")


def _declared(out_dir: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The report's name and the row of each comparison over all its seeds."""
    for path in sorted(out_dir.glob("*-comparisons.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        most = max((int(row["seeds"]) for row in rows), default=0)
        for row in rows:
            if int(row["seeds"]) == most:
                older = {"claim": "", "over": "seeds", "b_metric": row["metric"]}  # files of earlier reports lack these
                yield path.name.removesuffix("-comparisons.csv"), {**older, **row}
