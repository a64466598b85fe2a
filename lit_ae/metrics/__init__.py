"""Scores of codes, reconstructions and generated images, and the networks that judge images.

Nothing is imported here: torchmetrics' image package and scikit-learn take seconds.
"""
