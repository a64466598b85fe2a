"""Callbacks that log numbers, one file each; some also draw figures of them."""
