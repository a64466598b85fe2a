"""What a report says first: each declared claim with its published figure, ours and the verdict, and one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from lit_ae.report.captions import command
from lit_ae.report.cells import best_rows
from lit_ae.report.formats import DASH, listed, significant, with_arrow
from lit_ae.report.text import sample_size, verdict
from lit_ae.report.verdicts import VERDICTS, Verdict, verdict_on

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Results
    from lit_ae.report.tables import CellText, ColumnText, RowText

LEADERS = 3  # columns whose best row the answer names if nothing is declared
PUBLISHED = re.compile(r"\s*\(published:? ([^()]*)\)")


class ClaimText(TypedDict):
    """A declared claim as it is printed."""

    claim: str
    published: str  # figures of the two rows, and what the claim quotes; a dash if there are none
    ours: str  # with the number of seeds or of test samples
    verdict: Verdict
    why: str  # what the test shows, or why there is none


class Tested(NamedTuple):
    """A comparison in the texts of its table."""

    a: str  # row
    b: str  # row, or the name of the metric of row a that it is compared with
    metric: str  # with its arrow
    claim: str
    result: str
    n: str
    measured: str  # the difference of means, or both standard deviations; empty if there is none
    verdict: Verdict
    of_spreads: bool = False  # variances are compared, not means


def claims(results: Results, columns: Sequence[ColumnText], rows: Sequence[RowText]) -> list[ClaimText]:
    """The claims that a study declares, over all its seeds, with the columns and rows of its Table 1."""
    tests = results.readings[0].tests if results.readings else []
    return [claim_text(_tested(test), columns, rows) for test in tests if test.comparison.claim]


def claim_text(test: Tested, columns: Sequence[ColumnText], rows: Sequence[RowText]) -> ClaimText:
    """A claim with the cells of Table 1 that it compares, published and ours."""
    labels = [with_arrow(column["label"], column["better"]) for column in columns]
    names = [column["label"] for column in columns]
    by_row = {row["model"]: row["cells"] for row in rows}

    def cell(row: str, column: str, among: list[str]) -> CellText | None:
        return by_row[row][among.index(column)] if row in by_row and column in among else None

    a = cell(test.a, test.metric, labels)
    b = cell(test.b, test.metric, labels) if test.b in by_row else cell(test.a, test.b, names)
    quoted = PUBLISHED.search(test.claim)
    figures = [
        f"{name} {found['published']}" for name, found in ((test.a, a), (test.b, b)) if found and found["published"]
    ]
    published = [*figures, *([quoted[1]] if quoted else [])]
    ours = f"std {test.measured}" if test.of_spreads and test.measured else test.measured
    # With different numbers of seeds the test is over other seeds than the mean of one of them
    if a and b and not test.of_spreads and a["few"] == b["few"] and test.n != "0":
        ours = " against ".join(found["text"].removesuffix("†") for found in (a, b))
    what = f"spread of {test.metric}" if test.of_spreads else test.metric
    return {
        "claim": f"{test.a} against {test.b}, {what}: {PUBLISHED.sub('', test.claim)}",
        "published": "; ".join(published) or DASH,
        "ours": f"{ours or DASH} ({f'n = {test.n}' if test.n.isdecimal() else test.n})",
        "verdict": test.verdict,
        "why": test.result,
    }


def answer(results: Results, found: Sequence[ClaimText]) -> str:
    """One plain sentence, and the command that adds runs if some are missing."""
    if not results.readings:
        return _leaders(results)
    waiting = [test for test in results.readings[0].tests if test.lacks]
    return f"{counted(found)}{command(results, waiting)}"


def counted(found: Sequence[ClaimText]) -> str:
    """How many claims have which verdict, as a sentence; with a single claim, the claim itself."""
    numbers = {name: sum(claim["verdict"] == name for claim in found) for name in VERDICTS}
    n = len(found)
    if not n:
        return "No claim was declared; the table of comparisons says what each test shows."
    if n == 1:
        if numbers["cannot be told"]:
            return f"Whether the declared claim holds cannot be told ({found[0]['claim']})."
        return f"The declared claim is {found[0]['verdict']} ({found[0]['claim']})."
    if numbers["cannot be told"] == n:
        return f"Whether any of the {n} declared claims holds cannot be told, for the reasons in the table."
    said = [
        (f"{k} " if name == "cannot be told" else f"{k} {'is' if k == 1 else 'are'} ") + name
        for name, k in numbers.items()
        if k
    ]
    if len(said) == 1:
        return f"All {n} declared claims are {next(name for name, k in numbers.items() if k)}."
    return f"Of {n} declared claims, {listed(said)}."


def _tested(test: Outcome) -> Tested:
    a, b = test.stds
    if test.comparison.test == "variance":
        measured = f"{significant(a)} against {significant(b)}" if a == a and b == b else ""
    else:
        difference = test.of_means.mean_difference if test.of_means else test.difference
        measured = f"difference {significant(difference, '+')}" if difference == difference else ""
    return Tested(
        test.comparison.a,
        test.b_name,
        with_arrow(test.label, test.better),
        test.comparison.claim,
        verdict(test),
        sample_size(test),
        measured,
        verdict_on(test),
        test.comparison.test == "variance",
    )


def _leaders(results: Results) -> str:
    best = [(column, *best_rows(results, column)) for column in results.study.columns]
    said = [
        f"{listed(models)} {'has' if len(models) == 1 else 'have'} the "
        f"{'lowest' if column.better == 'lower' else 'highest'} (best) {column.label} ({value})"
        for column, value, models in best
        if models
    ][:LEADERS]
    if not said:
        return "The table shows what was measured; no comparison was declared, so that none of this is tested."
    return f"As measured, {listed(said)}; no comparison was declared, so that none of this is tested."
