"""Figures of arrays in one style, by matplotlib without pyplot, so that worker processes and threads can draw."""

from lit_ae.plots.curves import curves, stacked_curves
from lit_ae.plots.images import image_grid, image_rows
from lit_ae.plots.scatter import embedding, embeddings
from lit_ae.plots.style import save

__all__ = ["curves", "embedding", "embeddings", "image_grid", "image_rows", "save", "stacked_curves"]
