"""Callbacks: scores and figures of trained models, and what acts during training; one file each."""
