"""Results to sentences: the answer, what each test shows, and what the signs mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lit_ae.report.captions import command
from lit_ae.report.cells import best_rows
from lit_ae.report.formats import p_value, seeds_text, significant

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Results

LEADERS = 3  # columns whose best row the answer names if nothing is tested


def verdict(test: Outcome) -> str:
    """What the test shows at 5 % after Holm's correction, in a few words, or why there is none."""
    if test.lacks:
        return f"no verdict: {test.lacks}"
    if test.constant_name:
        return f"no test: {test.constant_name} is the same for every seed"
    if math.isnan(test.p):
        return f"not computable: {test.why_not}"
    if not test.is_significant:
        return _equivalent(test) or f"no difference shown{_over(test, ' ')}"
    a = test.comparison.a
    if test.of_means is not None:
        quality = _quality(test)
        which = f", which is {quality}" if quality else ""
        but = f", but {_equivalent(test)}" if test.is_equivalent else ""
        return f"significant at 5 % (Holm): {a} {_direction(test)}{which}{_over(test, ', ')}{but}"
    return f"significant at 5 % (Holm): {a} varies {_direction(test)}"


def answer(results: Results) -> str:
    """Sentences made from the numbers: which declared comparisons are significant, which are not or have no test.

    If no test can be made it says what was measured; if none was declared, which row is best.
    """
    if not results.readings:
        return f"{_leaders(results)}; no comparison was declared, so none of this is tested."
    reading = results.readings[0]
    fewest, most = reading.ns
    n, seeds = len(reading.tests), seeds_text(fewest, most)
    waiting = [test for test in reading.tests if test.lacks]
    if not waiting and most < 2:
        return f"{_measured(results)}; with a single seed, none of this can be tested."
    shown = [_finding(test) for test in reading.tests if test.is_significant]
    undecided = [test for test in reading.tests if not test.is_significant and math.isfinite(test.p)]
    equal = [f"{_pair(test)} ({_within(test)})" for test in undecided if test.is_equivalent]
    others = [_pair(test) + _over(test, " ") for test in undecided if not test.is_equivalent]
    constant = [_pair(test) for test in reading.tests if test.constant_name]
    untested = [
        _pair(test) for test in reading.tests if math.isnan(test.p) and not test.lacks and not test.constant_name
    ]
    if shown:
        text = f"{len(shown)} of {n} declared comparisons {'is' if len(shown) == 1 else 'are'} significant"
    elif len(undecided) == n:
        text = f"none of the {n} declared comparisons is significant" if n > 1 else "the comparison is not significant"
    else:
        text = f"none of the {len(undecided)} comparisons that are tested, of {n} declared, is significant"
    text = f"With {seeds}, {text} at 5 % after Holm's correction"
    if not shown and not undecided:
        text = _measured(results)
    if shown:
        text += f": {'; '.join(shown)}"
    if equal:
        text += f"; shown to be equivalent: {'; '.join(equal)}"
    if others:
        text += f"; no difference shown: {'; '.join(others)}" if shown or equal else f" ({'; '.join(others)})"
    if constant:
        each = "" if len(constant) < n else " of each comparison"
        text += f"; not tested, because one side{each} is the same for every seed"
        text += f": {'; '.join(constant)}" if len(constant) < n else ""
    if untested:
        text += f"; not computable: {'; '.join(untested)}"
    for lacks in dict.fromkeys(test.lacks for test in waiting):
        pairs = [_pair(test) for test in waiting if test.lacks == lacks]
        text += f"; no verdict, because {lacks}"
        text += f": {'; '.join(pairs)}" if len(waiting) < n else ""
    return f"{text}.{command(results, waiting)}"


def unplaced(results: Results) -> str:
    """Published figures that no column names (not comparable with ours); empty if there are none."""
    keys = {column.published for column in results.study.columns}
    rows = {
        model: ", ".join(f"{key} {value:g}" for key, value in values.items() if key not in keys)
        for model, values in results.study.published.items()
    }
    said = "; ".join(f"{model}: {text}" for model, text in rows.items() if text)
    return f"Published figures without a comparable column here: {said}." if said else ""


def legend(results: Results) -> str:
    """What the signs in Table 1 mean, apart from where the published figures are."""
    columns, signs = results.study.columns, []
    if any(column.better != "none" for column in columns):
        signs.append("↓: lower is better; ↑: higher is better")
    if any(column.better != "none" and column.mark_best for column in columns):
        signs.append(
            "bold: best mean of the column among rows with the most seeds, which describes it and tests nothing"
        )
    if results.study.comparisons:
        signs.append("†: significantly different in a declared comparison (Holm p < 0.05)")
    if any(cell.unknown for cell in results.cells.values()):
        signs.append("?: what the published figure measured is unknown")
    return "; ".join([*signs, "–: no value"])


def _equivalent(test: Outcome) -> str:
    """What the test of equivalence shows; empty if it shows nothing or none was declared."""
    return f"equivalent at 5 % (Holm): {_within(test)}" if test.is_equivalent else ""


def _within(test: Outcome) -> str:
    return f"the means differ by less than {significant(test.comparison.margin or math.nan)}"


def _leaders(results: Results) -> str:
    best = [(column, *best_rows(results, column)) for column in results.study.columns]
    said = [
        f"{'lowest' if column.better == 'lower' else 'highest'} (best) {column.label}: {', '.join(models)} ({value})"
        for column, value, models in best
        if models
    ]
    return f"As measured, {'; '.join(said[:LEADERS])}" if said else "The table shows what was measured"


def _measured(results: Results) -> str:
    said = []
    for test in results.readings[0].tests:
        a, b = test.means
        if test.comparison.test == "paired" and math.isfinite(a) and math.isfinite(b):
            better = f" ({test.better} is better)" if test.better != "none" else ""
            sides = f"{significant(a)} for {test.comparison.a} and {significant(b)} for {test.b_name}"
            said.append(f"{test.label} is {sides}{better}")
    return f"As measured, {'; '.join(said)}" if said else _leaders(results)


def _finding(test: Outcome) -> str:
    p = f"Holm p {'' if test.p_holm < 0.001 else '= '}{p_value(test.p_holm)}"
    a, b = test.comparison.a, test.b_name
    if test.of_means is not None:
        quality = _quality(test)
        p = f"{_over(test, '')}, {p}".removeprefix(", ")
        word = f"{_direction(test)}{f' ({quality})' if quality else ''}"
        size = significant(abs(test.of_means.mean_difference))
        if test.comparison.b_metric:
            return f"for {a}, {test.label} is {word} than {b} by {size} ({p})"
        return f"{test.label} is {word} for {a} than for {b} by {size} ({p})"
    result = test.unpaired_variance
    assert result is not None
    spreads = f"std {significant(result.std_a)} and {significant(result.std_b)}"
    return f"{test.label} varies {_direction(test)} for {a} than for {b} ({spreads}, {p})"


def _pair(test: Outcome) -> str:
    if test.comparison.b_metric:
        return f"{test.label} and {test.b_name} of {test.comparison.a}"
    return f"{test.comparison.a} and {test.b_name} in {test.label}"


def _over(test: Outcome, before: str) -> str:
    """`over 10,000 test samples` after a separator; empty for a test over seeds."""
    return f"{before}over {test.over_samples.n:,} test samples" if test.over_samples else ""


def _direction(test: Outcome) -> str:
    """`higher` or `lower` of a mean, `more` or `less` of a spread, for the comparison's first row."""
    if test.of_means is not None:
        return "higher" if test.of_means.mean_difference > 0 else "lower"
    assert test.unpaired_variance is not None
    return "more" if test.unpaired_variance.std_a > test.unpaired_variance.std_b else "less"


def _quality(test: Outcome) -> str:
    """`better` or `worse` for a mean of the comparison's first row; empty if the metric has no better direction."""
    if test.better == "none":
        return ""
    return "better" if _direction(test) == test.better else "worse"
