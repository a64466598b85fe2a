"""In what the runs of a report differ beside what its rows say: then their values cannot simply be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lit_ae.report.cards import differing, revision
from lit_ae.studies.precision import precision_of

if TYPE_CHECKING:
    from lit_ae.tracking import Run


def differences(runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    """A sentence for each difference of precision, revision or data; runs are model -> seed -> run."""
    return [
        *_said(runs, precision_of, "were not all computed in the same precision"),
        *_said(runs, revision, "were not all made by the same git revision of the code"),
        *_data(runs),
    ]


def _said(runs: Mapping[str, Mapping[int, Run]], of_run: Callable[[Run], str], what: str) -> list[str]:
    used = {model: sorted({of_run(run) for run in own.values()}) for model, own in runs.items()}
    if len({name for names in used.values() for name in names}) < 2:
        return []
    return [f"the runs {what}: {differing(used)}"]


def _data(runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    """Runs whose settings of the data are the same and whose data are not: a file has changed between them."""
    digests: dict[tuple[tuple[str, str], ...], dict[str, list[str]]] = {}
    for model, own in runs.items():
        for run in own.values():
            settings = tuple(sorted((k, str(v)) for k, v in run.params.items() if k == "data" or k.startswith("data.")))
            chosen = any(key == "data.labels_per_class" for key, _ in settings)  # by each run's seed
            if settings and not chosen and (digest := run.tags.get("data_digest")):
                digests.setdefault(settings, {}).setdefault(digest, []).append(f"{model} seed {run.seed}")
    return [
        "the data have changed between runs, so that their values cannot be compared: "
        + "; ".join(f"{', '.join(names)}: {digest}" for digest, names in found.items())
        for found in digests.values()
        if len(found) > 1
    ]
