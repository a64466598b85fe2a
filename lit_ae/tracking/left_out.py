"""Scores that a run could not have, as its protocol names them."""

from collections.abc import Mapping


def why_left_out(left_out: Mapping[str, str], metric: str) -> str:
    """The reason why a run left out the score of a metric; empty if its protocol does not name that score.

    Args:
        left_out: of the protocol: score, or the class that computes it -> reason.
        metric: with or without the stage, and KEY@EPOCH for that of an epoch.
    """
    name = metric.partition("@")[0]
    names = (name, name.partition("/")[2])  # with the stage and without it
    return next((why for score, why in left_out.items() if any(f"{n}/".startswith(f"{score}/") for n in names)), "")
