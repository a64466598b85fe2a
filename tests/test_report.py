import csv
import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image
from rich.console import Console
from statsmodels.stats.power import TTestPower

from lit_ae import statistics, tracking
from lit_ae.errors import SettingError
from lit_ae.report import build_report, cards, print_table
from lit_ae.report.analyse import analyse
from lit_ae.report.cards import differing
from lit_ae.report.collect import collect
from lit_ae.report.formats import duration
from lit_ae.report.markdown import md_escaped
from lit_ae.report.render import tex_escape
from lit_ae.report.verdicts import verdict_on
from lit_ae.settings.names import file_name
from lit_ae.studies import attempt, runner
from lit_ae.studies.executors.local import LocalExecutor
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study
from lit_ae.studies.progress import Bar
from lit_ae.studies.spec import Column, Comparison, FigureSpec, ModelSpec, Note, Profile, Study, Sweep
from lit_ae.studies.status import print_status, run_states

MSE = {
    "AE": [0.011, 0.012, 0.013, 0.012, 0.010],
    "β-VAE": [0.021, 0.025, 0.022, 0.026, 0.024],
}
FID = {
    "AE": [30.0, 31.0, 29.0, 30.5, 30.2],
    "β-VAE": [20.0, 21.0, 19.5, 20.5, 20.1],
    "GAN": [60.0, 10.0, 90.0, 45.0, 70.0],
}
EPOCHS = {"AE": "20", "β-VAE": "20", "GAN": "25"}


@dataclasses.dataclass(frozen=True)
class MadeRun(tracking.Run):
    """A run whose history and artifacts are in memory and in a folder instead of MLflow."""

    folder: Path = Path()
    histories: dict = dataclasses.field(default_factory=dict)

    def history(self, key):
        return self.histories.get(key, [])

    def artifact(self, path):
        local = self.folder / self.model / str(self.seed) / path
        return local if local.exists() else None


def study(**changes):
    made = Study(
        name="made",
        title="A made study of 100 % & more",
        question="Which is <best>?",
        profiles={
            "quick": Profile("quick", "digits", [0, 1, 2], "small"),
            "full": Profile("full", "mnist", [0, 1, 2, 3, 4], "", [], published_seeds=3),
        },
        models={
            "AE": ModelSpec("ae"),
            "β-VAE": ModelSpec("vae", ["--model.beta=4"]),
            "GAN": ModelSpec("gan", note="the published recipe"),
        },
        columns=[
            Column("test/mse", "MSE test", ".4f", "lower", "mse"),
            Column("test/fid/normal", "FID | N(0, I)", ".1f", "lower"),
        ],
        comparisons=[
            Comparison("test/mse", "β-VAE", "AE", "paired", "a claim"),
            Comparison("test/fid/normal", "β-VAE", "AE", "paired", "another claim"),
            Comparison("test/fid/normal", "AE", "GAN", "variance", "a third claim"),
        ],
        published={"AE": {"mse": 0.4611, "fid": 349.181}, "GAN": {"mse": 0.7}},
        figures=[FigureSpec("reconstructions", ["AE", "β-VAE"], "inputs over outputs")],
        notes=[Note("mind the <gap>", "What to mind"), Note("a note without a title")],
    )
    return dataclasses.replace(made, **changes)


def made_run(folder, model, seed, **changes):
    metrics = {"test/fid/normal": FID[model][seed]}
    histories = {}
    decay = [(epoch, (1 + seed) * math.exp(-epoch / 3)) for epoch in range(1, 6)]
    if model == "GAN":
        histories = {"train/generator_loss": decay, "train/discriminator_loss": decay}
    else:
        metrics["test/mse"] = MSE[model][seed]
        histories = {"train/loss": decay}
    artifacts = folder / model / str(seed)
    (artifacts / "figures").mkdir(parents=True, exist_ok=True)
    if model != "GAN":
        Image.new("L", (4, 4), 10 * seed).save(artifacts / "figures" / "reconstructions.png")
    protocol = {"extractor": "lenet", "n_generated": 1000 if model == "GAN" else 2000}
    (artifacts / "protocol.json").write_text(json.dumps(protocol))
    (artifacts / "environment.json").write_text(json.dumps({"torch": "2.15.0", "cores": 2}))
    values = {
        "id": f"{model}{seed}",
        "model": model,
        "seed": seed,
        "data": "digits",
        "status": "FINISHED",
        "metrics": metrics,
        "tags": {"git_sha": "0123456789ab"},
        "params": {"trainer.max_epochs": EPOCHS[model]},
        "start": 1000.0 + 10 * seed,
        "end": 1000.0 + 10 * seed + 65,
        "folder": folder,
        "histories": histories,
    }
    return MadeRun(**(values | changes))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """All runs of the full profile; the list may be changed before the report is built."""
    made = [made_run(tmp_path / "store", model, seed) for model in FID for seed in range(5)]
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: list(made))
    return made


class Page(HTMLParser):
    """What a browser would find: images, tables' cells, tags left open."""

    VOID = {"meta", "img", "br", "link", "!doctype"}

    def __init__(self, path):
        super().__init__()
        self.images, self.cells, self.text, self.open, self.metas = [], [], [], [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "meta":
            self.metas.append(dict(attrs))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.cells and ("td" in self.open or "th" in self.open):
            self.cells[-1] += data


def markdown_table(text, heading):
    """Rows of the first Markdown table after a heading, as lists of stripped cells."""
    lines = text[text.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    assert len({len(row) for row in rows}) == 1
    return [rows[0], *rows[2:]]


# -- Table 1 -------------------------------------------------------------------------------------------------


def test_table_1_has_every_model_mean_std_and_published_figure(runs, tmp_path):
    text = build_report(study(), "full", tmp_path / "out").markdown.read_text("utf-8")
    header, ae, vae, gan = markdown_table(text, "## Table 1")
    assert header == ["model", "MSE test ↓", r"FID \| N(0, I) ↓"]
    assert ae == ["AE", "**0.0116 ± 0.0011** (0.4611)", "30.1 ± 0.7†"]
    assert vae == ["β-VAE", "0.0236 ± 0.0021†", "**20.2 ± 0.6†**"]  # differs in a declared comparison
    assert gan == ["GAN", "– (0.7000)", "55.0 ± 30.0"]
    assert np.std(MSE["AE"], ddof=1) == pytest.approx(0.0011, abs=5e-5)  # the figure above is the n - 1 one
    assert "AE: fid 349.181" in text  # published, but no column stands beside it


@pytest.mark.parametrize(("better", "best"), [("lower", "β-VAE"), ("higher", "GAN"), ("none", None)])
def test_best_value_follows_better(runs, tmp_path, better, best):
    column = Column("test/fid/normal", "FID", ".1f", better)
    text = build_report(study(columns=[column]), "full", tmp_path).markdown.read_text("utf-8")
    bold = [row[0] for row in markdown_table(text, "## Table 1")[1:] if row[1].startswith("**")]
    assert bold == ([best] if best else [])


def test_arrows_say_which_direction_is_better_in_every_format(runs, tmp_path):
    columns = [
        Column("test/mse", "MSE", ".4f", "lower"),
        Column("test/fid/normal", "Score", ".1f", "higher", mark_best=False),
        Column("test/fid/normal", "Other", ".1f"),
    ]
    paths = build_report(study(columns=columns), "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    header, *rows = markdown_table(text, "## Table 1")
    assert header == ["model", "MSE ↓", "Score ↑", "Other"]
    assert [any(row[i].startswith("**") for row in rows) for i in (1, 2, 3)] == [True, False, False]
    assert "; ↓: lower is better; ↑: higher is better; " in text
    assert {"MSE ↓", "Score ↑", "Other"} <= set(Page(paths.html).cells)
    assert r"model & MSE $\downarrow$ & Score $\uparrow$ & Other \\" in paths.latex.read_text()
    plain = build_report(study(columns=columns[2:], comparisons=[]), "full", tmp_path).markdown.read_text("utf-8")
    assert "is better" not in plain
    assert "†" not in plain
    console = Console(width=140, record=True, file=io.StringIO())
    print_table(study(columns=columns), "full", console)
    said = console.export_text()
    assert re.search(r"MSE ↓ .*Score ↑ .*Other", said) or re.search(r"MSE ↓ .*\n.*Score ↑ ", said)


def test_csv_is_long_and_unrounded(runs, tmp_path):
    rows = list(csv.DictReader(io.StringIO(build_report(study(), "full", tmp_path).csv.read_text())))
    assert list(rows[0]) == [
        "model", "metric", "mean", "std", "n", "published", "difference", "unknown_definition", "left_out",
    ]  # fmt: skip
    assert len(rows) == 6
    ae = rows[0]
    assert (ae["model"], ae["metric"], ae["n"]) == ("AE", "test/mse", "5")
    assert float(ae["mean"]) == pytest.approx(np.mean(MSE["AE"]), abs=1e-15)
    assert float(ae["std"]) == pytest.approx(np.std(MSE["AE"], ddof=1), abs=1e-15)
    assert float(ae["difference"]) == pytest.approx(np.mean(MSE["AE"]) - 0.4611, abs=1e-15)
    gan = next(row for row in rows if (row["model"], row["metric"]) == ("GAN", "test/mse"))
    assert (gan["mean"], gan["std"], gan["n"], gan["published"], gan["difference"]) == (
        "",
        "",
        "0",
        "0.7",
        "",
    )


def test_a_spread_below_the_format_is_not_printed_as_zero(runs, tmp_path):
    for run in runs:
        run.metrics["test/fid/normal"] = 50 + 1e-4 * run.seed
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    assert markdown_table(text, "## Table 1")[1][2] == "**50.0 ± 0.0002**"
    header, _, fid = markdown_table(text, "Means, paired by seed")  # and equal values are no crash
    row = dict(zip(header, fid, strict=True))
    assert row["result"].startswith("not computable: the difference is 0")
    assert row["t-test p"] == row["Holm p"] == "–"


def test_differences_to_the_published_figures_are_ours_minus_theirs(runs, tmp_path):
    paths = build_report(study(), "full", tmp_path)
    rows = markdown_table(paths.markdown.read_text("utf-8"), "## Comparison with published figures")
    assert rows == [  # none of ours beside the GAN's
        ["model", "metric", "ours", "published", "difference", "our result"],
        ["AE", "MSE test ↓", "0.0116 ± 0.0011", "0.4611", "−0.4495†", "better"],
    ]
    assert "−0.4495†" in Page(paths.html).cells
    assert (
        r"AE & MSE test $\downarrow$ & 0.0116 $\pm$ 0.0011 & 0.4611 & $-$0.4495$\dagger$ & better \\"
        in paths.latex.read_text()
    )
    low, _ = scipy.stats.t.interval(0.95, 4, np.mean(MSE["AE"]), scipy.stats.sem(MSE["AE"]))
    assert low > 0.0100  # outside the interval of our mean, and yet as one more of our runs could be
    within = build_report(study(published={"AE": {"mse": 0.0100}}), "full", tmp_path).markdown.read_text("utf-8")
    assert markdown_table(within, "## Comparison with published figures")[1][4:] == ["+0.0016", "worse"]
    half = scipy.stats.t.ppf(0.975, 4) * np.std(MSE["AE"], ddof=1) * math.sqrt(1 + 1 / 5)
    for step, mark in ((0.99, ""), (1.01, "†")):
        made = study(published={"AE": {"mse": float(np.mean(MSE["AE"]) + step * half)}})
        text = build_report(made, "full", tmp_path).markdown.read_text("utf-8")
        assert markdown_table(text, "## Comparison with published figures")[1][4] == f"−{step * half:.4f}{mark}"
    assert "mean ± t s √(1 + 1/n)" in text
    assert "where n = 1 there is no mark" not in text
    smaller = "quick profile has other data or a smaller budget"
    assert smaller in build_report(study(), "quick", tmp_path / "quick").markdown.read_text("utf-8")
    assert smaller not in paths.markdown.read_text("utf-8")
    assert "Comparison with published" not in build_report(study(published={}), "full", tmp_path).markdown.read_text(
        "utf-8"
    )


def test_comparisons_are_in_a_csv_of_their_own_unrounded(runs, tmp_path):
    rows = list(csv.DictReader(io.StringIO(build_report(study(), "full", tmp_path).comparisons.read_text())))
    assert [(row["seeds"], row["test"]) for row in rows] == [
        (n, t) for n in "53" for t in ("paired", "paired", "variance")
    ]
    mse, _, spread = rows[:3]
    assert [row["no_verdict"] for row in rows[:5]] == [""] * 5
    assert rows[5]["no_verdict"].startswith("not computable: the Brown-Forsythe test needs at least 4 seeds")
    assert float(rows[5]["std_b"]) == pytest.approx(np.std(FID["GAN"][:3], ddof=1), rel=1e-12)  # is shown all the same
    assert rows[5]["p"] == rows[5]["pitman_morgan_p"] == rows[5]["ratio"] == ""
    assert (mse["metric"], mse["a"], mse["b"], mse["n"], mse["std_a"]) == ("test/mse", "β-VAE", "AE", "5", "")
    assert float(mse["p"]) == pytest.approx(scipy.stats.ttest_rel(MSE["β-VAE"], MSE["AE"]).pvalue, rel=1e-12)
    assert float(spread["std_b"]) == pytest.approx(np.std(FID["GAN"], ddof=1), rel=1e-12)
    assert spread["mean_difference"] == ""


def test_one_seed_gives_an_answer_without_a_test(runs, tmp_path):
    runs[:] = [run for run in runs if run.seed == 0]
    one = study(profiles={"quick": Profile("quick", "digits", [0])})
    text = build_report(one, "quick", tmp_path).markdown.read_text("utf-8")
    assert "**Whether any of the 3 declared claims holds cannot be told, for the reasons in the table.**" in text
    mse, fid, spread = markdown_table(text, "## Claims")[1:]
    assert [row[2] for row in (mse, fid)] == ["0.0210 against 0.0110 (n = 1)", "20.0 against 30.0 (n = 1)"]
    assert {row[3] for row in (mse, fid, spread)} == {"cannot be told"}
    assert mse[4].startswith("not computable: ")
    assert "alues of a single seed;" in text


# -- comparisons ---------------------------------------------------------------------------------------------


def test_p_values_are_scipys_and_holm_covers_the_family(runs, tmp_path):
    reading = analyse(collect(study(), "full")).readings[0]
    mse, fid, spread = reading.tests
    p_mse = scipy.stats.ttest_rel(MSE["β-VAE"], MSE["AE"]).pvalue
    p_fid = scipy.stats.ttest_rel(FID["β-VAE"], FID["AE"]).pvalue
    p_spread = scipy.stats.levene(FID["AE"], FID["GAN"], center="median").pvalue
    assert [mse.p, fid.p, spread.p] == pytest.approx([p_mse, p_fid, p_spread], rel=1e-9)
    # Holm by hand: smallest × 3, next × 2, largest × 1, never falling
    ranked = sorted([p_mse, p_fid, p_spread])
    first = min(1, 3 * ranked[0])
    second = max(first, min(1, 2 * ranked[1]))
    third = max(second, ranked[2])
    by_p = dict(zip(ranked, [first, second, third], strict=True))
    corrected = [mse.p_holm, fid.p_holm, spread.p_holm]
    assert corrected == pytest.approx([by_p[p] for p in (p_mse, p_fid, p_spread)], rel=1e-9)
    sums, differences = np.add(FID["AE"], FID["GAN"]), np.subtract(FID["AE"], FID["GAN"])
    pitman_morgan = scipy.stats.pearsonr(sums, differences).pvalue
    assert spread.paired_variance.p == pytest.approx(pitman_morgan, rel=1e-9)


def test_comparison_table_shows_the_numbers(runs, tmp_path):
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    header, mse, fid = markdown_table(text, "Means, paired by seed")
    row = dict(zip(header, mse, strict=True))
    differences = np.subtract(MSE["β-VAE"], MSE["AE"])
    assert (row["comparison"], row["metric"], row["claim"]) == ("β-VAE − AE", "MSE test ↓", "a claim")
    assert row["difference"] == f"+{differences.mean():#.3g}"
    low, high = scipy.stats.t.interval(0.95, 4, differences.mean(), differences.std(ddof=1) / math.sqrt(5))
    assert row["95 % CI"] == f"[+{low:#.3g}, +{high:#.3g}]"
    hedges = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))  # 4 degrees of freedom
    assert row["effect size"] == f"+{differences.mean() / differences.std(ddof=1) * hedges:.2f}"
    effect = TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8)
    assert row["detectable at 80 % power"] == f"{effect * differences.std(ddof=1):#.3g}"
    assert (row["Wilcoxon p"], row["sign-flip p"], row["n"]) == ("0.062", "0.062", "5")
    assert row["result"] == "significant at 5 % (Holm): β-VAE higher, which is worse"
    assert dict(zip(header, fid, strict=True))["result"] == "significant at 5 % (Holm): β-VAE lower, which is better"
    header, spread = markdown_table(text, "Variances across seeds")
    row = dict(zip(header, spread, strict=True))
    assert row["comparison"] == "AE against GAN"
    assert row["result"] == "significant at 5 % (Holm): AE varies less"
    assert row["std"] == f"{np.std(FID['AE'], ddof=1):#.3g} against {np.std(FID['GAN'], ddof=1):#.3g}"
    assert row["ratio"] == f"{np.std(FID['AE'], ddof=1) / np.std(FID['GAN'], ddof=1):#.3g}"
    for column, interval in (
        ("95 % CI of the ratio", statistics.variance_ratio_interval),
        ("95 % CI of the ratio, paired", statistics.variance_ratio_interval_paired),
    ):
        low, high = interval(FID["AE"], FID["GAN"])
        assert row[column] == f"[{low:#.3g}, {high:#.3g}]"
    assert "the Brown–Forsythe test cannot give a p below 0.00395, which is 0.0118 after" not in text  # it is enough
    assert "rejects equal variances of exponential ones in 23 % instead of 5 % of samples of 10 pairs" in text
    assert "family of 3 comparisons" in text


def formats(made, profile, folder):
    """The report in every format, without line breaks or LaTeX's escapes."""
    paths = build_report(made, profile, folder)
    console = Console(width=400, record=True, file=io.StringIO())
    print_table(made, profile, console)
    texts = {
        "md": paths.markdown.read_text("utf-8"),
        "tex": paths.latex.read_text("utf-8").replace(r"$\beta$", "β").replace("\\", ""),
        "html": "".join(Page(paths.html).text),
        "terminal": console.export_text(),
    }
    return {name: " ".join(text.split()) for name, text in texts.items()}, paths


MSE_ONLY = [Comparison("test/mse", "β-VAE", "AE", claim="a claim")]


def test_no_verdict_before_the_declared_seeds_are_in(runs, tmp_path):
    """However clear it looks with the seeds that are there."""
    runs[:] = [run for run in runs if (run.model, run.seed) not in {("AE", 3), ("β-VAE", 3), ("β-VAE", 4)}]
    texts, paths = formats(study(), "full", tmp_path)
    lacks = "β-VAE lacks seeds 3, 4; AE lacks seed 3"
    rows = list(csv.DictReader(io.StringIO(paths.comparisons.read_text())))
    assert [row["p"] == row["p_holm"] == row["effect_size"] == "" for row in rows] == [True] * 3 + [False] * 2 + [True]
    assert rows[0]["no_verdict"] == f"no verdict: {lacks}"
    differences = np.subtract(MSE["β-VAE"][:3], MSE["AE"][:3])
    assert float(rows[0]["mean_difference"]) == pytest.approx(differences.mean())  # the descriptive difference remains
    header, mse, _ = markdown_table(paths.markdown.read_text("utf-8"), "Means, paired by seed")
    shown = dict(zip(header, mse, strict=True))
    assert (shown["result"], shown["n"]) == (f"no verdict: {lacks}", "3")
    assert shown["difference"] == f"+{differences.mean():#.3g}"
    assert {shown[name] for name in header[6:]} == {"–"}
    assert "†" not in paths.markdown.read_text("utf-8").split("Mean ± standard")[0]
    for name, text in texts.items():
        assert lacks in text, name
        assert "To run the missing seeds: lit-ae study run experiments/made.yaml --profile full" in text, name
        assert "after Holm's correction" not in text.split("The first 3 seeds only")[0], name
    assert "No verdict is given on 3 of 3 comparisons before every declared seed has its value" in texts["md"]
    # the reading of the first three seeds has all of its own
    assert "no verdict" not in texts["md"].split("The first 3 seeds only")[1].split("Holm's correction covers")[0]


def test_a_verdict_once_they_are_in(runs, tmp_path):
    """A row that is declared with fewer seeds waits for no more than its own."""
    models = study().models
    models["β-VAE"] = dataclasses.replace(models["β-VAE"], profile_seeds={"full": 4})
    runs[:] = [run for run in runs if (run.model, run.seed) != ("β-VAE", 4)]
    result = analyse(collect(study(models=models, comparisons=MSE_ONLY), "full")).readings[0].tests[0]
    assert (result.lacks, result.n) == ("", 4)
    assert result.p == pytest.approx(scipy.stats.ttest_rel(MSE["β-VAE"][:4], MSE["AE"][:4]).pvalue)


def test_a_claim_over_fewer_seeds_shows_the_difference_that_was_tested(runs, tmp_path):
    """Not the means of Table 1, of which one has another seed."""
    models = study().models
    models["β-VAE"] = dataclasses.replace(models["β-VAE"], profile_seeds={"full": 4})
    claimed = [Comparison("test/mse", "β-VAE", "AE", claim="higher")]
    text = build_report(study(models=models, comparisons=claimed), "full", tmp_path).markdown.read_text("utf-8")
    difference = np.mean(np.subtract(MSE["β-VAE"], MSE["AE"])[:4])
    assert markdown_table(text, "## Claims")[1][2] == f"difference +{difference:#.3g} (n = 4)"


def test_a_claim_about_rows_without_runs_shows_no_value(runs, tmp_path):
    runs[:] = [run for run in runs if run.model == "GAN"]
    for run in runs:
        run.metrics["test/mse"] = 0.1
    claimed = [Comparison("test/mse", "β-VAE", "AE", claim="higher")]
    text = build_report(study(comparisons=claimed), "full", tmp_path).markdown.read_text("utf-8")
    assert markdown_table(text, "## Claims")[1][2] == "– (n = 0)"


def test_a_test_of_variances_waits_for_both_groups(runs, tmp_path):
    runs[:] = [run for run in runs if (run.model, run.seed) != ("GAN", 4)]
    outcome = analyse(collect(study(comparisons=[Comparison("test/fid/normal", "AE", "GAN", "variance")]), "full"))
    test = outcome.readings[0].tests[0]
    assert (test.lacks, test.unpaired_variance) == ("GAN lacks seed 4", None)


def test_a_constant_baseline_is_not_tested_against(runs, tmp_path):
    """No d_z of hundreds because training repeats well; the difference stays, and every format says why."""
    for run in runs:
        run.metrics["test/pca"] = 0.05
        if run.model == "AE":
            run.metrics["test/mse"] = 0.0168
    own = Comparison("test/mse", "β-VAE", "β-VAE", b_metric="test/pca", claim="lower")
    made = study(comparisons=[*MSE_ONLY, own])
    texts, paths = formats(made, "full", tmp_path)
    for row in list(csv.DictReader(io.StringIO(paths.comparisons.read_text())))[:2]:
        assert [row[name] for name in ("effect_size", "detectable", "p", "wilcoxon_p", "sign_flip_p", "p_holm")] == [
            ""
        ] * 6
        assert float(row["ci_low"]) < float(row["mean_difference"]) < float(row["ci_high"])
        assert row["no_verdict"] in (
            "no test: AE is the same for every seed",
            "no test: test/pca is the same for every seed",
        )
    header, mse, _ = markdown_table(paths.markdown.read_text("utf-8"), "Means, paired by seed")
    shown = dict(zip(header, mse, strict=True))
    assert shown["result"] == "no test: AE is the same for every seed"
    assert shown["95 % CI"] != "–"
    assert {shown[name] for name in header[7:]} == {"–"}
    for name, text in texts.items():
        assert "Whether any of the 2 declared claims holds cannot be told" in text, name
        assert "AE is the same for every seed" in text, name
    assert "such a test has to be made over test samples or over splits of the data" in texts["tex"]
    fid = Comparison("test/fid/normal", "β-VAE", "AE", claim="another claim")  # is tested, as one of a family of two
    outcomes = analyse(collect(study(comparisons=[*MSE_ONLY, fid]), "full")).readings[0].tests
    assert outcomes[1].p_holm == pytest.approx(2 * scipy.stats.ttest_rel(FID["β-VAE"], FID["AE"]).pvalue)
    text = build_report(study(comparisons=[*MSE_ONLY, fid]), "full", tmp_path).markdown.read_text("utf-8")
    assert [row[4] for row in markdown_table(text, "## Claims")[1:]] == [
        "no test: AE is the same for every seed",
        "significant at 5 % (Holm): β-VAE lower, which is better",
    ]


@pytest.mark.parametrize(("anew", "limit"), [(True, 20), (True, 0.94), (False, 20)])
def test_a_row_at_its_limit_is_tested_if_it_was_trained_anew_with_each_seed(runs, tmp_path, anew, limit):
    units = {"β-VAE": [13, 17, 14, 12, 13], "AE": [limit] * 5}
    for run in (run for run in runs if run.model in units):
        run.metrics["test/active_units"] = units[run.model][run.seed]
        varies = anew or run.model == "β-VAE"
        run.metrics["test/loss"] = 100 + (run.seed if varies else 1e-6 * run.seed)
    declared = Comparison("test/active_units", "β-VAE", "AE", claim="lower")
    (test,) = analyse(collect(study(comparisons=[declared]), "full")).readings[0].tests
    text = build_report(study(comparisons=[declared]), "full", tmp_path).markdown.read_text("utf-8")
    if anew:
        assert test.p == pytest.approx(scipy.stats.ttest_1samp(np.subtract(units["β-VAE"], limit), 0).pvalue)
        assert test.paired.sign_flip_p == 2 / 2**5
        assert test.paired.welch_p == pytest.approx(test.p), "Welch's test has no variance of the other side"
        assert "is tested as any other" in text
    else:
        assert test.constant_name == "AE"
        assert "AE is the same for every seed" in text
        assert "is tested as any other" not in text


def test_a_loss_that_is_missing_shows_no_training_of_its_own(runs):
    for run in runs:
        run.metrics.update({"test/mse": 0.1 if run.model == "AE" else 0.2 + run.seed, "test/loss": 100 + run.seed})
        if run.seed == 1:
            del run.metrics["test/loss"]
    (test,) = analyse(collect(study(comparisons=MSE_ONLY), "full")).readings[0].tests
    assert test.constant_name == "AE"


def test_a_baseline_in_the_row_itself_is_no_training_of_its_own(runs, tmp_path):
    for run in runs:
        run.metrics.update({"test/pca": 0.05, "test/loss": 100 + run.seed})
    own = Comparison("test/mse", "β-VAE", "β-VAE", b_metric="test/pca", claim="lower")
    (test,) = analyse(collect(study(comparisons=[own]), "full")).readings[0].tests
    assert test.constant_name == "test/pca"


def keep_samples(runs, folder, model, name, values, digest="one"):
    """Values [seeds, N] of single test samples in a row's runs, and their means as the metric."""
    for run, each in zip([run for run in runs if run.model == model], values, strict=True):
        path = folder / "store" / model / str(run.seed) / tracking.samples.FILE
        before = dict(np.load(path)) if path.exists() else {}
        np.savez_compressed(path, **{**before, name: each.astype(np.float32), "digest": np.array(digest)})
        run.metrics[f"test/{name}"] = float(np.nanmean(each))


def sampled(shift=0.003, n=1200, spread=1e-5):
    """Errors [seeds, N] of a row that varies a little with the seed, and of one that does not."""
    generator = np.random.default_rng(0)
    constant = np.tile(generator.exponential(0.02, n), (5, 1))
    varies = constant + generator.normal(shift, 0.01, n) + spread * generator.normal(size=(5, 1))
    return varies, constant


def test_model_noise_and_test_set_noise_are_told_apart(runs, tmp_path):
    """Values of sample i and seed s are m_i + e_s: the spread over seeds is that of e, the standard error that of m."""
    generator = np.random.default_rng(5)
    samples, seeds = generator.normal(0.5, 0.2, 400), np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    keep_samples(runs, tmp_path, "AE", "mse", samples + seeds[:, None])
    drawn = [generator.choice(samples, 400).mean() for _ in range(4000)]  # the bootstrap
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    _, *rows = markdown_table(text, "Where the spread of a mean comes from")
    assert len(rows) == 1, "of the other row no values of samples were kept"
    name, metric, n, model_noise, number_of_samples, test_noise = rows[0]
    assert (name, metric, n, number_of_samples) == ("AE", "MSE test", "5", "400")
    assert float(model_noise) == pytest.approx(seeds.std(ddof=1), rel=0.01)
    assert float(test_noise) == pytest.approx(np.std(drawn), rel=0.05)


@pytest.mark.parametrize(("metric", "named"), [("anomaly/nll/auroc", True), ("anomaly/nll/recall", False)])
def test_the_test_of_an_auroc_over_samples_is_named(runs, tmp_path, metric, named):
    for row, values in zip(("β-VAE", "AE"), sampled(), strict=True):
        keep_samples(runs, tmp_path, row, metric, values)
    made = study(comparisons=[Comparison(f"test/{metric}", "β-VAE", "AE")])
    text = build_report(made, "full", tmp_path).markdown.read_text("utf-8")
    assert "the test is made over the test samples" in text
    assert ("this is the test of DeLong" in text) == named


def test_a_constant_baseline_is_tested_over_samples(runs, tmp_path):
    varies, constant = sampled()
    keep_samples(runs, tmp_path, "β-VAE", "mse", varies)
    keep_samples(runs, tmp_path, "AE", "mse", constant)
    pca = constant + 1e-4 * np.random.default_rng(1).normal(size=1200)  # no difference from AE
    keep_samples(runs, tmp_path, "AE", "pca", pca)
    own = Comparison("test/mse", "AE", "AE", b_metric="test/pca", claim="lower")  # neither side varies
    made = study(comparisons=[*MSE_ONLY, own])
    expected = scipy.stats.ttest_rel(varies.mean(0), constant[0])
    first, second = analyse(collect(made, "full")).readings[0].tests
    assert (first.over_samples.n, first.n) == (1200, 5)
    assert first.p == pytest.approx(expected.pvalue, rel=1e-4)
    assert first.p_holm == pytest.approx(2 * expected.pvalue, rel=1e-4)
    assert first.constant_name == second.constant_name == ""
    assert (first.is_significant, second.is_significant) == (True, False)
    texts, paths = formats(made, "full", tmp_path)
    row, other = list(csv.DictReader(io.StringIO(paths.comparisons.read_text())))[:2]
    assert (row["n"], row["over"], row["no_verdict"]) == ("1200", "test samples", "")
    assert float(row["p"]) == first.p
    assert float(row["mean_difference"]) == pytest.approx((varies.mean(0) - constant[0]).mean(), rel=1e-4)
    assert 0 < float(row["effect_size"]) < 0.5, "of the samples, not hundreds"
    assert [row[name] for name in ("detectable", "wilcoxon_p", "sign_flip_p")] == [""] * 3
    assert other["over"] == "test samples"
    header, shown, lower = markdown_table(paths.markdown.read_text("utf-8"), "Means over test samples")
    shown, lower = dict(zip(header, shown, strict=True)), dict(zip(header, lower, strict=True))
    assert shown["result"] == "significant at 5 % (Holm): β-VAE higher, which is worse, over 1,200 test samples"
    assert lower["result"] == "no difference shown over 1,200 test samples"
    assert (shown["n"], shown["Holm p"]) == ("1,200 test samples", "< 0.001")
    assert shown["difference"].startswith("+0.00")
    assert "–" not in shown.values()
    for name, text in texts.items():
        assert "over 1,200 test samples" in text, name
        assert "the same for every seed, or the difference is, the test is made over the test samples" in text or (
            name == "terminal"
        )
        assert "is tested as any other" not in text, name
        assert "not tested" not in text, name
        assert "What 5 seeds cannot show" not in text, name
    first, second = markdown_table(paths.markdown.read_text("utf-8"), "## Claims")[1:]
    assert first[2].endswith("(1,200 test samples)")
    assert first[4] == "significant at 5 % (Holm): β-VAE higher, which is worse, over 1,200 test samples"
    assert second[2:] == [
        f"difference {lower['difference']} (1,200 test samples)",
        "cannot be told",
        "no difference shown over 1,200 test samples",
    ]


@pytest.mark.parametrize(
    ("margin", "claim", "verdict"),
    [
        (0.01, "no difference", "confirmed"),
        (0.01, "higher", "cannot be told"),  # significant, and shown to be less than the margin
        (0.0005, "no difference", "contradicted"),
        (0.0005, "higher", "confirmed"),
        (0.003, "no difference", "cannot be told"),
    ],
)
def test_a_margin_is_tested_over_samples_too(runs, tmp_path, margin, claim, verdict):
    varies, constant = sampled()
    keep_samples(runs, tmp_path, "β-VAE", "mse", varies)
    keep_samples(runs, tmp_path, "AE", "mse", constant)
    made = study(comparisons=[Comparison("test/mse", "β-VAE", "AE", claim=claim, margin=margin)])
    paths = build_report(made, "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    assert markdown_table(text, "## Claims")[1][3] == verdict
    header, row = markdown_table(text, "Means over test samples")
    assert float(dict(zip(header, row, strict=True))["margin"]) == margin
    sides = [
        scipy.stats.ttest_rel(varies.mean(0) + shift, constant[0], alternative=which).pvalue
        for shift, which in ((margin, "greater"), (-margin, "less"))
    ]
    written = next(csv.DictReader(io.StringIO(paths.comparisons.read_text())))
    assert float(written["tost_p"]) == pytest.approx(max(sides), rel=1e-3, abs=1e-12)


@pytest.mark.parametrize(
    "fault", ["a seed without", "other samples", "other places", "an older mean", "few", "of another stage"]
)
def test_without_the_same_samples_on_both_sides_there_is_no_test(runs, tmp_path, fault):
    varies, constant = sampled(n=19 if fault == "few" else 40)
    if fault == "other places":
        varies[4, 0] = math.nan
    keep_samples(runs, tmp_path, "β-VAE", "mse", varies)
    keep_samples(runs, tmp_path, "AE", "mse", constant, "two" if fault == "other samples" else "one")
    declared = MSE_ONLY
    if fault == "a seed without":
        (tmp_path / "store" / "AE" / "3" / tracking.samples.FILE).unlink()
    elif fault == "an older mean":
        next(run for run in runs if run.model == "β-VAE").metrics["test/mse"] *= 1.01
    elif fault == "of another stage":
        declared = [Comparison("val/mse", "β-VAE", "AE")]
        for run in runs:
            run.metrics.update({"val/mse": run.metrics["test/mse"]} if "test/mse" in run.metrics else {})
    (test,) = analyse(collect(study(comparisons=declared), "full")).readings[0].tests
    assert test.over_samples is None
    assert test.constant_name == "AE"
    assert math.isnan(test.p)


def test_sides_that_vary_with_the_seed_are_tested_over_seeds(runs, tmp_path):
    varies, constant = sampled(spread=1e-3)
    keep_samples(runs, tmp_path, "β-VAE", "mse", varies)
    keep_samples(runs, tmp_path, "AE", "mse", constant + 1e-3 * np.arange(5)[:, None])
    (test,) = analyse(collect(study(comparisons=MSE_ONLY), "full")).readings[0].tests
    assert (test.over_samples, test.paired.constant_side) == (None, "")


def test_no_test_over_samples_before_the_declared_seeds_are_in(runs, tmp_path):
    varies, constant = sampled()
    keep_samples(runs, tmp_path, "β-VAE", "mse", varies)
    keep_samples(runs, tmp_path, "AE", "mse", constant)
    runs[:] = [run for run in runs if (run.model, run.seed) != ("AE", 4)]
    (test,) = analyse(collect(study(comparisons=MSE_ONLY), "full")).readings[0].tests
    assert (test.over_samples, test.lacks) == (None, "AE lacks seed 4")


# -- published figures and scores that are not comparable or not there -----------------------------------------


def test_one_seed_gives_no_mark_and_says_why(runs, tmp_path):
    runs[:] = [run for run in runs if run.seed == 0]
    made = study(profiles={"full": Profile("full", "mnist", [0])})
    texts, paths = formats(made, "full", tmp_path)
    table = markdown_table(paths.markdown.read_text("utf-8"), "## Comparison with published figures")
    assert table[1] == ["AE", "MSE test ↓", "0.0110 (n = 1)", "0.4611", "−0.4501", "better"]
    for name, text in texts.items():
        assert "where n = 1 there is no mark, because a single seed shows no spread" in text, name


def test_a_published_figure_of_unknown_definition_gets_no_verdict(runs, tmp_path):
    made = study(unknown_definitions={"mse": "the formula is lost"})
    texts, paths = formats(made, "full", tmp_path)
    table = markdown_table(paths.markdown.read_text("utf-8"), "## Comparison with published figures")
    assert table[1:] == [["AE", "MSE test ↓", "0.0116 ± 0.0011", "0.4611?", "–", "not comparable: the formula is lost"]]
    first = next(csv.DictReader(io.StringIO(paths.csv.read_text())))
    assert (first["published"], first["difference"], first["unknown_definition"]) == (
        "0.4611",
        "",
        "the formula is lost",
    )
    for name, text in texts.items():
        assert "0.4611?" in text, name
        assert "the formula is lost" in text, name
        assert "?: what the published figure measured is unknown" in text, name
        assert "a figure whose definition is unknown is shown without a difference or a verdict" in text, name


def leave_out(runs, folder, score, why, chosen):
    """Runs without a metric that the protocol names as left out; by its own name, with the value of an earlier test."""
    for run in runs:
        if chosen(run):
            if score == "ReconstructionScores":
                run.metrics.pop("test/mse", None)
            path = folder / "store" / run.model / str(run.seed) / "protocol.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"left_out": {score: why}}))


@pytest.mark.parametrize("score", ["mse", "test/mse", "ReconstructionScores"])
def test_a_score_that_was_left_out_is_said_under_the_table(runs, tmp_path, score):
    leave_out(
        runs, tmp_path, score, "only one class", lambda run: run.model == "AE" or (run.model, run.seed) == ("β-VAE", 2)
    )
    texts, paths = formats(study(), "full", tmp_path)
    rows = markdown_table(paths.markdown.read_text("utf-8"), "## Table 1")
    assert [row[0] for row in rows[1:]] == ["AE", "β-VAE", "GAN"]  # all rows are there
    assert rows[1][1] == "– (0.4611)"
    assert rows[2][1].endswith("[n = 4]")
    label = score if score == "ReconstructionScores" else "MSE test"
    for name, text in texts.items():
        assert f"{label} was left out of AE, β-VAE (seed 2): only one class." in text, name
        assert "runs are missing" not in text, name
        assert "left_out" not in text, name  # nor is it an entry of the protocol's card
    test = analyse(collect(study(), "full")).readings[0].tests[0]
    assert test.paired is None
    why = "" if score == "ReconstructionScores" else " (only one class)"
    assert f"MSE test of β-VAE has no value for seed 2{why}" in test.lacks
    values = {row["model"]: row["left_out"] for row in csv.DictReader(paths.csv.open()) if row["metric"] == "test/mse"}
    assert values == {"AE": why[2:-1], "β-VAE": why[2:-1], "GAN": ""}


def test_a_run_that_left_out_a_score_is_done(runs, tmp_path, monkeypatch):
    leave_out(runs, tmp_path, "mse", "only one class", lambda run: run.model == "AE")
    made = study()
    wanted = {(job.model, job.seed): job.config_hash for job in jobs(made, made.profile("full"))}
    stored = [dataclasses.replace(run, tags={"config_hash": wanted[run.model, run.seed]}) for run in runs]
    monkeypatch.setattr(tracking, "study_parent", lambda name, profile: stored[0])
    monkeypatch.setattr(tracking, "heads", lambda name, parent: stored)
    assert {state["status"] for state in run_states(made, made.profile("full"))} == {"FINISHED"}


@pytest.mark.parametrize("score", ["mse", "ReconstructionScores"])
def test_a_score_that_every_run_left_out_is_no_error(runs, tmp_path, score):
    leave_out(runs, tmp_path, score, "no labels", lambda run: True)
    texts, _ = formats(study(), "full", tmp_path)
    for name, text in texts.items():
        assert "was left out of AE, β-VAE, GAN: no labels." in text, name
    if score == "mse":  # a slip of the pen is still an error
        with pytest.raises(SettingError, match="'test/fid/nromal'"):
            build_report(study(columns=[Column("test/fid/nromal", "F", ".1f")]), "full", tmp_path)


def test_both_readings_where_the_report_had_fewer_seeds(runs, tmp_path):
    everything, first = analyse(collect(study(), "full")).readings
    assert (everything.seeds, first.seeds) == ((0, 1, 2, 3, 4), (0, 1, 2))
    expected = scipy.stats.ttest_rel(MSE["β-VAE"][:3], MSE["AE"][:3]).pvalue
    assert first.tests[0].p == pytest.approx(expected, rel=1e-9)
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    second = text[text.index("The first 3 seeds only") :]
    assert markdown_table(second, "Means")[1][markdown_table(second, "Means")[0].index("n")] == "3"
    assert "cannot give a p below 0.25, so neither can ever reach 5 %" in second
    assert "the Brown–Forsythe test cannot give a p below 0.116, so it can never reach 5 %" in second
    assert "What 5 seeds cannot show" in text
    assert len(analyse(collect(study(), "quick")).readings) == 1


def test_power_and_spread_of_three_seeds(runs, tmp_path):
    text = build_report(study(), "quick", tmp_path).markdown.read_text("utf-8")
    draws = np.random.default_rng(0).normal(1.0, 1.0, (20_000, 3))
    missed = (scipy.stats.ttest_1samp(draws, 0.0, axis=1).pvalue >= 0.05).mean()
    said = int(re.search(r"in (\d+) % of studies", text)[1])
    assert said == pytest.approx(100 * missed, abs=1.5)
    assert "from 0.52 to 6.3 times the measured one" in text  # sqrt(2 / chi2) at 97.5 % and 2.5 %, 2 degrees


def test_answer_counts_the_verdicts_and_the_table_gives_them(runs, tmp_path):
    """β-VAE has the higher MSE and the lower FID, and the GAN's FID varies most."""
    claimed = [
        Comparison("test/mse", "β-VAE", "AE", claim="β-VAE lower (published: 0.3 against 0.4)"),
        Comparison("test/mse", "β-VAE", "AE", claim="no difference"),
        Comparison("test/fid/normal", "β-VAE", "AE", claim="lower: closer samples"),
        Comparison("test/fid/normal", "AE", "GAN", "variance", "AE lower (published p < 0.05)"),
        Comparison("test/fid/normal", "β-VAE", "AE", claim="as the paper says"),
    ]
    text = build_report(study(comparisons=claimed), "full", tmp_path).markdown.read_text("utf-8")
    assert "\n**Of 5 declared claims, 2 are confirmed, 2 are contradicted and 1 cannot be told.**\n" in text
    spreads = f"{np.std(FID['AE'], ddof=1):#.3g} against {np.std(FID['GAN'], ddof=1):#.3g}"
    worse = "significant at 5 % (Holm): β-VAE higher, which is worse"
    closer = "significant at 5 % (Holm): β-VAE lower, which is better"
    mse, fid = "0.0236 ± 0.0021 against 0.0116 ± 0.0011 (n = 5)", "20.2 ± 0.6 against 30.1 ± 0.7 (n = 5)"
    name = "FID \\| N(0, I) ↓"
    assert markdown_table(text, "## Claims") == [
        ["claim", "published", "ours (n)", "verdict", "what the test shows"],
        ["β-VAE against AE, MSE test ↓: β-VAE lower", "AE 0.4611; 0.3 against 0.4", mse, "contradicted", worse],
        ["β-VAE against AE, MSE test ↓: no difference", "AE 0.4611", mse, "contradicted", worse],
        [f"β-VAE against AE, {name}: lower: closer samples", "–", fid, "confirmed", closer],
        [
            f"AE against GAN, spread of {name}: AE lower",
            "p < 0.05",
            f"std {spreads} (n = 5)",
            "confirmed",
            "significant at 5 % (Holm): AE varies less",
        ],
        [f"β-VAE against AE, {name}: as the paper says", "–", fid, "cannot be told", closer],
    ]
    texts, _ = formats(study(comparisons=claimed), "full", tmp_path)
    for kind, said in texts.items():
        assert "Of 5 declared claims, 2 are confirmed, 2 are contradicted and 1 cannot be told." in said, kind
        assert "as the paper says" in said, kind
    for run in runs:  # now nothing differs but by noise
        run.metrics["test/fid/normal"] = [1.0, 2.0, 3.0, 2.5, 1.5][(run.seed + len(run.model)) % 5]
        if "test/mse" in run.metrics:
            run.metrics["test/mse"] = [0.1, 0.2, 0.3, 0.25, 0.15][(run.seed + len(run.model)) % 5]
    text = build_report(study(comparisons=claimed), "full", tmp_path).markdown.read_text("utf-8")
    assert "\n**Whether any of the 5 declared claims holds cannot be told, for the reasons in the table.**\n" in text
    assert "“No difference shown” does not mean “equal”" in text


def test_a_comparison_without_a_claim_is_in_its_table_alone(runs, tmp_path):
    first, *others = (dataclasses.replace(comparison, claim="") for comparison in study().comparisons)
    text = build_report(study(comparisons=[first, *others]), "full", tmp_path).markdown.read_text("utf-8")
    assert "**No claim was declared; the table of comparisons says what each test shows.**" in text
    assert "## Claims" not in text
    assert len(markdown_table(text, "Means, paired by seed")) == 3
    text = build_report(
        study(comparisons=[dataclasses.replace(first, claim="higher"), *others]), "full", tmp_path
    ).markdown.read_text("utf-8")
    assert "**The declared claim is confirmed (β-VAE against AE, MSE test ↓: higher).**" in text


def test_no_worse_of_a_spread_means_no_larger_whatever_the_metric(runs, tmp_path):
    columns = [dataclasses.replace(column, better="higher") for column in study().columns]
    found = [
        verdict_on(test)
        for a, b in (("AE", "GAN"), ("GAN", "AE"))
        for test in analyse(
            collect(
                study(
                    columns=columns,
                    comparisons=[Comparison("test/fid/normal", a, b, "variance", "no worse")],
                ),
                "full",
            )
        )
        .readings[0]
        .tests
    ]
    assert found == ["confirmed", "contradicted"]


@pytest.mark.parametrize(
    ("margin", "said", "answered"),
    [
        (None, "no difference shown", "cannot be told"),
        (0.001, "no difference shown", "cannot be told"),
        (0.1, "equivalent at 5 % (Holm): the means differ by less than 0.100", "confirmed"),
    ],
)
def test_only_a_margin_shows_that_there_is_no_difference(runs, tmp_path, margin, said, answered):
    noise = {"AE": [0.01, -0.01, 0.005, -0.004, 0.0], "β-VAE": [-0.003, 0.01, -0.01, 0.006, 0.002]}
    for run in runs:
        if run.model in noise:
            run.metrics["test/mse"] = 0.5 + noise[run.model][run.seed]
    first, *others = study().comparisons
    made = study(comparisons=[dataclasses.replace(first, margin=margin, claim="no difference"), *others])
    paths = build_report(made, "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    header, row, _ = markdown_table(text, "Means, paired by seed")
    assert dict(zip(header, row, strict=True))["result"] == said
    assert markdown_table(text, "## Claims")[1][3:] == [answered, said]
    header, row, other = markdown_table(text, "The same pairs of seeds")
    values = dict(zip(header, row, strict=True))
    a, b = ([0.5 + x for x in noise[model]] for model in ("β-VAE", "AE"))
    assert values["P(first better), 95 % CI"].startswith("0.40 [")  # lower is better: two of five seeds
    assert values["correlation over seeds"] == f"{np.corrcoef(a, b)[0, 1]:+.2f}".replace("-", "−")
    written = next(csv.DictReader(io.StringIO(paths.comparisons.read_text())))
    if margin is None:
        assert "margin" not in values
        assert written["tost_p"] == ""
        return
    sides = [
        scipy.stats.ttest_rel(np.add(a, margin), b, alternative="greater").pvalue,
        scipy.stats.ttest_rel(np.subtract(a, margin), b, alternative="less").pvalue,
    ]
    assert float(written["tost_p"]) == pytest.approx(max(sides))
    assert written["tost_p_holm"] == written["tost_p"]  # the only one with a margin
    assert dict(zip(header, other, strict=True))["TOST p"] == "–"


def test_a_comparison_that_lacks_values_is_said_and_still_counts_in_the_family(runs, tmp_path):
    for run in runs:
        if run.model == "AE" and run.seed > 0:
            run.metrics.pop("test/mse")
    results = analyse(collect(study(), "full"))
    mse, fid, _ = results.readings[0].tests
    assert (mse.n, mse.paired) == (1, None)
    assert fid.p_holm == pytest.approx(3 * fid.p, rel=1e-9)  # of three, not of two
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    header, row, _ = markdown_table(text, "Means, paired by seed")
    said = "MSE test of AE has no value for seeds 1, 2, 3, 4"
    assert dict(zip(header, row, strict=True))["result"] == f"no verdict: {said}"
    assert markdown_table(text, "## Table 1")[1][1] == "0.0110 [n = 1] (0.4611)"  # not compared with a mean over five
    assert markdown_table(text, "## Claims")[1][3:] == ["cannot be told", f"no verdict: {said}"]
    assert "lit-ae study run" not in text  # there are no runs to add


def test_a_study_without_comparisons(runs, tmp_path):
    text = build_report(study(comparisons=[]), "full", tmp_path).markdown.read_text("utf-8")
    best = "AE has the lowest (best) MSE test (0.0116) and β-VAE has the lowest (best) FID | N(0, I) (20.2)"
    assert f"**As measured, {best}; no comparison was declared, so that none of this is tested.**" in text
    assert "## Claims" not in text
    assert "## Comparisons" not in text


# -- missing and wrong ---------------------------------------------------------------------------------------


def test_missing_runs_are_said_at_the_top(runs, tmp_path):
    runs[:] = [r for r in runs if (r.model, r.seed) not in {("GAN", 3), ("GAN", 4), ("AE", 0)}]
    paths = build_report(study(), "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    assert "3 of 15 runs are missing: AE seed 0; GAN seeds 3, 4" in text[: text.index("## Table 1")]
    assert "lit-ae study run experiments/made.yaml --profile full" in text[: text.index("## Table 1")]
    page = "".join(Page(paths.html).text)
    assert page.index("3 of 15 runs are missing") < page.index("Table 1")
    assert markdown_table(text, "## Table 1")[3][2].endswith("[n = 3]")
    assert "AE, seed 1: inputs over outputs" in text  # the first seed that there is


def test_runs_trained_with_other_settings_are_left_out_and_told(runs, tmp_path):
    made = study()
    trained = {(job.model, job.seed): job.fit_hash for job in jobs(made, made.profile("full"))}
    runs[:] = [dataclasses.replace(run, tags={"fit_hash": trained[run.model, run.seed]}) for run in runs]
    changed = next(run for run in runs if (run.model, run.seed) == ("AE", 2))
    again = dataclasses.replace(changed, id="again", tags={"fit_hash": "other"}, metrics={"test/mse": 9.0})
    runs.append(again)  # a run of these settings is there as well
    head = build_report(made, "full", tmp_path).markdown.read_text("utf-8").partition("## Table 1")[0]
    assert "other settings" not in head
    runs.remove(changed)
    head, _, rest = build_report(made, "full", tmp_path).markdown.read_text("utf-8").partition("## Table 1")
    assert "1 finished run was trained with other settings and is left out" in head
    assert "1 of 15 runs are missing: AE seed 2" in head
    assert "[n = 4]" in rest


def test_scores_of_another_version_are_reported_with_the_remedy(runs, tmp_path, monkeypatch):
    made = study(scores=["callbacks/samples.yaml"])
    monkeypatch.setattr("lit_ae.studies.jobs.score_versions", lambda contents: {"SamplesGrid": 2, "Uncertainty": 1})
    for run in runs[1:]:
        run.tags["score_versions"] = '{"SamplesGrid": 2}'
    head = build_report(made, "full", tmp_path).markdown.read_text("utf-8").partition("## Table 1")[0]
    assert "1 run has scores of another version of the code (SamplesGrid). To renew them without training: lit" in head
    runs[0].tags["score_versions"] = '{"SamplesGrid": 2}'
    assert "another version" not in build_report(made, "full", tmp_path).markdown.read_text("utf-8")


def test_scores_of_other_settings_are_reported_with_the_remedy(runs, tmp_path):
    made = study(scores=["callbacks/samples.yaml"])
    wanted = {(job.model, job.seed): job.settings_hash for job in jobs(made, made.profile("full"))}
    for run in runs:
        run.tags["settings_hash"] = wanted[run.model, run.seed]
    assert "settings of the scores" not in build_report(made, "full", tmp_path).markdown.read_text("utf-8")
    runs[0].tags["settings_hash"] = "another"
    head = build_report(made, "full", tmp_path).markdown.read_text("utf-8").partition("## Table 1")[0]
    assert "1 run has scores that were made with other settings of the scores. To renew them without training" in head


def test_data_that_changed_between_runs_are_told(runs, tmp_path):
    for run in runs:
        run.params.update({"data": "Array", "data.path": "mine.csv"})
        run.tags["data_digest"] = "before"
    assert "have changed" not in build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    runs[0].tags["data_digest"] = "after"
    head = build_report(study(), "full", tmp_path).markdown.read_text("utf-8").partition("## Table 1")[0]
    assert "the data have changed between runs, so that their values cannot be compared: AE seed 0: after; " in head
    runs[0].params["data.limit"] = "100"  # other settings of the data
    assert "have changed" not in build_report(study(), "full", tmp_path).markdown.read_text("utf-8")


def test_row_of_fewer_seeds_lacks_none_and_says_its_number(runs, tmp_path):
    models = study().models
    models["GAN"] = dataclasses.replace(models["GAN"], profile_seeds={"full": 3})  # runs of two more are there
    text = build_report(study(models=models), "full", tmp_path).markdown.read_text("utf-8")
    assert "missing" not in text[: text.index("## Table 1")]
    assert markdown_table(text, "## Table 1")[3] == ["GAN", "– (0.7000)", "53.3 ± 40.4 [n = 3]"]


def test_runs_that_failed_or_belong_elsewhere_do_not_count(runs, tmp_path):
    store = tmp_path / "store"
    wrong = made_run(store, "AE", 0, metrics={"test/mse": 99.0}, start=9999.0)
    runs.append(dataclasses.replace(wrong, status="FAILED"))
    runs.append(dataclasses.replace(wrong, seed=77))
    runs.append(dataclasses.replace(wrong, model="other"))
    assert analyse(collect(study(), "full")).cells["AE", "test/mse"].mean == pytest.approx(np.mean(MSE["AE"]))


def test_values_that_are_no_number_are_left_out_and_said(runs, tmp_path):
    runs[2].metrics["test/mse"] = math.nan
    results = analyse(collect(study(), "full"))
    assert results.cells["AE", "test/mse"].n == 4
    assert results.cells["AE", "test/mse"].mean == pytest.approx(np.mean([0.011, 0.012, 0.012, 0.010]))
    assert results.problems == ["MSE test of AE, seed 2, is nan and is left out"]


def test_a_value_of_an_epoch_that_is_no_number_is_said_and_one_that_is_not_there_is_not(runs):
    columns = [Column("train/loss@3", "Loss of epoch 3", optional=True), Column("train/loss@9", "Loss", optional=True)]
    for run in runs:
        run.metrics["train/loss"] = 1.0
    runs[2].histories["train/loss"][2] = (3, math.nan)
    problems = collect(study(columns=columns, comparisons=[]), "full").problems
    assert problems == ["Loss of epoch 3 of AE, seed 2, is nan and is left out"]


@pytest.mark.parametrize(
    ("given", "named"), [("", "experiments/made.yaml"), ("made", "made"), ("my studies/s.yaml", "'my studies/s.yaml'")]
)
def test_no_run_at_all_names_the_remedy(given, named, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: [])
    said = f"for profile full. To make them: lit-ae study run {named} --profile full"
    with pytest.raises(SettingError, match=re.escape(said)):
        build_report(study(given=given), "full", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_command_names_the_study_as_it_was_given(store, lit_ae, capsys):
    for given in ("stochastic", "experiments/stochastic.yaml"):  # the current folder has no file of that name
        assert lit_ae("report", given) == 2
        assert f"lit-ae study run {given} --profile quick" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["columns", "comparisons"])
def test_a_metric_that_no_run_logged_is_named_with_its_near_match(runs, tmp_path, where):
    if where == "columns":
        wrong = study(columns=[Column("test/fid/nromal", "FID", ".1f", "lower")])
    else:
        wrong = study(comparisons=[Comparison("test/fid/nromal", "AE", "GAN")])
    with pytest.raises(SettingError, match=rf"{where}.*'test/fid/nromal'.*'test/fid/normal'"):
        build_report(wrong, "full", tmp_path)
    runs[:] = [run for run in runs if run.model == "GAN"]
    with pytest.raises(SettingError, match=r"'test/mse'.*runs are missing: lit-ae study run"):
        build_report(study(), "full", tmp_path)


def test_a_column_that_no_run_need_have_is_all_dashes(runs, tmp_path):
    absent = Column("test/jpeg", "JPEG", ".1f", optional=True)
    paths = build_report(
        study(columns=[Column("test/mse", "MSE test", ".4f", "lower", "mse"), absent]), "full", tmp_path
    )
    assert markdown_table(paths.markdown.read_text("utf-8"), "## Table 1")[1][2] == "–"


def test_a_row_is_compared_with_a_baseline_of_its_own(runs, tmp_path):
    own = Comparison("test/mse", "AE", "AE", b_metric="test/fid/normal", claim="lower")
    columns = [Column("test/mse", "MSE test", ".4f", "lower", "mse"), Column("test/fid/normal", "FID", ".1f", "lower")]
    results = analyse(collect(study(comparisons=[own], columns=columns), "full"))
    expected = scipy.stats.ttest_rel(MSE["AE"], FID["AE"])
    assert results.readings[0].tests[0].p == pytest.approx(expected.pvalue)
    paths = build_report(study(comparisons=[own], columns=columns), "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    assert "AE − FID" in text
    assert "**The declared claim is confirmed (AE against FID, MSE test ↓: lower).**" in text
    assert markdown_table(text, "## Claims")[1][2] == "0.0116 ± 0.0011 against 30.1 ± 0.7 (n = 5)"


def test_an_unknown_profile_is_named(runs, tmp_path):
    with pytest.raises(SettingError, match="fulll"):
        build_report(study(), "fulll", tmp_path)


def test_an_unknown_definition_of_no_published_figure_is_refused(files):
    content = json.loads(Path("first.yaml").read_text()) | {"unknown_definitions": {"msee": "lost"}}
    Path("wrong.yaml").write_text(json.dumps(content))
    with pytest.raises(
        SettingError, match="unknown_definitions names 'msee', which no row publishes: did you mean 'mse'"
    ):
        load_study(Path("wrong.yaml"))
    Path("right.yaml").write_text(json.dumps(content | {"unknown_definitions": {"mse": "lost"}}))
    assert load_study(Path("right.yaml")).unknown_definitions == {"mse": "lost"}


# -- figures -------------------------------------------------------------------------------------------------


def test_figures_are_drawn_copied_and_in_every_format(runs, tmp_path):
    paths = build_report(study(), "full", tmp_path)
    names = ["loss", "adversarial_loss", "ae-reconstructions", "beta-vae-reconstructions"]
    assert [p.relative_to(tmp_path).as_posix() for p in paths.figures] == [f"made/{n}.png" for n in names]
    first = tmp_path / "store" / "AE" / "0" / "figures" / "reconstructions.png"
    assert paths.figures[2].read_bytes() == first.read_bytes()
    images = Page(paths.html).images
    assert [image["src"] for image in images] == [f"made/{n}.png" for n in names]  # relative
    assert all(image["alt"] for image in images)
    text = paths.markdown.read_text("utf-8")
    assert re.findall(r"^!\[.+\]\((.+)\)$", text, re.M) == [f"made/{n}.png" for n in names]
    assert all(Image.open(path).size[0] > 0 for path in paths.figures)


def test_loss_curves_are_means_over_seeds_with_their_band(runs, tmp_path, monkeypatch):
    from lit_ae import plots

    drawn = {}
    real = plots.curves

    def curves(series, *args, **kwargs):
        drawn.update({label: (points, kwargs["bands"][label]) for label, points in series.items()})
        return real(series, *args, **kwargs)

    monkeypatch.setattr(plots, "curves", curves)
    build_report(study(), "full", tmp_path)
    assert list(drawn) == ["AE", "β-VAE", "GAN generator", "GAN discriminator"]
    points, (low, high) = drawn["AE"]
    at = [math.exp(-epoch / 3) for epoch in range(1, 6)]
    assert [epoch for epoch, _ in points] == [1, 2, 3, 4, 5]
    assert [y for _, y in points] == pytest.approx([3 * a for a in at])  # seeds weigh 1 to 5
    assert (low, high) == (pytest.approx(at), pytest.approx([5 * a for a in at]))


def test_a_figure_that_the_run_lacks_is_said(runs, tmp_path):
    (tmp_path / "store" / "AE" / "0" / "figures" / "reconstructions.png").unlink()
    paths = build_report(study(), "full", tmp_path)
    text = paths.markdown.read_text("utf-8")
    assert "figure reconstructions is missing in the first seed of AE\n" in text[: text.index("## Table 1")]
    assert len(Page(paths.html).images) == 3


def test_figures_of_an_earlier_build_go_but_nothing_else(runs, tmp_path):
    build_report(study(), "full", tmp_path)
    (tmp_path / "made" / "mine.txt").write_text("kept")
    build_report(study(figures=[]), "full", tmp_path)
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "adversarial_loss.png",
        "loss.png",
        "mine.txt",
    ]


# -- cards and files -----------------------------------------------------------------------------------------


def test_cards_state_protocol_versions_times_and_epochs(runs, tmp_path):
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    protocol = dict(markdown_table(text, "## Protocol of the scores")[1:])
    assert protocol == {"extractor": "lenet", "n_generated": "AE, β-VAE: 2000; GAN: 1000"}
    card = dict(markdown_table(text, "## Runs")[1:])
    assert card["epochs"] == "AE, β-VAE: 20; GAN: 25"
    assert card["git revision"] == "0123456789ab"
    assert card["runs"] == "15 of 15 (3 models × 5 seeds)"
    assert card["wall time"] == "16 min 15 s summed over runs"
    assert "GAN: 5 min 25 s (1 min 05 s a run)" in card["wall time by model"]
    assert dict(markdown_table(text, "## Versions and hardware")[1:]) == {"torch": "2.15.0", "cores": "2"}
    models = dict(markdown_table(text, "## Models")[1:])
    assert models["β-VAE"] == "configs/model/vae.yaml --model.beta=4"
    assert models["GAN"].endswith("the published recipe")
    assert "## Notes\n\n### What to mind\n\nmind the &lt;gap>\n\na note without a title\n" in text


@pytest.mark.parametrize(
    ("epochs", "steps", "said"),
    [
        ("5", "-1", "5"),
        ("-1", "4300", "as many as 4,300 steps take"),
        ("9", "4300", "9, or as many as 4,300 steps take if these are fewer"),
    ],
)
def test_a_training_may_end_by_its_steps(epochs, steps, said, tmp_path):
    run = made_run(tmp_path, "AE", 0, params={"trainer.max_epochs": epochs, "trainer.max_steps": steps})
    assert cards.epochs_of(run) == said


def test_the_card_of_models_names_all_files_of_a_row(runs, tmp_path):
    models, mine = study().models, tmp_path / "mine.yaml"
    mine.write_text("model: AE")
    models["AE"] = dataclasses.replace(
        models["AE"],
        config=str(mine),
        configs=["callbacks/samples.yaml"],
        profile_data={"full": "digits"},
        args=["--model.latent_dim=2"],
    )
    card = dict(cards.model_card(collect(study(models=models), "full")))
    files = "--config configs/data/digits.yaml --config configs/callbacks/samples.yaml"
    assert card["AE"] == f"mine.yaml {files} --model.latent_dim=2"


def test_the_legend_says_what_the_table_has(runs, tmp_path):
    def legends(**changes):
        paths = build_report(study(**changes), "full", tmp_path)
        console = Console(width=400, record=True, file=io.StringIO())
        print_table(study(**changes), "full", console)
        return [path.read_text("utf-8") for path in (paths.markdown, paths.html, paths.latex)] + [console.export_text()]

    for text in legends():
        assert re.search("mean (±|\\$\\\\pm\\$) standard deviation", text.lower())
        assert "the published figure; " in text
    one = {"full": dataclasses.replace(study().profiles["full"], seeds=[0], published_seeds=None)}
    for text in legends(profiles=one, published={}, comparisons=[], figures=[]):
        assert "alues of a single seed; " in text
        assert "over 1 seed" not in text
        assert "the published figure; " not in text


@pytest.mark.parametrize(
    ("entry", "kept_in", "name", "usual", "other", "said"),
    [
        ("precision", "params", "trainer.precision", "32-true", "bf16-mixed", "computed in the same precision"),
        ("git revision", "tags", "git_sha", "0123456789ab", "another", "made by the same git revision of the code"),
    ],
)
def test_what_all_runs_share_is_on_the_card_and_a_mixture_is_said(
    runs, tmp_path, entry, kept_in, name, usual, other, said
):
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    assert dict(markdown_table(text, "## Runs")[1:])[entry] == usual
    assert said not in text
    for run in runs:
        if run.model == "GAN":
            getattr(run, kept_in)[name] = other
    text = build_report(study(), "full", tmp_path).markdown.read_text("utf-8")
    split = f"AE, β-VAE: {usual}; GAN: {other}"
    assert dict(markdown_table(text, "## Runs")[1:])[entry] == split
    assert f"the runs were not all {said}: {split}" in text[: text.index("## ")]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"A": ["1", "1"], "B": ["1"]}, "1"),
        ({"A": ["1"], "B": ["2"], "C": ["1"]}, "A, C: 1; B: 2"),
        ({"A": ["1", "2"], "B": ["1", "2"]}, "1 / 2"),
        ({"A": ["1"], "B": []}, "A: 1"),
    ],
)
def test_differing_values_are_listed_by_model(values, text):
    assert differing(values) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.24, "4.2 s"), (59.4, "59 s"), (59.9, "1 min 00 s"), (3599.6, "1 h 00 min"), (7620, "2 h 07 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_file_names_are_ascii_and_keep_greek_letters_apart():
    assert [file_name(name) for name in ("VAE", "β-VAE", "GAN (working)")] == ["vae", "beta-vae", "gan-working"]
    assert file_name("test/active_units") == "test-active_units"
    long = [file_name(300 * "x" + end) for end in "ab"]
    assert len({*long}) == 2
    assert max(map(len, long)) <= 100


def test_tex_is_escaped_and_balanced(runs, tmp_path):
    assert tex_escape(r"50 % & a_b #1 $x {y} \z ~^ β ± −1 < 2") == (
        r"50 \% \& a\_b \#1 \$x \{y\} \textbackslash{}z \textasciitilde{}\textasciicircum{} "
        r"$\beta$ $\pm$ $-$1 $<$ 2"
    )
    text = build_report(study(), "full", tmp_path).latex.read_text("utf-8")
    assert r"\caption{A made study of 100 \% \& more" in text
    assert text.isascii()
    assert text.count(r"\begin{") == text.count(r"\end{")
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 5  # three models, two of them with published figures
    assert all(row.replace(r"\&", "").count("&") == 2 for row in rows)
    assert rows[0].startswith(r"AE & \textbf{0.0116 $\pm$ 0.0011}")
    assert r"\toprule" in text


def test_html_is_well_formed_escaped_and_fit_for_a_phone(runs, tmp_path):
    paths = build_report(study(), "full", tmp_path)
    page = Page(paths.html)
    assert page.open == []
    source = paths.html.read_text("utf-8")
    assert "Which is &lt;best&gt;?" in source
    assert "width=device-width" in next(m["content"] for m in page.metas if m.get("name") == "viewport")
    assert "overflow-x: auto" in source
    assert "max-width: 100%" in source
    assert not re.search(r'(?:src|href)="(?:https?:|/)', source)  # everything lies beside the page
    assert "0.0116 ± 0.0011published 0.4611" in page.cells
    assert all((tmp_path / name).is_file() for name in re.findall(r'href="(made\.\w+)"', source))


def test_index_holds_every_report_of_the_folder(runs, tmp_path):
    build_report(study(), "full", tmp_path)
    (tmp_path / "other.json").write_text('{"something": "else"}')
    (tmp_path / "broken.json").write_text("{")
    paths = build_report(study(name="again", title="The other one"), "full", tmp_path)
    page = Page(paths.html)
    assert {"made/loss.png", "again/loss.png"} <= {image["src"] for image in page.images}
    text = "".join(page.text)
    assert text.index("Contents") < text.index("The other one") < text.index("Table 1")
    assert {"#made", "#again"} <= set(re.findall(r'href="(#\w+)"', paths.html.read_text("utf-8")))
    first = build_report(study(name="zero", title="The first one", order=1), "full", tmp_path)
    titles = [
        t for t in Page(first.html).text if t in ("The first one", "The other one", "A made study of 100 % & more")
    ]
    assert titles[:3] == ["The first one", "The other one", "A made study of 100 % & more"]  # by order, then by name
    assert "A made study of 100 % & more" in "".join(page.text)


def test_rows_are_shown_under_their_labels_and_runs_found_by_their_names(runs, tmp_path):
    models = study().models | {"β-VAE": dataclasses.replace(study().models["β-VAE"], label="VAE with β of 4")}
    declared = [Comparison("test/mse", "β-VAE", "AE", claim="β-VAE higher"), Comparison("test/mse", "AE", "β-VAE")]
    published = study().published | {"β-VAE": {"mse": 0.5}}
    made = study(
        models=models, comparisons=declared, published=published, sweep=Sweep("β", {"all": {"β-VAE": 4}}, ["test/mse"])
    )
    texts, paths = formats(made, "full", tmp_path)
    assert "β-VAE" not in paths.markdown.read_text("utf-8").partition("## Protocol")[0]
    assert markdown_table(paths.markdown.read_text("utf-8"), "## Table 1")[2] == [
        "VAE with β of 4", "0.0236 ± 0.0021† (0.5000)", "**20.2 ± 0.6**",
    ]  # fmt: skip
    claim = markdown_table(paths.markdown.read_text("utf-8"), "## Claims")[1]
    assert (claim[0], claim[3]) == ("VAE with β of 4 against AE, MSE test ↓: VAE with β of 4 higher", "confirmed")
    assert (tmp_path / "made" / "vae-with-beta-of-4-reconstructions.png").is_file()
    assert all("VAE with β of 4" in text for text in texts.values())
    assert {job.model for job in jobs(made, made.profile("full"))} == {"AE", "β-VAE", "GAN"}, "runs keep the name"
    plain = study()
    assert [j.fit_hash for j in jobs(made, made.profile("full"))] == [
        j.fit_hash for j in jobs(plain, plain.profile("full"))
    ]


FID_COLUMN = {"metric": "test/fid/normal", "label": "FID"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"columns": [FID_COLUMN, FID_COLUMN | {"label": "FID of another paper"}]},
            "columns have the metric 'test/fid",
        ),
        ({"columns": [FID_COLUMN, FID_COLUMN | {"metric": "test/kid/normal"}]}, "two columns have the label 'FID'"),
        (
            {"comparisons": [{"metric": "test/mse", "a": "AE", "b": "GAN", "margin": 0}]},
            "margin is 0: it must be a number",
        ),
        (
            {"comparisons": [{"metric": "test/mse", "a": "AE", "b": "GAN", "margin": -0.1}]},
            "margin is -0.1: it must be",
        ),
        (
            {"comparisons": [{"metric": "test/mse", "a": "AE", "b": "GAN", "test": "variance", "margin": 0.1}]},
            "margin is 0.1 for a comparison of variances",
        ),
        (
            {"comparisons": [{"metric": "test/mse@best", "a": "AE", "b": "GAN"}]},
            "comparisons.metric 'test/mse@best' must end in an epoch number, as in test/mse@5",
        ),
        (
            {"sweep": {"label": "x", "lines": {"": {"AE": 1, "GAN": 2}}, "metrics": ["test/mse@last"]}},
            "sweep metric 'test/mse@last' must end in an epoch number",
        ),
    ],
)
def test_what_a_report_could_not_show_is_refused_at_once(files, changes, said):
    Path("wrong.yaml").write_text(json.dumps(json.loads(Path("first.yaml").read_text()) | changes))
    with pytest.raises(SettingError) as error:
        load_study(Path("wrong.yaml"))
    assert said in str(error.value)


@pytest.mark.parametrize("margin", [".nan", ".inf"])
def test_a_margin_that_is_no_number_is_refused(files, margin):
    content = json.loads(Path("first.yaml").read_text())
    content["comparisons"] = [{"metric": "test/mse", "a": "AE", "b": "GAN", "margin": 0.125}]
    Path("wrong.yaml").write_text(json.dumps(content).replace("0.125", margin))
    with pytest.raises(SettingError, match=r"comparisons.*margin"):
        load_study(Path("wrong.yaml"))


def test_two_rows_of_one_label_are_refused(files):
    content = json.loads(Path("first.yaml").read_text())
    content["models"]["GAN"]["label"] = "AE"
    Path("wrong.yaml").write_text(json.dumps(content))
    with pytest.raises(SettingError, match="labels of models 'AE' and 'AE' would both be called ae"):
        load_study(Path("wrong.yaml"))


def test_no_figure_of_losses_has_a_single_line(runs, tmp_path, monkeypatch):
    from lit_ae import plots

    drawn, real = [], plots.curves
    monkeypatch.setattr(
        plots, "curves", lambda lines, *args, **kw: drawn.append(list(lines)) or real(lines, *args, **kw)
    )
    names = [f"AE {k}" for k in range(9)]
    runs[:] = [dataclasses.replace(runs[0], model=name) for name in names]
    models = {name: ModelSpec("ae") for name in names}
    bare = {"comparisons": [], "published": {}, "figures": []}
    build_report(study(models=models, profiles={"full": Profile("full", "mnist", [0])}, **bare), "full", tmp_path)
    assert drawn == [names[:4], names[4:]]


@pytest.mark.parametrize(
    ("profile", "revision", "warned"),
    [("full", "0123456789ab-dirty", True), ("full", "0123456789ab", False), ("quick", "0123456789ab-dirty", False)],
)
def test_a_full_study_on_changed_code_is_warned_of(monkeypatch, capsys, profile, revision, warned):
    monkeypatch.setattr(attempt, "revision", lambda: revision)
    attempt.warn_of_changes(study().profile(profile))
    said = capsys.readouterr().err
    assert (f"runs carry the revision {revision}" in said) == warned
    assert bool(said) == warned


def test_building_twice_gives_the_same_bytes(runs, tmp_path):
    def contents(folder):
        return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    build_report(study(), "full", tmp_path / "a")
    first = contents(tmp_path / "a")
    build_report(study(), "full", tmp_path / "a")
    runs.reverse()  # nor does the order of the runs matter
    build_report(study(), "full", tmp_path / "b")
    assert len(first) == 11
    assert contents(tmp_path / "a") == first
    assert contents(tmp_path / "b") == first


def test_terminal_table(runs):
    console = Console(width=140, record=True, file=io.StringIO())
    print_table(study(), "full", console)
    text = console.export_text()
    assert re.search(r"β-VAE\s+0\.0236 ± 0\.0021†\s+20\.2 ± 0\.6†", text)
    assert re.search(r"AE\s+MSE test ↓\s+0\.0116 ± 0\.0011\s+0\.4611\s+−0\.4495†\s+better", text)
    assert "(0.4611)" in text
    assert "Whether any of the 3 declared claims holds cannot be told" in text
    assert "…" not in text
    console = Console(width=40, record=True, file=io.StringIO())  # a log: nothing is cut to its width
    print_table(study(columns=10 * study().columns), "full", console)
    assert "0.0116 ± 0.0011" in console.export_text()


# -- several studies in one go -------------------------------------------------------------------------------


@pytest.fixture
def files(runs, tmp_path, monkeypatch):
    """first.yaml and second.yaml in the current folder, the second to come first on the page."""
    monkeypatch.chdir(tmp_path)
    for name, order in (("first", 5), ("second", 1)):
        made = study(name=name, title=f"The {name}", order=order)
        (tmp_path / f"{name}.yaml").write_text(json.dumps(dataclasses.asdict(made) | {"profiles": {
            name: {k: v for k, v in dataclasses.asdict(profile).items() if k != "name"}
            for name, profile in made.profiles.items()
        }}))  # fmt: skip
    return ["first.yaml", "second.yaml"]


@pytest.mark.parametrize(("outcome", "status"), [(0, 0), (2, 1), (SettingError("is being run"), 1)])
def test_studies_run_in_turn_and_one_failure_stops_none(files, lit_ae, monkeypatch, capfd, outcome, status):
    asked = []

    def run_studies(studies, pool):
        for study, profile in studies:
            asked.append((study.name, profile.name))
            yield study, profile, outcome if study.name == "second" else 0

    monkeypatch.setattr(runner, "run_studies", run_studies)
    assert lit_ae("study", "run", *files, "--profile", "full", "--reports", "out") == status
    assert asked == [("second", "full"), ("first", "full")]
    said = capfd.readouterr()
    assert "The first (full)" in said.out
    refused = isinstance(outcome, Exception)
    assert ("The second (full)" in said.out) != refused
    assert ("error: second: is being run" in said.err) == refused
    assert (Path("out") / "full" / "first.md").is_file()


def test_a_mistake_in_the_last_file_is_told_before_anything_runs(files, lit_ae, monkeypatch, capfd):
    monkeypatch.setattr(runner, "run_studies", lambda *args: pytest.fail("was run"))
    assert lit_ae("study", "run", *files, "none.yaml", "--profile", "full") == 2
    assert "none.yaml" in capfd.readouterr().err


def test_reports_of_several_studies(files, lit_ae):
    assert lit_ae("report", *files, "--profile", "full", "--reports", "out") == 0
    assert {path.stem for path in Path("out/full").glob("*.md")} == {"first", "second", "all-comparisons"}


def test_texts_bring_neither_html_nor_links_into_markdown():
    page = {"title": "<script>x</script>", "rows": [{"cells": ["p < 0.05", "[click](javascript:x)"]}], "order": 1}
    assert md_escaped(page) == {
        "title": "&lt;script>x&lt;/script>",
        "rows": [{"cells": ["p < 0.05", r"[click]\(javascript:x)"]}],
        "order": 1,
    }


def test_brackets_in_names_are_neither_styles_nor_left_out_on_the_terminal(runs, store, capsys):
    names = {"AE": "AE [tuned]", "β-VAE": "VAE [/old]", "GAN": "GAN :x:"}
    columns = [dataclasses.replace(study().columns[0], label="time [s]")]
    labelled = {row: dataclasses.replace(spec, label=names[row]) for row, spec in study().models.items()}
    console = Console(width=400, record=True, file=io.StringIO())
    print_table(study(models=labelled, columns=columns, title="made [bold]", comparisons=[]), "full", console)
    said = console.export_text()
    for name in (*names.values(), "time [s]", "made [bold]"):
        assert name in said
    rows = {names[row]: spec for row, spec in study().models.items()}
    renamed = study(name="made", models=rows, comparisons=[], figures=[], published={}, title="made")
    print_status(renamed, dataclasses.replace(renamed.profiles["quick"], name="quick [x]"), as_json=False)
    job = next(iter(jobs(renamed, renamed.profiles["quick"])))
    with Bar(LocalExecutor(1), 1, worked=lambda: 0.0, left=lambda: 0.0) as bar:
        bar.tell(renamed, job, "FAILED: [/x]")
    said = capsys.readouterr().out
    for name in (*names.values(), "quick [x]", "AE [tuned], seed 0: FAILED: [/x]"):
        assert name in said
