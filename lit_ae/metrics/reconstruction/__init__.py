"""Scores of reconstructions and likelihoods."""
