"""The argument parser of all commands that Lightning does not parse."""

import argparse
from typing import NoReturn

from lit_ae.errors import SettingError


class Parser(argparse.ArgumentParser):
    """Prints an error as one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise SettingError(f"{message}; see `{self.prog} --help`")
