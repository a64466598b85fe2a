"""Where the YAML files are: in the checkout, or beside the installed package."""

from pathlib import Path

from lit_ae.errors import SettingError


def config_folder() -> Path:
    """The folder `configs`."""
    package = Path(__file__).parent
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "configs"


def config_file(kind: str, name: str) -> Path:
    """configs/KIND/NAME.yaml.

    Raises:
        SettingError: there is no such file; the message names the nearest ones.
    """
    path = config_folder() / kind / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise SettingError(f"no {kind} config {name!r}{near_match(name, known)} (in {path.parent})")
    return path


def near_match(name: str, known: list[str]) -> str:
    """`: did you mean 'X'?` for the nearest known name, else the list of them."""
    import difflib

    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f": did you mean {lower[close[0]]!r}?" if close else f": known are {', '.join(known)}"
