"""The test over test samples, for a comparison whose spread over seeds is that of one side alone or of none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_ae.statistics import SampleResult
    from lit_ae.tracking import Run
    from lit_ae.tracking.samples import Values

SAME = 1e-4  # relative difference between a metric and the mean of its kept values that is rounding

Side = tuple[Mapping[int, "Run"], str, Mapping[int, float]]  # a row's runs, its metric, and the metric by seed


def over_samples(a: Side, b: Side) -> SampleResult | None:
    """Compare two sides over test samples, each averaged over its seeds.

    None if a run has no value for each sample (an older run, or a metric that is no mean over samples), if the samples
    are not the same everywhere, or if they cannot be tested: see `paired_test_over_samples`.
    """
    import numpy as np

    from lit_ae import statistics

    found = [[_kept(runs[seed], metric, value) for seed, value in by_seed.items()] for runs, metric, by_seed in (a, b)]
    kept = [pair for side in found for pair in side]
    if not kept or any(pair is None for pair in kept):
        return None
    values, digests = zip(*(pair for pair in kept if pair is not None), strict=True)
    used = np.isfinite(values[0])
    if len(set(digests)) > 1 or any((np.isfinite(each) != used).any() for each in values):
        return None
    n = len(found[0])
    try:
        return statistics.paired_test_over_samples(np.stack(values[:n])[:, used], np.stack(values[n:])[:, used])
    except ValueError:  # too few samples, or no spread
        return None


def _kept(run: Run, metric: str, mean: float) -> tuple[Values, str] | None:
    """The kept values [N] and the samples' digest; None if their mean is not the metric, as of an older computation."""
    import numpy as np

    from lit_ae import tracking

    stage, _, name = metric.partition("/")
    found = tracking.sample_values(run, name) if stage == "test" else None
    if found is None or not np.isfinite(found[0]).any():
        return None
    same = math.isclose(float(np.nanmean(found[0], dtype=np.float64)), mean, rel_tol=SAME)
    return found if same else None
