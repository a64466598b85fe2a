"""Every experiment file: read, checked, and expanded into runs whose files are there."""

from collections import Counter
from dataclasses import replace

import pytest
import yaml

from lit_ae.errors import SettingError
from lit_ae.settings.files import config_folder
from lit_ae.studies import versions
from lit_ae.studies.data_sets import expanded
from lit_ae.studies.jobs import RENAMED, jobs
from lit_ae.studies.load import load_study
from lit_ae.studies.spec import Note
from lit_ae.studies.versions import score_versions

# model -> (fit_hash, settings_hash) of experiments/stochastic.yaml, profile quick, as runs in older stores have them
HASHES = {
    "AE": ("6a3ffd964bae", "0969bba26c0f"),
    "SAE": ("8aa99bab39e4", "f300f56900bc"),
    "VAE": ("469bd74a9ba9", "51d9558b9f06"),
    "β-VAE": ("fd12f5eb2ab8", "19b3534800b4"),
    "DEC": ("b4854ca537f8", "40fc35c389b3"),
    "GAN": ("870e29c2ddb5", "e8bf6a4fef74"),
    "GAN (working)": ("6709dcc32185", "887a868a2563"),
}
EXPERIMENTS = sorted((config_folder().parent / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_has_both_profiles_and_runs_that_differ(path):
    study = load_study(path)
    assert study.name == path.stem
    assert study.profiles.keys() - {"colour"} == {"quick", "full"}
    assert study.scores, "scores apart from training may change without training anew"
    for profile in study.profiles.values():
        found = jobs(study, profile)
        run = expanded(study, profile)
        assert len(found) == sum(len(run.seeds(label, profile)) for label in run.models)
        assert profile.note
        settings = Counter((job.fit_hash, job.seed) for job in found)
        assert set(settings.values()) == {1}, "two rows are the same run"


def test_each_seed_can_have_its_own_split_of_the_data(tmp_path):
    path = config_folder().parent / "experiments" / "stochastic.yaml"
    experiment = yaml.safe_load(path.read_text())
    fixed = load_study(path)
    experiment["profiles"]["quick"]["splits"] = "by_seed"
    (tmp_path / "stochastic.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    drawn = load_study(tmp_path / "stochastic.yaml")
    before, after = (jobs(study, study.profile("quick")) for study in (fixed, drawn))
    assert all(f"--data.split_seed={job.seed}" in job.args for job in after)
    assert not any("split_seed" in arg for job in before for arg in job.args)
    assert not {job.fit_hash for job in before} & {job.fit_hash for job in after}, "runs on the one split do not count"
    experiment["profiles"]["quick"]["splits"] = "by seed"
    (tmp_path / "stochastic.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    with pytest.raises(SettingError, match=r"profiles\.quick\.splits"):
        load_study(tmp_path / "stochastic.yaml")


def test_row_of_fewer_seeds_runs_with_the_first_ones(tmp_path):
    path = config_folder().parent / "experiments" / "pretraining.yaml"
    experiment = yaml.safe_load(path.read_text())
    models = experiment["models"]
    experiment["profiles"]["quick"]["seeds"] = [4, 2, 9]
    models["AE"]["profile_seeds"] = {"quick": 2}

    def load():
        (tmp_path / "made.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
        return load_study(tmp_path / "made.yaml")

    with pytest.raises(SettingError, match=r"models\.On the AE has more seeds than 'AE', its start"):
        load()
    models["On the AE"]["profile_seeds"] = {"quick": 1}
    study = load()
    seeds = {"AE": [], "On the AE": [], "VAE": []}
    for job in jobs(study, study.profile("quick")):
        seeds.get(job.model, []).append(job.seed)
    assert seeds == {"AE": [4, 2], "On the AE": [4], "VAE": [4, 2, 9]}
    models["On the AE"]["profile_seeds"] = {"quick": 0}
    with pytest.raises(SettingError, match=r"models\.On the AE\.profile_seeds\.quick must be at least 1"):
        load()
    models["On the AE"]["profile_seeds"] = {"quik": 1}
    with pytest.raises(
        SettingError, match="profile_seeds names the profile 'quik', which does not exist: did you mean 'quick'"
    ):
        load()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_quick_runs_draw_the_figures_that_the_report_shows_and_full_ones_all(path):
    study = load_study(path)
    drawn = {}  # (row, figure) -> seeds that draw it
    for job in jobs(study, study.profile("quick")):
        (option,) = (arg for arg in job.args if arg.startswith("--figures="))
        for name in yaml.safe_load(option.partition("=")[2]):
            drawn.setdefault((job.model, name), []).append(job.seed)
    shown = [(model, figure.name) for figure in study.figures for model in figure.models]
    assert drawn == {key: [study.profile("quick").seeds[0]] for key in shown}
    assert not [arg for job in jobs(study, study.profile("full")) for arg in job.args if "--figures" in arg]


def test_quick_profiles_need_no_download():
    for path in EXPERIMENTS:
        study = load_study(path)
        data = {job.data for job in jobs(study, study.profile("quick"))}
        assert data <= {"digits", "shapes", "colour_shapes", "one_hot", "photo_patches"}, path.stem


def test_a_profile_can_have_scores_of_its_own_which_change_no_training():
    path = config_folder().parent / "experiments" / "stochastic_cifar10.yaml"
    study = load_study(path)
    with_more, own = study.profile("full"), ["lite0.yaml", "embeddings.yaml"]
    without = replace(with_more, scores=[])
    for more, fewer in zip(jobs(study, with_more), jobs(study, without), strict=True):
        assert [name for name, _ in more.configs][-3:] == ["scores_colour.yaml", *own]
        assert more.configs[:-2] == fewer.configs
        assert more.fit_hash == fewer.fit_hash
        assert more.settings_hash != fewer.settings_hash
    assert not any("lite0" in text for job in jobs(study, study.profile("quick")) for _, text in job.configs)


def test_notes_may_be_plain_texts_or_have_a_title(tmp_path):
    experiment = yaml.safe_load((config_folder().parent / "experiments" / "gallery.yaml").read_text())

    def notes(given):
        (tmp_path / "made.yaml").write_text(yaml.safe_dump(experiment | {"notes": given}))
        return load_study(tmp_path / "made.yaml").notes

    assert notes(["plain", {"title": "What", "text": "why"}]) == [Note("plain"), Note("why", "What")]
    with pytest.raises(SettingError, match=r"unknown key 'notes\.0\.titel': did you mean 'title'"):
        notes([{"titel": "What", "text": "why"}])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_note_has_a_title_of_its_own(path):
    titles = [note.title for note in load_study(path).notes]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff\xfe\x00", "is not YAML (it is not a text file)"),
        (b"name: [", "is not YAML, line 1: "),
        (b"- a list", "does not hold settings (KEY: VALUE)"),
    ],
)
def test_a_file_that_is_no_experiment_is_said_in_one_line(tmp_path, content, said):
    path = tmp_path / "made.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError) as error:
        load_study(path)
    assert f"{path} {said}" in str(error.value)
    assert "\n" not in str(error.value)


# -- versions of scores -------------------------------------------------------------------------------------------

SOURCE = """
from lit_ae.evaluation.score_callback import ScoreCallback
from base_of_mine import Base as Renamed

class Own(ScoreCallback):
    version: ClassVar[int] = 3

class Plain(ScoreCallback):
    version = 2

class Inherits(Own): pass

class Imported(Renamed): pass

class Unversioned: pass
"""


@pytest.fixture
def of_mine(tmp_path, monkeypatch):
    """A module of the user's own on the path, whose import would fail."""
    (tmp_path / "my_scores.py").write_text(f"{SOURCE}\nraise RuntimeError('was imported')\n")
    (tmp_path / "base_of_mine.py").write_text("class Base:\n    version = 5\n")
    (tmp_path / "broken.py").write_text("class Own(:\n")
    monkeypatch.syspath_prepend(tmp_path)


def content(*names, key="callbacks+"):
    return {"trainer": {key: [{"class_path": name} for name in names]}}


def test_versions_are_read_from_the_source_without_importing_it(of_mine):
    names = [f"my_scores.{name}" for name in ("Own", "Plain", "Inherits", "Imported", "Unversioned", "Absent")]
    found = score_versions([content(*names, "broken.Own", "no_such_module.Score"), {"model": {}}, None])
    assert found == {"Own": 3, "Plain": 2, "Inherits": 3, "Imported": 5}
    assert score_versions([{"trainer": {"callbacks": "my_scores.Own"}}]) == {"Own": 3}


def test_bare_names_are_the_callbacks_of_this_package(tmp_path, monkeypatch):
    (tmp_path / "linear_probe.py").write_text("class LinearProbe(ScoreCallback):\n    version: ClassVar[int] = 7\n")
    monkeypatch.setattr(versions, "FOLDERS", (tmp_path,))
    assert score_versions([content("LinearProbe", "Evaluation", "ModelCheckpoint")]) == {"LinearProbe": 7}


def test_a_family_whose_own_terms_changed_has_a_version_as_well():
    assert score_versions([{"model": {"class_path": "DenoisingAE"}}]) == {"DenoisingAE": 2}
    assert score_versions([{"model": {"class_path": "lit_ae.models.hopfield.Hopfield"}}]) == {"Hopfield": 2}
    assert score_versions([{"model": {"class_path": "AE"}}]) == {}


def test_what_keeps_the_terms_of_each_sample_has_a_version():
    """So that older runs, which lack them, are scored again, without training."""
    assert score_versions([content("Evaluation")]) == {"Evaluation": 2}


def test_every_score_of_a_shipped_file_has_a_file_named_after_it():
    names = set()
    for path in (config_folder() / "callbacks").glob("*.yaml"):
        for callback in yaml.safe_load(path.read_text())["trainer"]["callbacks+"]:
            names.add(callback["class_path"])
    others = {"LayerwisePretraining", "L1Penalty", "MeanOutput"}
    assert {name for name in names if versions._of_bare_name(name) is None} <= others
    assert len(names) > 25


def test_a_newer_version_changes_the_hash_of_the_rows_that_have_the_score_and_trains_nothing(monkeypatch):
    study = load_study(config_folder().parent / "experiments" / "stochastic.yaml")
    before = jobs(study, study.profile("quick"))
    assert all(job.settings_hash == job.config_hash for job in before if set(job.versions.values()) <= {1})
    real = score_versions

    def newer(contents):
        return real(contents) | {"Clustering": 2}

    monkeypatch.setattr("lit_ae.studies.jobs.score_versions", newer)
    after = jobs(study, study.profile("quick"))
    assert [job.fit_hash for job in after] == [job.fit_hash for job in before]
    assert [job.settings_hash for job in after] == [job.settings_hash for job in before]
    assert not {job.config_hash for job in after} & {job.config_hash for job in before}


def test_a_renamed_class_keeps_the_hash_of_older_runs(tmp_path):
    """`FittedGaussian` was called `Gaussian` when the runs of this hash were made."""
    experiment = yaml.safe_load((config_folder().parent / "experiments" / "stochastic.yaml").read_text())
    hashes = set()
    for name in ("FittedGaussian", "Gaussian"):
        sampler = {"class_path": name}
        scores = {"trainer": {"callbacks+": [{"class_path": "Evaluation", "init_args": {"samplers": [sampler]}}]}}
        (tmp_path / "scores.yaml").write_text(yaml.safe_dump(scores))
        experiment["scores"] = [str(tmp_path / "scores.yaml")]
        (tmp_path / "made.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
        study = load_study(tmp_path / "made.yaml")
        hashes.add(jobs(study, study.profile("quick"))[0].config_hash)
    assert len(hashes) == 1
    assert RENAMED["FittedGaussian"] == "Gaussian"


def test_hashes_of_finished_studies_stay_as_they_are():
    """A change here means that every run in existing stores would be done again."""
    study = load_study(config_folder().parent / "experiments" / "stochastic.yaml")
    found = {job.model: (job.fit_hash, job.settings_hash) for job in jobs(study, study.profile("quick"))}
    assert found == HASHES


# -- names that become files ---------------------------------------------------------------------------------------


def made(folder, **changes):
    """A study file with these keys changed."""
    models = {"AE": {"config": "ae"}}
    profiles = {"quick": {"data": "digits", "seeds": [0]}}
    study = {"name": "x", "title": "X", "question": "?", "scores": [], "profiles": profiles, "models": models}
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump({**study, "columns": [], **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"name": "../../x"}, ["name '../../x'", "letters, digits"]),
        ({"name": "/etc/x"}, ["name '/etc/x'"]),
        ({"name": ".."}, ["name '..'"]),
        ({"name": "a\nb"}, ["name 'a\\nb'"]),
        ({"name": "x" * 101}, ["100 at most"]),
        ({"profiles": {"../q": {"data": "digits", "seeds": [0]}}}, ["profiles '../q'"]),
        ({"figures": [{"name": "../f", "models": ["AE"], "caption": "c"}]}, ["figures '../f'"]),
        ({"models": {"AE +": {"config": "ae"}, "AE -": {"config": "ae"}}}, ["'AE +' and 'AE -'", "called ae"]),
        ({"models": {"..": {"config": "ae"}}}, ["'..'", "no letter or digit"]),
    ],
)
def test_names_that_cannot_be_files_are_refused(changes, parts, tmp_path):
    with pytest.raises(SettingError) as error:
        load_study(made(tmp_path, **changes))
    assert all(part in str(error.value) for part in parts)


def test_a_study_may_name_files_relative_to_itself(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "small.yaml").write_text("model: {class_path: AE, init_args: {latent_dim: 3}}\n")
    (tmp_path / "mine.yaml").write_text("data: {class_path: Digits, init_args: {limit: 50}}\n")
    models = {"Small": {"config": "own/small.yaml"}, "AE": {"config": "ae"}}
    path = made(tmp_path, models=models, profiles={"quick": {"data": "mine.yaml", "seeds": [0]}})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = load_study(path)
    found = {job.model: job for job in jobs(study, study.profile("quick"))}
    assert ("small.yaml", (tmp_path / "own" / "small.yaml").read_text()) in found["Small"].configs
    assert ("mine.yaml", (tmp_path / "mine.yaml").read_text()) in found["AE"].configs
    assert found["AE"].data == "mine"
    with pytest.raises(SettingError, match=r"no model config 'own/other\.yaml'"):
        load_study(made(tmp_path, models={"Other": {"config": "own/other.yaml"}}))
