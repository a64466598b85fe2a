"""The one reader of YAML files that a user names."""

from functools import cache
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
        SettingError: the file cannot be read, is not a text file or not YAML, or has a key twice.
    """
    import yaml

    named = named or str(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _loader())
    except OSError as error:
        raise SettingError(f"{named} cannot be read ({error.strerror}): {remedy}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{named} is not YAML (it is not a text file): {remedy}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingError(f"{named} is not YAML{where}: {getattr(error, 'problem', None) or remedy}") from error


@cache
def _loader() -> Any:
    """PyYAML's safe loader, which takes the last of two equal keys, with an error instead."""
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            seen: set[Any] = set()
            for key in keys:
                if isinstance(key.value, str) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice: keep one", key.start_mark
                    )
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return super().construct_mapping(node, deep)

    return UniqueKeys
