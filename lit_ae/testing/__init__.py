"""The contract of a family as a function, for families inside and outside this repository."""

from lit_ae.testing.contract import check_family

__all__ = ["check_family"]
