"""Additions to what a run has already been given by an earlier test."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from lit_ae.tracking.query import get_run
from lit_ae.tracking.runs import log_json, set_tags
from lit_ae.tracking.unsent import sent_or_kept


@sent_or_kept
def add_protocol(run_id: str, protocol: Mapping[str, Any], path: str, renewed: Collection[str] | None = None) -> None:
    """Store entries of a protocol in the JSON artifact `path`, beside earlier ones.

    Of the earlier `left_out`, scores with the reason why they cannot be had, those with names in `renewed` are dropped,
    or all if it is None.
    """
    stored = get_run(run_id).artifact(path)
    before: dict[str, Any] = {}
    with suppress(ValueError):  # damaged: what is added now is all that is known
        before = json.loads(stored.read_text(encoding="utf-8")) if stored else {}
    reasons = [entries.get("left_out", {}) for entries in (before, protocol)]
    earlier = {} if renewed is None else {name: why for name, why in reasons[0].items() if name not in renewed}
    left_out = {**earlier, **reasons[1]}
    before.pop("left_out", None)
    log_json(run_id, {**before, **protocol, **({"left_out": left_out} if left_out else {})}, path)


@sent_or_kept
def add_score_versions(run_id: str, versions: Mapping[str, int]) -> None:
    """Store versions of scores in the tag `score_versions`, beside those of others."""
    before = json.loads(get_run(run_id).tags.get("score_versions", "{}"))
    set_tags(run_id, {"score_versions": json.dumps({**before, **versions}, sort_keys=True)})
