"""Scores of codes."""
