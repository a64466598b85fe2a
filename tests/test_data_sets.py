"""Studies whose rows run on several data sets: how they are expanded, what is refused, and what the report says."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest
import yaml

from lit_ae import statistics, tracking
from lit_ae.errors import SettingError
from lit_ae.report import build_report
from lit_ae.report.analyse import analyse
from lit_ae.report.cards import differing
from lit_ae.report.collect import collect
from lit_ae.studies.data_sets import OnDataSets, expanded
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study

DATA = ["digits", "shapes", "photo_patches", "mnist"]
MSE = {  # row -> mean over the two seeds on each data set
    "AE": [0.010, 0.020, 0.030, 0.040],
    "VAE": [0.015, 0.018, 0.036, 0.045],
    "PCA": [0.020, 0.030, 0.050, 0.044],
}
RANKS = {"AE": 1.25, "VAE": 2.0, "PCA": 2.75}


def content(**changes):
    made = {
        "name": "made",
        "title": "A made study",
        "question": "Which?",
        "profiles": {
            "quick": {"data": DATA, "seeds": [0, 1]},
            "one": {"data": "digits", "seeds": [0, 1], "rows": ["AE", "VAE"]},
        },
        "models": {
            "AE": {"config": "ae"},
            "VAE": {"config": "vae"},
            "PCA": {"config": "pca", "profile_seeds": {"quick": 1}},
        },
        "columns": [{"metric": "test/mse", "label": "MSE test", "format": ".4f", "better": "lower"}],
        "comparisons": [
            {"metric": "test/mse", "a": "VAE", "b": "AE", "claim": "VAE higher", "margin": 0.001},
            {"metric": "test/mse", "a": "PCA", "b": "AE", "claim": "no worse"},
        ],
        "figures": [{"name": "reconstructions", "models": ["AE", "PCA"], "caption": "inputs"}],
    }
    return made | changes


def load(folder, **changes):
    path = folder / "made.yaml"
    path.write_text(yaml.safe_dump(content(**changes), sort_keys=False))
    return load_study(path)


def test_each_row_runs_on_each_data_set_as_it_would_in_a_study_on_it_alone(tmp_path):
    study = load(tmp_path)
    found = jobs(study, study.profile("quick"))
    names = [f"{row} on {data}" for data in DATA for row in MSE]
    assert [job.model for job in found if job.seed == 0] == names
    assert [job.model for job in found if job.seed == 1] == [name for name in names if "PCA" not in name]
    alone = load(tmp_path, profiles={"quick": {"data": "shapes", "seeds": [0, 1]}})
    expected = {f"{job.model} on shapes": job.fit_hash for job in jobs(alone, alone.profile("quick"))}
    assert {job.model: job.fit_hash for job in found if job.data == "shapes"} == expected
    assert len({job.fit_hash for job in found}) == len(names)
    moved = expanded(study, study.profile("quick"))
    assert moved.figures[0].models == [f"{row} on {data}" for data in DATA for row in ("AE", "PCA")]
    assert moved.comparisons == []
    assert expanded(moved, study.profile("quick")) is moved


def test_a_profile_may_have_some_of_the_rows(tmp_path):
    study = load(tmp_path)
    some = expanded(study, study.profile("one"))
    assert not isinstance(some, OnDataSets)
    assert [job.model for job in jobs(study, study.profile("one"))] == ["AE", "VAE"] * 2
    assert [comparison.a for comparison in some.comparisons] == ["VAE"]  # the one with PCA is left out
    assert some.figures[0].models == ["AE"]


def test_a_start_is_on_the_same_data_set(tmp_path):
    models = {"AE": {"config": "ae", "label": "Plain"}, "On the AE": {"config": "vae", "start": "AE"}}
    comparisons = [{"metric": "test/mse", "a": "AE", "b": "On the AE", "claim": "AE lower"}]
    study = load(
        tmp_path, models=models, comparisons=comparisons, figures=[], profiles={"quick": {"data": DATA, "seeds": [0]}}
    )
    starts = {job.model: job.start[0] for job in jobs(study, study.profile("quick")) if job.start}
    assert starts == {f"On the AE on {data}": f"AE on {data}" for data in DATA}
    moved = expanded(study, study.profile("quick"))
    assert moved.rows["Plain"] == {data: f"Plain on {data}" for data in DATA}
    assert [(c.a, c.b, c.claim) for c in moved.over_data_sets] == [("Plain", "On the AE", "Plain lower")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"published": {"AE": {"mse": 0.1}}}, "several data sets, which published is not for"),
        ({"sweep": {"label": "D", "lines": {"x": {"AE": 1}}, "metrics": ["test/mse"]}}, "which sweep is not for"),
        (
            {"comparisons": [{"metric": "test/mse", "a": "VAE", "b": "AE", "test": "variance"}]},
            "which a comparison of variances is not for",
        ),
        (
            {"models": {"AE": {"config": "ae", "profile_data": {"quick": "one_hot"}}}},
            "which profile_data of AE is not for",
        ),
        ({"profiles": {"quick": {"data": [], "seeds": [0]}}}, r"quick\.data must be a list of different data sets"),
        ({"profiles": {"quick": {"data": ["mnist"] * 2, "seeds": [0]}}}, "must be a list of different data sets"),
        ({"profiles": {"quick": {"data": ["digitz"], "seeds": [0]}}}, "digitz"),
        (
            {"profiles": {"quick": {"data": DATA, "seeds": [0], "rows": ["VEA"]}}},
            "rows names the row 'VEA'.*did you mean",
        ),
    ],
)
def test_what_has_no_meaning_on_several_data_sets_is_refused(tmp_path, changes, message):
    plain = {"comparisons": [], "figures": []} if "models" in changes else {}
    with pytest.raises(SettingError, match=message):
        load(tmp_path, **(plain | changes))


# -- the report ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MadeRun(tracking.Run):
    """A finished run without artifacts."""

    def history(self, key):
        return []

    def artifact(self, path):
        return None


def made_run(row, place, seed):
    spread = 0.0 if row == "PCA" else 0.001 * (2 * seed - 1)
    return MadeRun(
        id=f"{row}{place}{seed}", model=f"{row} on {DATA[place]}", seed=seed, data=DATA[place], status="FINISHED",
        metrics={"test/mse": MSE[row][place] + spread}, tags={}, params={}, start=0.0, end=60.0,
    )  # fmt: skip


@pytest.fixture
def runs(monkeypatch):
    """All runs; the list may be changed before the report is built."""
    made = [made_run(row, place, seed) for row in MSE for place in range(4) for seed in range(1 if row == "PCA" else 2)]
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: list(made))
    return made


def test_report_over_data_sets(tmp_path, runs):
    study = load(tmp_path, figures=[])
    results = analyse(collect(study, "quick"))
    (ranking,) = results.rankings
    friedman = statistics.friedman_test(list(zip(*MSE.values(), strict=True)), "lower")
    assert ranking.means["VAE"] == pytest.approx(dict(zip(DATA, MSE["VAE"], strict=True)))
    assert dict(zip(ranking.means, ranking.result.mean_ranks, strict=True)) == RANKS
    assert friedman.chi2 == pytest.approx(4.5)  # 12 * 4 / (3 * 4) * (1.25² + 2² + 2.75² - 12)
    assert ranking.p_holm == ranking.result.p == friedman.p
    first, second = results.readings[0].tests
    over = first.over_data_sets
    assert (over.n, over.margin, first.p) == (4, 0.001, 0.25)  # differences +, -, +, +: signed ranks 2.5 - 1 + ...
    assert over.below + over.within + over.above == pytest.approx(1)
    assert first.difference == pytest.approx((0.005 - 0.002 + 0.006 + 0.005) / 4)
    assert (second.p, second.p_holm) == (0.125, 0.25)
    assert second.over_data_sets.margin is None

    paths = build_report(study, "quick", tmp_path / "reports")
    text = paths.markdown.read_text("utf-8")
    for line in (
        "| AE | 0.0100 | 0.0200 | 0.0300 | 0.0400 | 1.25 |",
        "| PCA | 0.0200 | 0.0300 | 0.0500 | 0.0440 | 2.75 |",
        "n is 4, the number of data sets",
        "Wilcoxon's test cannot give a p below 0.125, so that no two rows can be shown to differ",
        "### Over 4 data sets",
        "| MSE test ↓ | no difference of mean ranks shown | 4 | 3 | 4.50 | 0.105 |",
        "cannot be told | no difference shown over 4 data sets",
    ):
        assert line in text, line
    assert "bold" not in text, "rows on different data sets have no best one"
    assert [path.name for path in paths.figures] == ["ranks-test-mse.png"]
    with paths.comparisons.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["a"], row["n"], row["over"], row["margin"]) for row in rows] == [
        ("VAE", "4", "data sets", "0.001"),
        ("PCA", "4", "data sets", ""),
    ]
    assert float(rows[0]["above"]) == over.above
    assert "4 data sets" in (tmp_path / "reports" / "all-comparisons.md").read_text("utf-8")
    assert json.loads(paths.json.read_text("utf-8"))["readings"][0]["title"] == "Over 4 data sets"


def test_pairs_are_shown_where_friedman_rejects(tmp_path, runs):
    """Three rows that four data sets rank alike: p = 1 / 216."""
    runs[:] = [
        dataclasses.replace(run, metrics={"test/mse": list(MSE).index(run.model.split()[0]) + run.seed / 9.0})
        for run in runs
    ]
    text = build_report(load(tmp_path, figures=[]), "quick", tmp_path / "reports").markdown.read_text("utf-8")
    assert "mean ranks differ at 5 % (Holm)" in text
    nemenyi = statistics.friedman_test([[1, 2, 3]] * 4, "lower").pairs[1]
    assert f"| AE − PCA | −2.00 | {nemenyi.nemenyi_p:.3f} | 0.125 | 0.375 |" in text


def test_a_data_set_without_all_rows_is_left_out_and_the_comparison_waits(tmp_path, runs):
    runs[:] = [run for run in runs if (run.model, run.seed) != ("VAE on mnist", 1)]
    results = analyse(collect(load(tmp_path, figures=[]), "quick"))
    assert results.rankings[0].data == DATA[:3]
    assert results.rankings[0].result.n == 3
    first, second = results.readings[0].tests
    assert (first.lacks, first.runs_missing, first.over_data_sets) == ("VAE lacks seeds on mnist", True, None)
    assert second.over_data_sets.n == 4
    text = build_report(load(tmp_path, figures=[]), "quick", tmp_path / "reports").markdown.read_text("utf-8")
    assert "MSE test ↓ is ranked without mnist" in text
    assert "no verdict: VAE lacks seeds on mnist" in text


def test_a_metric_that_no_run_has_is_no_lack_of_seeds(tmp_path, runs):
    wrong = [{"metric": "test/mmse", "a": "VAE", "b": "AE", "claim": "higher"}]
    with pytest.raises(
        SettingError, match=r"comparisons: no run of study made logged 'test/mmse': did you mean 'test/mse'"
    ):
        collect(load(tmp_path, figures=[], comparisons=wrong), "quick")
    run = next(run for run in runs if (run.model, run.seed) == ("VAE on mnist", 1))
    run.metrics["test/mse"] = math.nan
    first, _ = analyse(collect(load(tmp_path, figures=[]), "quick")).readings[0].tests
    assert (first.lacks, first.runs_missing) == ("MSE test of VAE has no value on mnist", False)


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ({"data": DATA[:2]}, "at least 3 data sets and 3 models, got 2 and 3"),
        ({"data": DATA, "rows": ["AE", "VAE"]}, "at least 3 data sets and 3 models, got 4 and 2"),
    ],
)
def test_too_few_data_sets_or_rows_are_said(tmp_path, runs, profile, why):
    study = load(
        tmp_path, figures=[], profiles={"quick": {"seeds": [0, 1], **profile}}, comparisons=content()["comparisons"][:1]
    )
    paths = build_report(study, "quick", tmp_path / "reports")
    text = paths.markdown.read_text("utf-8")
    assert f"MSE test ↓ is not tested: Friedman's test needs {why}." in text
    assert paths.figures == ()
    if len(profile["data"]) == 2:
        assert "not computable: a comparison over data sets needs at least 3 of them, got 2" in text


def test_the_shipped_study_has_three_embedded_data_sets():
    path = Path(__file__).parent.parent / "experiments" / "data_sets.yaml"
    study = load_study(path)
    assert {job.data for job in jobs(study, study.profile("quick"))} == {"digits", "shapes", "photo_patches"}
    assert len(jobs(study, study.profile("full"))) == 5 * 8 * 3


def test_the_rows_of_a_data_set_that_agree_are_named_together():
    groups = {"all rows on digits": ["AE on digits", "VAE on digits"], "all rows on shapes": ["AE on shapes"]}
    values = {"AE on digits": ["1,257"], "VAE on digits": ["1,257"], "PCA": ["1,257"], "AE on shapes": ["6,672"]}
    assert differing(values, groups) == "PCA, all rows on digits: 1,257; all rows on shapes: 6,672"
    values["VAE on digits"] = ["9"]
    assert differing(values, groups).startswith("AE on digits, PCA: 1,257; VAE on digits: 9; ")
