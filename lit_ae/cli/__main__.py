"""`python -m lit_ae.cli`."""

from lit_ae.cli.dispatcher import entry_point

entry_point()
