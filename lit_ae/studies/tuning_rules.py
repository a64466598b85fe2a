"""What a search for settings, and a row that one has chosen, must keep to for the report to be fair."""

from collections.abc import Sequence
from pathlib import Path

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match
from lit_ae.studies.spec import Profile, Range, Study, Tune

VALIDATION = "val/"  # how the metrics of the validation split begin


def check_tuning(study: Study, path: Path) -> None:
    """Refuse a search, or a row that a search has chosen, that has seen test scores or the report's seeds.

    Raises:
        SettingError: naming the key and what to write instead.
    """
    for label, spec in study.models.items():
        if spec.tuned_on:
            where = f"{path}: models.{label}.tuned_on"
            _refuse_seen(study, where, spec.tuned_on.metric, spec.tuned_on.seeds)
    drawn = next((profile.name for profile in study.profiles.values() if profile.splits == "by_seed"), None)
    if drawn and (study.tune or any(spec.tuned_on for spec in study.models.values())):
        raise SettingError(
            f"{path}: profiles.{drawn}.splits is by_seed, but a search sees images of one split that are test images "
            "of others: use splits: fixed, or leave out tune and the rows with tuned_on"
        )
    for search in study.tune:
        _check_search(study, search, path)
    rows = [search.found_row for search in study.tune]
    if twice := next((row for row in rows if rows.count(row) > 1), None):
        raise SettingError(f"{path}: two searches under tune find the row {twice!r}: give each a label of its own")


def refuse_replaced(study: Study, search: Tune, profile: Profile) -> None:
    """Refuse a search for settings that the row's `profile_args` set: they stand last, in place of what it finds.

    Raises:
        SettingError: naming the setting.
    """
    space = {_short(name): name for name in search.space}
    for arg in study.models[search.row].profile_args.get(profile.name, []):
        if setting := space.get(_short(arg[2:].partition("=")[0])):
            raise SettingError(
                f"tune.space.{setting} is also set by models.{search.row}.profile_args.{profile.name}, which would "
                "replace the value that the search finds: leave it out there, or search with another profile"
            )


def _short(setting: str) -> str:
    """The name of a setting without `init_args`, which may stand in it or not."""
    return setting.replace(".init_args.", ".")


def _check_search(study: Study, search: Tune, path: Path) -> None:
    _refuse_seen(study, f"{path}: tune", search.metric, search.seeds)
    if search.row not in study.models:
        near = near_match(search.row, list(study.models))
        raise SettingError(f"{path}: tune.row is {search.row!r}, which is not under models{near}")
    if study.models[search.row].start:
        raise SettingError(f"{path}: tune.row is {search.row!r}, which starts from another row: search for that row's")
    if search.trials < 1:
        raise SettingError(f"{path}: tune.trials is {search.trials}: it must be at least 1")
    if not search.space:
        raise SettingError(f"{path}: tune.space is empty: give the values of a setting, such as model.beta")
    for name, values in search.space.items():
        _check_range(values, f"{path}: tune.space.{name}")


def _refuse_seen(study: Study, where: str, metric: str, seeds: Sequence[int]) -> None:
    if not metric.startswith(VALIDATION):
        raise SettingError(
            f"{where}.metric is {metric}: settings must be chosen on the validation split, so that the test split "
            "stays unseen: give a metric that begins with val/, such as val/loss"
        )
    if not seeds or len(set(seeds)) != len(seeds):
        raise SettingError(f"{where}.seeds must be a list of different numbers")
    for profile in study.profiles.values():
        if common := sorted(set(seeds) & set(profile.seeds)):
            raise SettingError(
                f"{where}.seeds has {', '.join(map(str, common))}, which profile {profile.name} reports: choose "
                "settings on other seeds, such as 100, 101"
            )


def _check_range(values: Range, where: str) -> None:
    if values.choices:
        if not (values.low is values.high is values.step is None):
            raise SettingError(f"{where} has choices and low or high: give either")
        return
    if values.low is None or values.high is None:
        raise SettingError(f"{where} needs low and high, or choices")
    if not values.low < values.high:
        raise SettingError(f"{where}: low is {values.low} and high {values.high}: low must be below high")
    if values.log and (values.low <= 0 or values.step is not None):
        raise SettingError(f"{where}: log needs low above 0, and no step")
