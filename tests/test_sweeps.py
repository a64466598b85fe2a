"""A sweep is a study whose rows differ in one setting: what its file may say, and the figures drawn of it."""

import dataclasses

import pytest
import yaml
from matplotlib import colors
from PIL import Image

from lit_ae import tracking
from lit_ae.errors import SettingError
from lit_ae.plots import style
from lit_ae.plots import sweeps as plots_sweeps
from lit_ae.report import build_report
from lit_ae.studies.load import load_study
from lit_ae.studies.spec import Column, ModelSpec, Profile, Study, Sweep

SWEEP = {"label": "codes", "lines": {"AE": {"AE 2": 2, "AE 8": 8}}, "metrics": ["test/mse"], "references": ["PCA"]}
VALUES = {"AE 2": [0.3, 0.5], "AE 8": [0.1, 0.2], "AE 2 b": [0.2, 0.2], "AE 8 b": [0.05, 0.07], "PCA": [0.25, 0.25]}


def write(path, **sweep):
    study = {
        "name": "made",
        "title": "A made sweep",
        "question": "How large?",
        "profiles": {"quick": {"data": "digits", "seeds": [0]}},
        "models": {"AE 2": {"config": "ae"}, "AE 8": {"config": "ae"}, "PCA": {"config": "pca"}},
        "columns": [{"metric": "test/mse", "label": "MSE"}],
        "sweep": SWEEP | sweep,
    }
    path.write_text(yaml.safe_dump(study))
    return path


def test_a_sweep_is_read(tmp_path):
    read = load_study(write(tmp_path / "made.yaml", against={"test/nll": "test/kl"}, log_x=True)).sweep
    assert read == Sweep(**(SWEEP | {"against": {"test/nll": "test/kl"}, "log_x": True}))
    assert read.lines["AE"]["AE 8"] == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lines": {"AE": {"AE 3": 3}}}, r"sweep names the row 'AE 3', which is not under models.*'AE 8'"),
        ({"references": ["PAC"]}, r"sweep names the row 'PAC', .*'PCA'"),
        ({"metrics": []}, r"sweep has nothing to plot"),
        ({"lines": {}}, r"sweep\.lines '' has no row"),
        ({"lines": {"AE": {}}}, r"sweep\.lines 'AE' has no row"),
        ({"lines": {"AE": {"AE 2": 0, "AE 8": 8}}, "log_x": True}, r"'AE' has an x of 0 or less"),
        ({"lines": {"AE": {"AE 2": "two"}}}, r"sweep\.lines\.AE\.AE 2 is 'two'"),
        ({"metric": ["test/mse"]}, r"unknown key 'sweep\.metric': did you mean"),
    ],
)
def test_a_wrong_sweep_is_one_line_that_names_it(tmp_path, change, said):
    with pytest.raises(SettingError, match=said) as error:
        load_study(write(tmp_path / "made.yaml", **change))
    assert "\n" not in str(error.value)


# -- the figures ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MadeRun(tracking.Run):
    def history(self, key):
        return []

    def artifact(self, path):
        return None


def made_study(**changes):
    made = Study(
        name="made",
        title="A made sweep",
        question="How large?",
        profiles={"quick": Profile("quick", "digits", [0, 1])},
        models={label: ModelSpec("ae") for label in VALUES},
        columns=[Column("test/mse", "MSE", published="error"), Column("test/kl", "KL")],
        published={"AE 2": {"error": 0.6}, "AE 8": {"error": 0.4}},
        sweep=Sweep(
            "codes",
            {"plain": {"AE 8": 8, "AE 2": 2}, "better": {"AE 2 b": 2, "AE 8 b": 8}},
            ["test/mse"],
            {"test/mse": "test/kl"},
            ["PCA"],
            True,
        ),
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def runs(monkeypatch):
    made = [
        MadeRun(f"{model}{seed}", model, seed, "digits", "FINISHED", {"test/mse": values[seed], "test/kl": seed + 1.0},
                {}, {}, 0.0, 1.0)
        for model, values in VALUES.items()
        for seed in (0, 1)
    ]  # fmt: skip
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: list(made))
    return made


def test_a_figure_shows_means_bands_published_values_and_references(runs, tmp_path, monkeypatch):
    drawn = []
    real = plots_sweeps.sweep
    monkeypatch.setattr(plots_sweeps, "sweep", lambda *args: drawn.append(args) or real(*args))
    paths = build_report(made_study(), "quick", tmp_path)
    ((series, levels, bands, xlabel, ylabel, title, log_x),) = drawn
    assert list(series) == ["plain", "better", "plain, published"]
    assert series["plain"] == [(2, pytest.approx(0.4)), (8, pytest.approx(0.15))]  # in order of x, not of the file
    assert series["plain, published"] == [(2, 0.6), (8, 0.4)]
    assert bands["plain"] == ([0.3, 0.1], [0.5, 0.2])
    assert bands.keys() == {"plain", "better"}
    assert levels == {"PCA": pytest.approx(0.25)}
    assert (xlabel, ylabel, title, log_x) == ("codes", "MSE", "MSE by codes", True)
    names = [path.name for path in paths.figures]
    assert names == ["sweep-test-mse.png", "sweep-test-mse-test-kl.png"]
    assert all(Image.open(path).size[0] > 300 for path in paths.figures)
    text = paths.markdown.read_text("utf-8")
    assert "MSE by codes, mean over seeds, band from lowest to highest seed." in text


def test_one_metric_against_another_names_the_points_by_x(runs, tmp_path, monkeypatch):
    drawn = []
    real = plots_sweeps.trade_off
    monkeypatch.setattr(plots_sweeps, "trade_off", lambda *args: drawn.append(args) or real(*args))
    build_report(made_study(), "quick", tmp_path)
    ((series, names, xlabel, ylabel, _),) = drawn
    assert series["plain"] == [(1.5, pytest.approx(0.4)), (1.5, pytest.approx(0.15))]
    assert names == {"plain": ["2", "8"], "better": ["2", "8"], "PCA": [""]}
    assert (xlabel, ylabel) == ("KL", "MSE")


def test_rows_that_are_missing_leave_a_gap(runs, tmp_path):
    runs[:] = [run for run in runs if run.model in ("AE 2", "AE 8 b") and run.seed == 0]
    for run in runs:
        run.metrics.pop("test/kl", None) if run.model == "AE 2" else None
    assert len(build_report(made_study(), "quick", tmp_path).figures) == 2
    runs[:] = [dataclasses.replace(run, model="PCA") for run in runs if run.model == "AE 8 b"]
    assert [path.name for path in build_report(made_study(), "quick", tmp_path).figures] == [
        "sweep-test-mse-test-kl.png"
    ]


def test_a_metric_that_no_run_logged_is_named(runs, tmp_path):
    wrong = dataclasses.replace(made_study().sweep, metrics=["test/msee"])
    with pytest.raises(SettingError, match=r"sweep: no run .* 'test/msee'.*'test/mse'"):
        build_report(made_study(sweep=wrong), "quick", tmp_path)


def test_lines_have_marks_dashes_and_level_lines_that_do_not_change_them():
    points = {"a": [(2.0, 1.0), (256.0, 2.0)], "b": [(2.0, 3.0), (256.0, 4.0)]}
    bands = {"a": ([0.5, 1.5], [1.5, 2.5])}
    (axes,) = plots_sweeps.sweep(points, {"PCA": 1.2}, bands, "codes", "MSE", "t", log_x=True).axes
    level, a, b = axes.lines
    assert [line.get_label() for line in axes.lines] == ["PCA", "a", "b"]
    assert list(level.get_ydata()) == [1.2, 1.2]
    assert a.get_marker() == b.get_marker() == "o"
    assert colors.to_hex(a.get_color()) == style.PALETTE[0]  # as without the level
    assert (axes.get_xscale(), list(axes.get_xticks())) == ("log", [2.0, 256.0])
    with pytest.raises(ValueError, match="band of 'a'"):
        plots_sweeps.sweep(points, {}, {"a": ([0.5], [1.5])}, "codes", "MSE", "t")
