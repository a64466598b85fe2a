"""Callbacks that draw figures only, one file each."""
