"""Results to sentences: the answer, what each test shows, and what so few seeds cannot show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lit_ae.report.analyse import ALPHA, best_rows
from lit_ae.report.collect import seed_values
from lit_ae.report.formats import p_value, seeds_text, significant

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Reading, Results

LEADERS = 3  # columns whose best row the answer names if nothing is tested


def verdict(test: Outcome) -> str:
    """What the test shows at 5 % after Holm's correction, in a few words."""
    if math.isnan(test.p):
        return f"not computable: {test.why_not}"
    if not test.is_significant:
        return "no significant difference"
    a = test.comparison.a
    if test.paired is not None:
        quality = _quality(test)
        return f"significant at 5 % (Holm): {a} {_direction(test)}{f', which is {quality}' if quality else ''}"
    return f"significant at 5 % (Holm): {a} varies {_direction(test)}"


def answer(results: Results) -> str:
    """One sentence made from the numbers: which declared comparisons are significant and which are not.

    If no test can be made it says what was measured; if none was declared, which row is best.
    """
    if not results.readings:
        return f"{_leaders(results)}; no comparison was declared, so none of this is tested."
    reading = results.readings[0]
    fewest, most = reading.ns
    if most < 2:
        return f"{_measured(results)}; with a single seed, none of this can be tested."
    shown = [_finding(test) for test in reading.tests if test.is_significant]
    others = [_pair(test) for test in reading.tests if not test.is_significant and math.isfinite(test.p)]
    untested = [_pair(test) for test in reading.tests if math.isnan(test.p)]
    n, seeds = len(reading.tests), seeds_text(fewest, most)
    if shown:
        text = f"{len(shown)} of {n} declared comparisons {'is' if len(shown) == 1 else 'are'} significant"
    else:
        text = f"none of the {n} declared comparisons is significant" if n > 1 else "the comparison is not significant"
    text = f"With {seeds}, {text} at 5 % after Holm's correction"
    if shown:
        text += f": {'; '.join(shown)}"
    if others:
        text += f"; no significant difference: {'; '.join(others)}" if shown else f" ({'; '.join(others)})"
    if untested:
        text += f"; not computable: {'; '.join(untested)}"
    return f"{text}."


def limits(reading: Reading) -> str:
    """What so few seeds cannot show: the smallest number of seeds in a test of means, or of variances.

    Smallest p of the exact tests, power of the paired t-test at d_z = 1, 95 % interval of a
    standard deviation (χ²).
    """
    from scipy.stats import chi2

    from lit_ae import statistics

    family = len(reading.tests)
    pairs, group = (
        min((test.n for test in reading.tests if test.comparison.test == kind and test.n > 1), default=0)
        for kind in ("paired", "variance")
    )
    if not pairs and not group:
        return "Fewer than two seeds have no spread, so that no test can be made."
    said = []
    if pairs:
        least = statistics.smallest_two_sided_p(pairs)
        text = f"the Wilcoxon and sign-flip tests cannot give a p below {least:.3g}"
        if least > ALPHA:
            text += ", so neither can ever reach 5 %, whatever the data"
        elif least * family > ALPHA:
            text += f", which is {min(1.0, least * family):.3g} after correction for {family} comparisons"
        missed = 100 * (1 - statistics.power(pairs, 1.0))
        said.append(text)
        said.append(
            "the t-test can give a smaller p only because it assumes normally distributed differences, and it misses "
            f"a true mean difference of one standard deviation in {missed:.0f} % of studies even before correction"
        )
    if group:
        low, high = (math.sqrt((group - 1) / chi2.ppf(q, group - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
        said.append(
            f"a true standard deviation may lie anywhere from {low:.2g} to {high:.2g} times the measured one "
            "(95 % interval, normal data)"
        )
    fewest = min(n for n in (pairs, group) if n)
    return f"What {fewest} seeds cannot show: {'; '.join(said)}. “No significant difference” does not mean “equal”."


def tests_caption(reading: Reading) -> str:
    """What the columns of the comparisons' tables are."""
    return (
        f"Holm's correction covers the whole family of {len(reading.tests)} comparisons declared in the study file. "
        "Difference: first minus second model, mean over seeds, with its t interval. Effect size: that mean divided by "
        "the standard deviation of the differences (d_z), with Hedges' correction. Detectable at 80 % power: the "
        "smallest true difference that the uncorrected t-test would detect in four of five such studies, at the "
        "measured spread. Sign-flip: exact permutation test. Pitman–Morgan: variances paired by seed. The result "
        "is read from the Holm p; “no significant difference” does not mean “equal”."
    )


def published_caption(results: Results) -> str:
    """Caption of the comparison with published figures; outside `full` it also warns of other data and budgets."""
    text = "difference: ours − published; †: the published figure lies outside the 95 % t interval of our mean"
    if results.profile_name != "full":
        return (
            f"{text}; the {results.profile_name} profile has other data or a smaller budget than the published protocol"
        )
    return f"{text}; the protocol card says where our protocol differs"


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
        signs.append("bold: best mean of the column")
    if results.study.comparisons:
        signs.append("†: significantly different in a declared comparison (Holm p < 0.05)")
    return "; ".join([*signs, "–: no value"])


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
        declared = test.comparison
        sides = zip((declared.a, declared.b), declared.metrics, strict=True)
        values = [list(seed_values(results.runs[row], metric).values()) for row, metric in sides]
        if declared.test == "paired" and all(values):
            a, b = (sum(own) / len(own) for own in values)
            better = f" ({test.better} is better)" if test.better != "none" else ""
            said.append(
                f"{test.label} is {significant(a)} for {declared.a} and {significant(b)} for {test.b_name}{better}"
            )
    return f"As measured, {'; '.join(said)}" if said else _leaders(results)


def _finding(test: Outcome) -> str:
    p = f"Holm p {'' if test.p_holm < 0.001 else '= '}{p_value(test.p_holm)}"
    a, b = test.comparison.a, test.b_name
    if test.paired is not None:
        quality = _quality(test)
        word = f"{_direction(test)}{f' ({quality})' if quality else ''}"
        size = significant(abs(test.paired.mean_difference))
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


def _direction(test: Outcome) -> str:
    """`higher` or `lower` of a mean, `more` or `less` of a spread, for the comparison's first row."""
    if test.paired is not None:
        return "higher" if test.paired.mean_difference > 0 else "lower"
    assert test.unpaired_variance is not None
    return "more" if test.unpaired_variance.std_a > test.unpaired_variance.std_b else "less"


def _quality(test: Outcome) -> str:
    """`better` or `worse` for a mean of the comparison's first row; empty if the metric has no better direction."""
    if test.better == "none":
        return ""
    return "better" if _direction(test) == test.better else "worse"
