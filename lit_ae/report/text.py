"""Results to sentences: what each test shows, and what the signs mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lit_ae.report.formats import seeds_text, significant

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Results


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
    if test.shift == test.shift:
        quality = _quality(test)
        which = f", which is {quality}" if quality else ""
        but = f", but {_equivalent(test)}" if test.is_equivalent else ""
        return f"significant at 5 % (Holm): {a} {_direction(test)}{which}{_over(test, ', ')}{but}"
    assert test.unpaired_variance is not None
    said = {
        "higher": f"{a} varies more",
        "lower": f"{a} varies less",
        "": "the spreads differ, but standard and mean absolute deviations disagree on which is larger",
    }
    return f"significant at 5 % (Holm): {said[test.unpaired_variance.direction]}"


def sample_size(test: Outcome) -> str:
    """What a test is over: the number of seeds by itself, or `10,000 test samples`, or `5 data sets`."""
    return _over(test, "").removeprefix("over ") or str(test.n)


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
    one_task = any(results.profile_name not in spec.profile_data for spec in results.study.models.values())
    if one_task and any(column.better != "none" and column.mark_best for column in columns):
        signs.append(
            "bold: best mean of the column among rows with the most seeds, which describes it and tests nothing"
        )
    if results.study.comparisons:
        signs.append("†: significantly different in a declared comparison (Holm p < 0.05)")
    if any(cell.unknown for cell in results.cells.values()):
        signs.append("?: what the published figure measured is unknown")
    return "; ".join([*signs, "–: no value"])


def values_are(seeds: int | str) -> str:
    """What the values of Table 1 are, given the number of seeds or the text of `seeds_text` for it."""
    text = seeds if isinstance(seeds, str) else seeds_text(seeds)
    return "values of a single seed" if text == seeds_text(1) else f"mean ± standard deviation (n − 1) over {text}"


def shows(rows: list[Any], part: str) -> bool:
    """Whether a cell of Table 1 has a `published` figure, or too `few` seeds."""
    return any(cell[part] for row in rows for cell in row["cells"])


def _equivalent(test: Outcome) -> str:
    """What the test of equivalence shows; empty if it shows nothing or none was declared."""
    return f"equivalent at 5 % (Holm): {_within(test)}" if test.is_equivalent else ""


def _within(test: Outcome) -> str:
    return f"the means differ by less than {significant(test.comparison.margin or math.nan)}"


def _over(test: Outcome, before: str) -> str:
    """`over 10,000 test samples` or `over 5 data sets` after a separator; empty for a test over seeds."""
    if test.over_data_sets:
        return f"{before}over {test.over_data_sets.n} data sets"
    return f"{before}over {test.over_samples.n:,} test samples" if test.over_samples else ""


def _direction(test: Outcome) -> str:
    """`higher` or `lower`, of the mean of the comparison's first row."""
    return "higher" if test.shift > 0 else "lower"


def _quality(test: Outcome) -> str:
    """`better` or `worse` for a mean of the comparison's first row; empty if the metric has no better direction."""
    if test.better == "none":
        return ""
    return "better" if _direction(test) == test.better else "worse"
