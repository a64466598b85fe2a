"""Every experiment file: read, checked, and expanded into runs whose files are there."""

from collections import Counter

import pytest

from lit_ae.config_files import config_folder
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
        assert len(found) == len(profile.seeds) * len(study.models)
        assert profile.note
        settings = Counter((job.fit_hash, job.seed) for job in found)
        assert set(settings.values()) == {1}, "two rows are the same run"


def test_quick_profiles_need_no_download():
    for path in EXPERIMENTS:
        study = load_study(path)
        data = {job.data for job in jobs(study, study.profile("quick"))}
        assert data <= {"digits", "shapes", "one_hot"}, path.stem
