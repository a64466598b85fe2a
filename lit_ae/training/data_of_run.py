"""Whether a command has the data that its run was trained on."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from lit_ae import tracking
from lit_ae.data.base import BaseDataModule
from lit_ae.models.settings import bare
from lit_ae.training.run_settings import flat

OF_LOADING = ("data.batch_size", "data.eval_batch_size", "data.num_workers")  # settings that change no sample


def refuse_other_data(run_id: str, data: BaseDataModule, config: Mapping[str, Any]) -> None:
    """Refuse data that are not those of a run's training, by name of the settings that differ.

    Args:
        run_id: the run.
        data: the data, which are loaded if the run has been trained on any.
        config: the resolved settings of the command.

    Raises:
        SettingError: the samples or their splits differ.
    """
    run = tracking.get_run(run_id)
    if tracking.DIGEST not in run.tags:
        return
    stored = run.artifact("config.yaml")
    before = yaml.safe_load(stored.read_text(encoding="utf-8")) if stored else config
    differing = list(_differing(_of_data(before), _of_data(config)))
    tracking.refuse_other_data(f"run {run.id}", run.tags[tracking.DIGEST], data.name, data.digest(), differing)


def _of_data(config: Mapping[str, Any]) -> dict[str, object]:
    """The settings that choose the samples; with the seed, which may choose among them."""
    chosen = bare({key: config.get(key) for key in ("data", "seed_everything")})
    return {key: value for key, value in flat(chosen) if key not in OF_LOADING}


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    for key in dict.fromkeys([*now, *before]):
        if before.get(key) != now.get(key):
            yield f"{key} is {_text(now, key)} and was {_text(before, key)}"


def _text(settings: Mapping[str, object], key: str) -> str:
    return str(settings.get(key, "not set"))
