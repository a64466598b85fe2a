"""The table of the faults that the tests have made, printed at their end, and written to a file if asked for."""

from datetime import date
from pathlib import Path

HEAD = """# Faults

Each fault was done to a running command or to its files. `lost` and `doubled` count values of metrics that are missing
or logged twice compared with an undisturbed run. `recovered` counts the times that the same command, given again after
the remedy that its message names, if any, ended with bit-identical metrics and left no run in the state RUNNING.

This page is written by `make test-faults TABLE=docs/faults.md`: do not edit it.
"""


RESUMED = """
## Weights after two kills

SHA-256 of all entries of the state_dict of a training of 6 epochs on 60 digits: uninterrupted, and ended by `kill -9`
after so many optimiser steps of the first and of the second process, each time gone on with by `lit-ae fit --resume`.
"""


def summary(reporter, path):
    """Print the tables under the tests' own output."""
    reports = [*reporter.stats.get("passed", []), *reporter.stats.get("failed", [])]
    noted = [found for report in reports for found in report.user_properties]
    rows = {}  # fault -> times, lost, doubled, recovered
    for fault, lost, doubled, recovered in (row for name, row in noted if name == "fault"):
        before = rows.get(fault, (0, 0, 0, 0))
        rows[fault] = tuple(a + b for a, b in zip(before, (1, lost, doubled, int(recovered)), strict=True))
    resumed = [row for name, row in noted if name == "resumed"]
    total = tuple(map(sum, zip((0, 0, 0, 0), *rows.values(), strict=True)))
    faults = table(
        "fault | times | lost | doubled | recovered", [(f, *row) for f, row in [*sorted(rows.items()), ("all", total)]]
    )
    weights = table("family | killed after steps | entries | uninterrupted | killed twice and resumed", resumed)
    if rows or resumed:
        reporter.section("faults")
        reporter.write_line("\n".join([*(faults if rows else []), "", *(weights if resumed else [])]))
    if path:
        from lit_ae.tracking import machine

        hardware = machine.environment()["hardware"]
        made = f"{total[0]} faults on {hardware['cpu']}, {machine.cores()} cores, revision {machine.git_sha()}"
        failed = len(reporter.stats.get("failed", []))
        text = [HEAD, f"{made}, {date.today()}; tests that failed: {failed}.", "", *faults, RESUMED, *weights, ""]
        Path(path).write_text("\n".join(text))


def table(head, rows):
    """The lines of a table in Markdown."""
    marks = "|".join(":--" if i == 0 else "--:" for i in range(head.count("|") + 1))
    return [f"| {head} |", f"|{marks}|", *(f"| {' | '.join(map(str, row))} |" for row in rows)]
