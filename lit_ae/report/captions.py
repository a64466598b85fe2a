"""What stands below the tables of tests and of published figures: what they show, and what so few seeds cannot show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lit_ae.report.cells import ALPHA
from lit_ae.report.samples import sources
from lit_ae.statistics.variances import PITMAN_MORGAN_UNDER_EXPONENTIAL

if TYPE_CHECKING:
    from lit_ae.report.analyse import Outcome, Reading, Results


def limits(results: Results, reading: Reading) -> str:
    """What so few seeds cannot show: the smallest number of seeds in a test of means, or of variances.

    Smallest p of the exact tests and of Brown and Forsythe's, power of the paired t-test at d_z = 1, 95 % interval of a
    standard deviation (χ²). Then which comparisons have no test and why.
    """
    said = [_few_seeds(reading)]
    sampled = [test for test in reading.tests if test.over_samples]
    if sampled:
        said.append(
            "Where one side is the same for every seed, or the difference is, the test is made over the test samples, "
            "each averaged over the seeds (difference: first minus second model): interval, effect size (d_z) and p "
            "cover other samples like these, for these initialisations and this training set, and no others."
        )
    if any(test.comparison.metric.endswith("/auroc") for test in sampled):
        said.append(
            "For an AUROC this is the test of DeLong, DeLong and Clarke-Pearson (1988); its effect size also depends "
            "on the share of anomalies."
        )
    if any(test.paired and test.paired.same_side and not test.paired.constant_side for test in reading.tests):
        said.append(
            "A row that was trained anew with each seed, as its loss shows, and has the same value every time, as a "
            "count at its limit may, is tested as any other."
        )
    if any(test.constant_name for test in reading.tests):
        unless = ", but a score has no value for each sample" if sampled else ""
        said.append(
            f"Where one side is the same for every seed{unless}, the difference varies only with the initialisations "
            "of the other, on one test set. Its interval covers no more than that, and no effect size or p-value is "
            "made from it: such a test has to be made over test samples or over splits of the data."
        )
    waiting = [test for test in reading.tests if test.lacks]
    if waiting:
        which = f"{len(waiting)} of {len(reading.tests)} comparisons" if len(reading.tests) > 1 else "the comparison"
        said.append(
            f"No verdict is given on {which} before every declared seed has its value.{command(results, waiting)}"
        )
    return " ".join(text for text in said if text)


def tests_caption(results: Results, reading: Reading) -> str:
    """What the columns of the comparisons' tables are."""
    kinds = {test.comparison.test for test in reading.tests}
    one = "initialisations and the order of batches, on one split of the data"
    own = "initialisations, the order of batches and splits of the data, of which each seed has its own"
    covered = own if results.profile.splits == "by_seed" else one
    shared, overlap = "all seeds share it on one test set, so it does not show between them", ""
    if results.profile.splits == "by_seed":
        shared = "where the test set is drawn anew for each seed, the model noise contains it as well"
        overlap = (
            "Where the seeds split the same samples, their training sets overlap, and intervals and p-values hold for "
            "other splits of these samples; for new samples they are too small (Nadeau and Bengio 2003). "
        )
    n, rate = PITMAN_MORGAN_UNDER_EXPONENTIAL
    said = [
        f"Holm's correction covers the whole family of {len(reading.tests)} comparisons declared in the study file."
    ]
    if any(test.comparison.test == "paired" and not test.over_samples for test in reading.tests):
        said.append(
            f"Difference: first minus second model, mean over seeds, with its t interval; both cover {covered}. "
            f"{overlap}"
            "Effect size: that mean divided by the standard deviation of the differences (d_z), with Hedges' "
            "correction. Detectable at 80 % power: the smallest true difference that the uncorrected t-test would "
            "detect in four of five such studies, at the measured spread. Sign-flip: permutation test, exact up to "
            "20 seeds."
        )
    if any(test.higher for test in reading.tests):
        said.append(
            "P(first better): share of seeds for which the first model has the better value, ties as half (Bouthillier "
            "et al. 2021), with the interval of Clopper and Pearson; for a metric without a direction, the share for "
            "which its value is higher. Correlation over seeds: Pearson's, of the two models' values; pairing removes "
            "variance only where it is positive. Welch: the t-test without pairs."
        )
    if any(test.equivalence for test in reading.tests):
        said.append(
            "TOST: two one-sided paired t-tests that the means differ by less than the margin, which is to be declared "
            "before the runs; P(below, within, above): posterior of the mean difference under the prior 1 / variance "
            "(Benavoli et al. 2017)."
        )
    if sources(results, reading):
        said.append(
            "Model noise: standard deviation of the mean over seeds. Test-set noise: standard error of that mean over "
            "test samples within a seed (the standard deviation that a bootstrap over test samples tends to), root "
            f"mean square over seeds; {shared}."
        )
    if "variance" in kinds:
        said.append(
            "Ratio: first standard deviation divided by the second, with its 95 % interval, which adapts to the tails "
            "of the data: Bonett's (2006) for independent groups, the jackknife over pairs of seeds (Miller 1968). "
            "Pitman–Morgan: variances paired by seed; this test assumes normal values and rejects equal variances of "
            f"exponential ones in {100 * rate:.0f} % instead of 5 % of samples of {n} pairs, so read the paired "
            "interval beside it."
        )
    said.append(
        "The result is read from the Holm p; “no difference shown” does not mean “equal”, which only a test of "
        "equivalence within a margin declared beforehand can show."
    )
    return " ".join(said)


def published_caption(results: Results) -> str:
    """Caption of the comparison with published figures; outside `full` it also warns of other data and budgets."""
    cells = [cell for cell in results.cells.values() if cell.n and not math.isnan(cell.published)]
    known = [cell for cell in cells if not cell.unknown]
    text = (
        "difference: ours − published; better and worse compare our mean with the published figure, which is taken as "
        "that of a single run; †: it lies outside the interval in which one further run of ours falls with 95 % "
        "probability, mean ± t s √(1 + 1/n)"
    )
    if any(cell.n == 1 for cell in known):
        text += "; where n = 1 there is no mark, because a single seed shows no spread to compare the difference with"
    if any(cell.constant for cell in known):
        text += "; where our figure is the same for every seed there is no mark, because it has no spread"
    if any(cell.unknown for cell in cells):
        text += "; a figure whose definition is unknown is shown without a difference or a verdict"
    if results.profile_name != "full":
        return (
            f"{text}; the {results.profile_name} profile has other data or a smaller budget than the published protocol"
        )
    return f"{text}; the protocol card says where our protocol differs"


def command(results: Results, waiting: list[Outcome]) -> str:
    """The command that runs the missing seeds of these comparisons, as a sentence; empty if no run is missing."""
    return f" To run the missing seeds: {results.remedy}" if any(test.runs_missing for test in waiting) else ""


def _few_seeds(reading: Reading) -> str:
    from scipy.stats import chi2

    from lit_ae import statistics

    family = len(reading.tests)
    means = [t for t in reading.tests if t.comparison.test == "paired" and not t.over_samples and math.isfinite(t.p)]
    spreads = [test for test in reading.tests if test.comparison.test == "variance" and test.n > 1 and not test.lacks]
    if not means and not spreads:
        few = all(test.n < 2 and not test.lacks for test in reading.tests)
        return "Fewer than two seeds have no spread, so that no test can be made." if few else ""
    said = []
    if means:
        pairs = min(test.n for test in means)
        least = statistics.smallest_two_sided_p(pairs)
        said.append(
            f"the Wilcoxon and sign-flip tests cannot give a p below {_floor(least, family, 'neither can ever')}"
        )
        missed = 100 * (1 - statistics.power(pairs, 1.0))
        said.append(
            "the t-test can give a smaller p only because it assumes normally distributed differences, and it misses "
            f"a true mean difference of one standard deviation in {missed:.0f} % of studies even before correction"
        )
    floors = [
        test.unpaired_variance.smallest_p
        if test.unpaired_variance is not None
        else statistics.smallest_brown_forsythe_p(*test.sizes)
        for test in spreads
    ]
    if any(floors):
        said.append(f"the Brown–Forsythe test cannot give a p below {_floor(max(floors), family, 'it can never')}")
    if spreads:
        group = min(test.n for test in spreads)
        low, high = (math.sqrt((group - 1) / chi2.ppf(q, group - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
        said.append(
            f"a true standard deviation may lie anywhere from {low:.2g} to {high:.2g} times the measured one "
            "(95 % interval, normal data)"
        )
    fewest = min(test.n for test in (*means, *spreads))
    return f"What {fewest} seeds cannot show: {'; '.join(said)}. “No difference shown” does not mean “equal”."


def _floor(least: float, family: int, never: str) -> str:
    """The smallest p of a test, and what it means at 5 % and after correction."""
    text = f"{least:.3g}"
    if least > ALPHA:
        text += f", so {never} reach 5 %, whatever the data"
    elif least * family > ALPHA:
        text += f", which is {min(1.0, least * family):.3g} after correction for {family} comparisons"
    return text
