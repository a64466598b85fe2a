"""Scores and figures: one file each, fed by what the test pass returns."""
