"""Names of studies, rows and figures as names of files."""

import re
import unicodedata
from collections.abc import Iterable

from lit_ae.errors import SettingError
from lit_ae.settings.hashing import content_hash

LENGTH = 100  # of a name as a part of a file's name, for which file systems take 255 bytes
PLAIN = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


def file_name(name: str) -> str:
    """A plain ASCII file name; Greek letters by name, so that VAE and β-VAE get different ones.

    Of more than 100 characters the first 87 stay, and a hash of the name.
    """
    spelled = (c if c.isascii() else unicodedata.name(c, "").split(" ")[-1] for c in name)
    plain = re.sub(r"[^\w.-]+", "-", "".join(spelled).lower()).strip("-.")
    return plain if len(plain) <= LENGTH else f"{plain[: LENGTH - 13]}-{content_hash(name)}"


def require_plain(where: str, names: Iterable[str]) -> None:
    """Refuse names that could leave a folder or that a file system does not take.

    Raises:
        SettingError: a name has other characters than letters, digits, `_`, `-` and `.`, or starts with one of these.
    """
    for name in names:
        if not PLAIN.fullmatch(name):
            raise SettingError(
                f"{where} {name!r} becomes the name of files: write it with letters, digits, _, - and ., the first a "
                "letter or digit, 100 at most"
            )


def require_different_files(where: str, labels: Iterable[str]) -> None:
    """Refuse labels that would become the same file name, or none.

    Raises:
        SettingError: two do.
    """
    seen: dict[str, str] = {}
    for label in labels:
        name = file_name(label)
        if not name:
            raise SettingError(f"{where} {label!r} has no letter or digit, which its files are named by: rename it")
        if name in seen:
            raise SettingError(f"{where} {seen[name]!r} and {label!r} would both be called {name} as files: rename one")
        seen[name] = label
