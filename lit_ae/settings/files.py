"""Where the YAML files are: in ./configs and ./experiments, else in the checkout or the installed package."""

import difflib
from pathlib import Path

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match

KINDS = ("model", "data", "callbacks", "trainer")  # folders of configs
PACKAGE = Path(__file__).parent.parent


def config_folder() -> Path:
    """The folder `configs` that comes with lit_ae."""
    return _shipped("configs")


def experiment_folder() -> Path:
    """The folder `experiments` that comes with lit_ae."""
    return _shipped("experiments")


def _shipped(name: str) -> Path:
    checkout = PACKAGE.parent / name
    return checkout if (PACKAGE.parent / "pyproject.toml").is_file() else PACKAGE / name


def config_path(name: str) -> Path:
    """The path of configs/NAME: of one's own, which `lit-ae init` has copied, before the one that comes with lit_ae."""
    own = Path("configs", name).resolve()
    return own if own.is_file() else config_folder() / name


def config_file(kind: str, name: str) -> Path:
    """The path of configs/KIND/NAME.yaml, or an absolute path of another file itself.

    Raises:
        SettingError: there is no such file; the message suggests a similar name or lists all.
    """
    if Path(name).is_absolute() and Path(name).is_file():
        return Path(name)
    path = config_path(f"{kind}/{name}.yaml")
    if not path.is_file():
        raise SettingError(f"no {kind} config {name!r}{near_match(name, sorted(configs(kind)))} (in {path.parent})")
    return path


def configs(kind: str) -> dict[str, Path]:
    """The files of configs/KIND by their short names, one's own before those that come with lit_ae."""
    folders = (config_folder() / kind, Path("configs", kind).resolve())
    found = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    return dict(sorted(found.items()))


def experiments() -> dict[str, Path]:
    """The files of experiments by their short names, one's own before those that come with lit_ae."""
    folders = (experiment_folder(), Path("experiments").resolve())
    found = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    return dict(sorted(found.items()))


def named_config(name: str) -> Path:
    """The file that --config NAME means: a file of this path, else the file of configs with this short name.

    `configs/data/shapes.yaml` is the file that comes with lit_ae where the current folder has none. `data/shapes` is
    the one of this kind, where several kinds have a file of that name.

    Raises:
        SettingError: there is none, or there are several.
    """
    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml") or path.is_absolute():
        return _own_or_shipped(path)
    known = {kind: configs(kind) for kind in KINDS}
    full = {f"{kind}/{stem}": found for kind, stems in known.items() for stem, found in stems.items()}
    kinds = [kind for kind, stems in known.items() if name in stems]
    if name in full:
        return full[name]
    if len(kinds) == 1:
        return known[kinds[0]][name]
    if kinds:
        choices = " or ".join(f"--config {kind}/{name}" for kind in kinds)
        raise SettingError(f"--config {name} may be several files: give {choices}")
    stems = sorted({stem for found in known.values() for stem in found})
    raise SettingError(_unknown("--config", name, stems, "`lit-ae list models`, `data` and `callbacks` list"))


def _own_or_shipped(path: Path) -> Path:
    """The path itself, or the file of lit_ae where it names one that the current folder does not have."""
    folder, *kind = path.parts[:-1] or ("",)
    if folder == "configs" and len(kind) == 1 and kind[0] in KINDS:
        shipped = config_folder() / kind[0] / path.name
    elif folder == "experiments" and not kind:
        shipped = experiment_folder() / path.name
    else:
        return path
    return shipped if shipped.is_file() and not path.is_file() else path


def short_name(path: Path) -> str:
    """The name that --config takes for this file: its short name, if it is the one that this name means."""
    kind = path.parent.name
    for name in (path.stem, f"{kind}/{path.stem}"):
        try:
            if kind in KINDS and named_config(name).resolve() == path.resolve():
                return name
        except SettingError:  # several kinds have a file of this name
            continue
    return str(path)


def named_experiment(path: Path) -> Path:
    """The file that EXPERIMENT means: a file of this path, else the file of experiments with this short name.

    `experiments/NAME.yaml` is the file that comes with lit_ae where the current folder has none.

    Raises:
        SettingError: there is none.
    """
    if path.is_file() or path.suffix in (".yaml", ".yml") or path.is_absolute():
        return _own_or_shipped(path)
    known = experiments()
    if str(path) not in known:
        raise SettingError(_unknown("EXPERIMENT", str(path), sorted(known), "`lit-ae list experiments` lists"))
    return known[str(path)]


def _unknown(where: str, name: str, known: list[str], lists: str) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near = f": did you mean {' or '.join(close)}?" if close else ":"
    return f"{where} {name} is neither a file nor the short name of one{near} {lists} the names"
