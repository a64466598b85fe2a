"""Scores of single test samples: the test over them, and how much they add to the noise of a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lit_ae.report.collect import seed_values

if TYPE_CHECKING:
    from lit_ae.report.analyse import Reading, Results
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


class Source(NamedTuple):
    """Where the spread of a row's metric comes from."""

    row: str
    metric: str
    seeds: int
    over_seeds: float  # standard deviation of the mean over seeds (n - 1)
    samples: int
    over_samples: float  # standard error of the mean over test samples within a seed, root mean square over seeds


def sources(results: Results, reading: Reading) -> list[Source]:
    """Model noise and test-set noise of each row and metric that is compared by means and kept its samples' values."""
    paired = [test.comparison for test in reading.tests if test.comparison.test == "paired" and not test.lacks]
    sides = dict.fromkeys(side for c in paired for side in zip((c.a, c.b), c.metrics, strict=True))
    found = (_source(results, row, metric, reading.seeds) for row, metric in sides)
    return [source for source in found if source is not None]


def _source(results: Results, row: str, metric: str, seeds: Sequence[int]) -> Source | None:
    import numpy as np

    runs = results.runs.get(row, {})
    kept = [_kept(runs[seed], metric, value) for seed, value in seed_values(runs, metric, seeds).items()]
    values = [pair[0][np.isfinite(pair[0])] for pair in kept if pair is not None]
    if len(values) < max(2, len(kept)) or min(map(len, values)) < 2:
        return None
    over_seeds = float(np.std([x.mean(dtype=np.float64) for x in values], ddof=1))
    over_samples = math.sqrt(float(np.mean([x.var(ddof=1, dtype=np.float64) / len(x) for x in values])))
    return Source(row, metric, len(values), over_seeds, len(values[0]), over_samples)


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
