"""Callbacks that act during training, one file each."""
