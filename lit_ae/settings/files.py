"""Where the YAML files are: in the checkout, or inside the installed package."""

from pathlib import Path

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match


def config_folder() -> Path:
    """The folder `configs`."""
    package = Path(__file__).parent.parent
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "configs"


def config_file(kind: str, name: str) -> Path:
    """The path of configs/KIND/NAME.yaml, or an absolute path of another file itself.

    Raises:
        SettingError: there is no such file; the message suggests a similar name or lists all.
    """
    if Path(name).is_absolute() and Path(name).is_file():
        return Path(name)
    path = config_folder() / kind / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise SettingError(f"no {kind} config {name!r}{near_match(name, known)} (in {path.parent})")
    return path
