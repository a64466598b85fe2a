"""The command `lit-ae`."""

from lit_ae.cli.dispatcher import entry_point, main

__all__ = ["entry_point", "main"]
