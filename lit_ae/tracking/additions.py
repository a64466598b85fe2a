"""Additions to what a run has already been given by an earlier test."""

import json
from collections.abc import Mapping
from contextlib import suppress

from lit_ae.tracking.query import get_run
from lit_ae.tracking.runs import log_json, set_tags
from lit_ae.tracking.unsent import sent_or_kept


@sent_or_kept
def add_protocol(run_id: str, protocol: Mapping[str, object], path: str) -> None:
    """Store entries of a protocol in the JSON artifact `path`, beside earlier ones but for their `left_out`."""
    stored = get_run(run_id).artifact(path)
    before: dict[str, object] = {}
    with suppress(ValueError):  # damaged: what is added now is all that is known
        before = json.loads(stored.read_text(encoding="utf-8")) if stored else {}
    before.pop("left_out", None)
    log_json(run_id, {**before, **protocol}, path)


@sent_or_kept
def add_score_versions(run_id: str, versions: Mapping[str, int]) -> None:
    """Store versions of scores in the tag `score_versions`, beside those of others."""
    before = json.loads(get_run(run_id).tags.get("score_versions", "{}"))
    set_tags(run_id, {"score_versions": json.dumps({**before, **versions}, sort_keys=True)})
