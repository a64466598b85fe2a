"""Scores of codes, reconstructions and generated images, and the feature extractors of images.

Nothing is imported here: importing torchmetrics' image package and scikit-learn takes seconds.
"""
