"""Statistics across seeds, test samples and data sets: tests of means, ranks and variances, corrections, power."""

from lit_ae.statistics.corrections import benjamini_hochberg, holm
from lit_ae.statistics.data_sets import DataSetsResult, compare_over_data_sets, signed_rank_posterior
from lit_ae.statistics.equivalence import EquivalenceResult, equivalence_over_samples, equivalence_test
from lit_ae.statistics.improvement import Improvement, probability_higher
from lit_ae.statistics.intervals import confidence_interval, mean_std, prediction_interval
from lit_ae.statistics.paired import PairedResult, paired_test, sign_flip_p
from lit_ae.statistics.power import (
    detectable_effect,
    power,
    seeds_for_difference,
    seeds_needed,
    smallest_two_sided_p,
)
from lit_ae.statistics.ranks import RankResult, critical_difference, friedman_test
from lit_ae.statistics.ratios import variance_ratio_interval, variance_ratio_interval_paired
from lit_ae.statistics.samples import SampleResult, paired_test_over_samples
from lit_ae.statistics.variances import (
    VarianceResult,
    smallest_brown_forsythe_p,
    variance_test_paired,
    variance_test_unpaired,
)

__all__ = [
    "DataSetsResult",
    "EquivalenceResult",
    "Improvement",
    "PairedResult",
    "RankResult",
    "SampleResult",
    "VarianceResult",
    "benjamini_hochberg",
    "compare_over_data_sets",
    "confidence_interval",
    "critical_difference",
    "detectable_effect",
    "equivalence_over_samples",
    "equivalence_test",
    "friedman_test",
    "holm",
    "mean_std",
    "paired_test",
    "paired_test_over_samples",
    "power",
    "prediction_interval",
    "probability_higher",
    "seeds_for_difference",
    "seeds_needed",
    "sign_flip_p",
    "signed_rank_posterior",
    "smallest_brown_forsythe_p",
    "smallest_two_sided_p",
    "variance_ratio_interval",
    "variance_ratio_interval_paired",
    "variance_test_paired",
    "variance_test_unpaired",
]
