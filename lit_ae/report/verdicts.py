"""What a declared claim was worth: the only place where a claim's words and its test become a verdict.

- "higher" and "lower" are confirmed by a significant difference in that direction, and contradicted by one in the other
  direction or by equivalence. In a comparison of variances they are meant of the standard deviations.
- "no difference" is confirmed by equivalence alone, and contradicted by a significant difference; where a margin was
  declared, only if the 95 % interval of the difference lies beyond it.
- "no worse" is confirmed by a significantly better mean or by equivalence, and contradicted by a significantly worse
  mean, with a margin as above. Of standard deviations the lower one is better, whatever the metric.

Significant: at 5 % after Holm's correction. Equivalent: shown at 5 % after Holm's correction that the means differ by
less than a margin that was declared before the runs; no other test shows that there is no difference. Everything else
cannot be told: a test without a result, no difference shown, a difference that is significant but shown to be smaller
than the margin where the claim is that there is one, and a claim whose words have no direction that can be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome

Direction = Literal["higher", "lower", "no difference", "no worse", ""]
Verdict = Literal["confirmed", "contradicted", "cannot be told"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "contradicted", "cannot be told")
OPPOSITE = {"higher": "lower", "lower": "higher"}
WORDS: tuple[Direction, ...] = ("higher", "lower", "no difference", "no worse")


class Shown(NamedTuple):
    """What a test shows of the first row against the second."""

    direction: Literal["higher", "lower", ""] = ""  # of a significant difference of means, or of standard deviations
    equivalent: bool = False  # the means differ by less than the declared margin
    beyond_margin: bool = True  # the interval of the difference lies beyond the margin; True where none was declared


def direction(claim: str, row: str) -> Direction:
    """What a claim says of its first row: the words it begins with, after the row's name if that comes first."""
    said = claim.removeprefix(f"{row} ").lower()
    return next((word for word in WORDS if re.match(rf"{word}\b", said)), "")


def decide(claimed: Direction, shown: Shown, better: str = "none") -> Verdict:
    """The verdict on a claim, by the rule above; `better` is the metric's direction: lower, higher or none."""
    if claimed == "no worse":
        if better not in OPPOSITE:
            return "cannot be told"
        if shown.equivalent or shown.direction == better:
            return "confirmed"
        return "contradicted" if shown.direction and shown.beyond_margin else "cannot be told"
    if claimed == "no difference":
        if shown.equivalent:
            return "confirmed"
        return "contradicted" if shown.direction and shown.beyond_margin else "cannot be told"
    if not claimed or (shown.direction == claimed and shown.equivalent):
        return "cannot be told"
    if shown.direction == claimed:
        return "confirmed"
    return "contradicted" if shown.direction or shown.equivalent else "cannot be told"


def shown_by(test: Outcome) -> Shown:
    """What a comparison shows."""
    if not test.is_significant:
        return Shown(equivalent=test.is_equivalent)
    margin, means, spreads = test.comparison.margin, test.of_means, test.unpaired_variance
    if test.over_data_sets is not None:  # no interval: with a margin it is not known to lie beyond it
        return Shown("higher" if test.shift > 0 else "lower", beyond_margin=margin is None)
    if means is None:
        assert spreads is not None
        return Shown(spreads.direction)
    beyond = margin is None or means.ci_low > margin or means.ci_high < -margin
    return Shown("higher" if means.mean_difference > 0 else "lower", test.is_equivalent, beyond)


def verdict_on(test: Outcome) -> Verdict:
    """The verdict on the claim of a comparison."""
    comparison = test.comparison
    better = "lower" if comparison.test == "variance" else test.better
    return decide(direction(comparison.claim, comparison.a), shown_by(test), better)
