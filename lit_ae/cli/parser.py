"""The argument parser of all commands that Lightning does not parse."""

import argparse
import math
from typing import NoReturn

from lit_ae.errors import SettingError


def at_least_one(text: str) -> int:
    """A whole number of at least 1, as the type of an argument."""
    return _whole(text, "at least 1", 1)


def port(text: str) -> int:
    """A number of a port that a server can have, as the type of an argument."""
    return _whole(text, "from 1 to 65535", 1, 65535)


def _whole(text: str, what: str, low: int, high: float = math.inf) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number {what}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """Prints an error as one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise SettingError(f"{message}; see `{self.prog} --help`")
