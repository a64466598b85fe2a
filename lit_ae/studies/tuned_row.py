"""The row that a search has chosen, written into the file of its study."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from lit_ae.errors import SettingError
from lit_ae.settings.files import PACKAGE
from lit_ae.settings.whole_files import write_whole
from lit_ae.settings.yaml_reader import read_yaml
from lit_ae.studies.search import Found
from lit_ae.studies.spec import Study, Tune


def refuse_unwritable(study: Study, path: Path) -> None:
    """Refuse, before the search begins, a file that the rows cannot be written into.

    Raises:
        SettingError: it comes with the installed package, or has a row of that name that no search has chosen.
    """
    if path.resolve().is_relative_to(PACKAGE):
        raise SettingError(f"{path.stem} comes with lit_ae: copy it by `lit-ae init`, to which the row can be added")
    for search in study.tune:
        label = search.found_row
        if label in study.models and label != search.row and study.models[label].tuned_on is None:
            raise SettingError(f"{path}: the row {label!r} is there already: give tune.label another name")


def write_row(study: Study, search: Tune, path: Path, found: Found) -> None:
    """Add the row at the end of `models`, or put it in the place of the one of its name; all else stays as it is.

    Raises:
        SettingError: the file is written in a way in which the row has no clear place; the message holds the row.
    """
    label, spec = search.found_row, study.models[search.row]
    before = read_yaml(path)
    found_names = {arg.partition("=")[0] for arg in found.args}
    args = [*(arg for arg in spec.args if arg.partition("=")[0] not in found_names), *found.args]
    of_row = before["models"][search.row]
    if label != search.row:  # two rows cannot have one label
        of_row = {key: value for key, value in of_row.items() if key != "label"}
    tuned_on = {key: value for key, value in asdict(found.tuned_on).items() if value != []}
    row = {**of_row, "args": args, "tuned_on": tuned_on}
    lines = path.read_text(encoding="utf-8").splitlines()
    place = _place(lines, label)
    wanted = {**before, "models": {**before["models"], label: row}}
    if place is not None:
        text = yaml.safe_dump({label: row}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        block = [f"{' ' * place[2]}{line}" for line in text.splitlines()]
        written = "\n".join([*lines[: place[0]], *block, *lines[place[1] :]]) + "\n"
        if _read(written) == wanted:
            write_whole(path, written.encode())
            return
    content = yaml.safe_dump({label: row}, allow_unicode=True, default_flow_style=True, width=10**6)
    raise SettingError(f"{path} cannot be changed by lines: add this row under models by hand: {content}")


def _place(lines: list[str], label: str) -> tuple[int, int, int] | None:
    """First line, line after the last, and indent, of the row of that label or of a new one at the end of `models`."""
    start = next((i for i, line in enumerate(lines) if line.split("#")[0].rstrip() == "models:"), None)
    if start is None:
        return None
    body = [i for i in range(start + 1, len(lines)) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    inside = []
    for i in body:
        if not lines[i].startswith(" "):
            break
        inside.append(i)
    if not inside:
        return None
    indent = len(lines[inside[0]]) - len(lines[inside[0]].lstrip())
    rows = [i for i in inside if len(lines[i]) - len(lines[i].lstrip()) == indent]
    own = [i for i in rows if _key(lines[i]) == label]
    if not own:
        return inside[-1] + 1, inside[-1] + 1, indent
    later = [i for i in rows if i > own[0]]
    return own[0], later[0] if later else inside[-1] + 1, indent


def _key(line: str) -> str:
    """The key with which a line of YAML begins."""
    found = _read(line.strip() if line.rstrip().endswith(":") else line.strip().split(": ")[0] + ":")
    return str(next(iter(found), "")) if isinstance(found, Mapping) else ""


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
