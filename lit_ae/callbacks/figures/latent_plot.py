"""Two-dimensional embeddings of the codes."""

import os
import warnings
from contextlib import suppress
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy import ndarray

from lit_ae import plots
from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, is_drawn, save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.settings.imports import importing

Method = Literal["tsne", "umap", "pca"]
TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}
LEAST = 4  # codes: fewer have no neighbourhoods to preserve


def embed(
    codes: ndarray, method: Method, seed: int, perplexity: float = 30.0, iterations: int = 1000, neighbours: int = 15
) -> ndarray:
    """Two-dimensional embedding [N, 2] of codes [N, D], the same for the same seed; 0 if all codes are equal.

    t-SNE: van der Maaten & Hinton 2008; UMAP: McInnes et al. 2018; PCA: the two leading components. Perplexity and the
    number of neighbours are lowered if there are too few codes.

    Raises:
        NotComputable: fewer than 4 codes.
    """
    n, size = codes.shape
    if n < LEAST:
        raise NotComputable(f"{n} codes are too few to embed: at least {LEAST} are needed")
    centred = codes - codes.mean(0)
    if not (codes != codes[0]).any():
        return np.zeros((n, 2), codes.dtype)
    if method == "pca":
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]  # [up to 2, D]
        signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1, keepdims=True), 1))
        points = centred @ (signs * axes).T  # the sign of each axis makes its largest entry positive
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    if method == "tsne":
        from sklearn.manifold import TSNE

        tsne = TSNE(
            perplexity=min(perplexity, (n - 1) / 3), max_iter=iterations, init="pca" if size > 1 else "random",
            random_state=seed, n_jobs=1,
        )  # fmt: skip
        return tsne.fit_transform(codes)  # type: ignore[no-any-return]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from sklearn.neighbors import NearestNeighbors

    neighbours = min(neighbours, n - 1)
    # Exact neighbours by brute force avoid most of numba's compilation.
    distance, index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(codes).kneighbors(codes)
    umap = _umap()(n_neighbors=neighbours, precomputed_knn=(index, distance, None), random_state=seed, n_jobs=1)
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            # No new points will be embedded; few or equal codes are embedded from a random start instead
            warnings.filterwarnings("ignore", "precomputed_knn|Spectral initialisation failed", UserWarning)
            return umap.fit_transform(codes)  # type: ignore[no-any-return]
    finally:
        torch.set_num_threads(threads)  # numba sets the number of OpenMP threads for the whole process


@cache
def _umap() -> Any:
    """The class UMAP, which keeps what it compiles on disk: otherwise every process takes seconds for it."""
    with importing():
        from umap import UMAP, layouts, umap_

    for module, name in (
        (umap_, "smooth_knn_dist"),
        (umap_, "compute_membership_strengths"),
        (layouts, "_nb_optimize_layout_euclidean_single_epoch"),
    ):
        with suppress(AttributeError, RuntimeError):  # a version without it, or no folder that can be written
            getattr(module, name).enable_caching()
    return UMAP


class LatentPlot(ScoreCallback):
    """Figures `tsne`, `umap` and `pca` of the mean codes, coloured by label, and `embeddings`, all side by side.

    Args:
        methods: the embeddings, in the order of `embeddings` (which is left out if there is only one method).
        max_points: number of codes that are embedded, the first ones of the split.
        perplexity: perplexity of t-SNE, at least 1.
        iterations: iterations of t-SNE, at least 250; 300 in the sparse and contractive report.
        neighbours: number of neighbours of UMAP.
        seed: seed of the embeddings.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(
        self,
        methods: list[Method] = ["tsne", "umap", "pca"],  # noqa: B006 - a YAML default, never mutated
        max_points: int = 2000,
        perplexity: float = 30.0,
        iterations: int = 1000,
        neighbours: int = 15,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "LatentPlot.{}", seed=seed)
        require_at_least(1, "LatentPlot.{}", max_points=max_points, perplexity=perplexity)
        require_at_least(2, "LatentPlot.{}", neighbours=neighbours)
        require_at_least(250, "LatentPlot.{}", iterations=iterations)
        self.methods, self.max_points, self.seed = methods, max_points, seed
        self.perplexity, self.iterations, self.neighbours = perplexity, iterations, neighbours

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figures; no values."""
        codes, labels = (part[: self.max_points].numpy() for part in evaluation.codes(trainer))
        settings = (self.seed, self.perplexity, self.iterations, self.neighbours)
        together = len(self.methods) > 1 and is_drawn(trainer, "embeddings")
        apart = [method for method in self.methods if is_drawn(trainer, method)]
        points = {method: embed(codes, method, *settings) for method in (self.methods if together else apart)}
        names = datamodule(trainer).class_names or None
        for method in apart:
            title = f"{TITLES[method]} of {len(codes):,} codes"
            save_figure(trainer, plots.embedding(points[method], labels, title, names), method)
        if together:
            panels = {TITLES[method]: embedded for method, embedded in points.items()}
            save_figure(trainer, plots.embeddings(panels, labels, f"{len(codes):,} codes", names), "embeddings")
        return {}
