"""Scores of generated images, and the networks that extract the features on which they are computed."""
