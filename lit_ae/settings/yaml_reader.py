"""The one reader of YAML files that a user names."""

from pathlib import Path
from typing import Any

from lit_ae.errors import SettingError


def read_yaml(path: Path, named: str = "", remedy: str = "give the path of a YAML file") -> Any:
    """The content of a YAML file as plain data.

    Args:
        path: the file.
        named: how messages call it, such as `--config vae.yaml`; the path by default.
        remedy: what messages tell the user to do.

    Raises:
        SettingError: the file cannot be read, is not a text file, or is not YAML.
    """
    import yaml

    named = named or str(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{named} cannot be read ({error.strerror}): {remedy}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{named} is not YAML (it is not a text file): {remedy}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingError(f"{named} is not YAML{where}: {getattr(error, 'problem', None) or remedy}") from error
