"""Every experiment file: read, checked, and expanded into runs whose files are there."""

from collections import Counter

import pytest
import yaml

from lit_ae.config_files import config_folder
from lit_ae.errors import SettingError
from lit_ae.study import jobs, load_study

EXPERIMENTS = sorted((config_folder().parent / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_has_both_profiles_and_runs_that_differ(path):
    study = load_study(path)
    assert study.name == path.stem
    assert study.profiles.keys() == {"quick", "full"}
    assert study.scores, "scores apart from training may change without training anew"
    for profile in study.profiles.values():
        found = jobs(study, profile)
        assert len(found) == sum(len(study.seeds(label, profile)) for label in study.models)
        assert profile.note
        settings = Counter((job.fit_hash, job.seed) for job in found)
        assert set(settings.values()) == {1}, "two rows are the same run"


def test_row_of_fewer_seeds_runs_with_the_first_ones(tmp_path):
    path = config_folder().parent / "experiments" / "pretraining.yaml"
    experiment = yaml.safe_load(path.read_text())
    models = experiment["models"]
    experiment["profiles"]["quick"]["seeds"] = [4, 2, 9]
    models["AE"]["profile_seeds"] = {"quick": 2}

    def load():
        (tmp_path / "made.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
        return load_study(tmp_path / "made.yaml")

    with pytest.raises(SettingError, match=r"models\.On the AE has more seeds than its start 'AE'"):
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
    with pytest.raises(SettingError, match="profile_seeds names no profile 'quik': did you mean 'quick'"):
        load()


def test_quick_profiles_need_no_download():
    for path in EXPERIMENTS:
        study = load_study(path)
        data = {job.data for job in jobs(study, study.profile("quick"))}
        assert data <= {"digits", "shapes", "one_hot"}, path.stem
