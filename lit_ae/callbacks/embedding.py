"""The codes in two dimensions, coloured by label."""

import os
from typing import Literal

import torch
from lightning.pytorch import Trainer
from numpy import ndarray

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, save_figure

Method = Literal["tsne", "umap"]
TITLES = {"tsne": "t-SNE", "umap": "UMAP"}


def embed(codes: ndarray, method: Method, seed: int) -> ndarray:
    """Two-dimensional embedding [N, 2] of codes [N, D], the same for the same seed.

    t-SNE: van der Maaten & Hinton 2008, perplexity 30; UMAP: McInnes et al. 2018, 15 neighbours. Both are
    lowered where there are too few points.
    """
    n = len(codes)
    if method == "tsne":
        from sklearn.manifold import TSNE

        tsne = TSNE(perplexity=min(30.0, (n - 1) / 3), init="pca", random_state=seed, n_jobs=1)
        return tsne.fit_transform(codes)  # type: ignore[no-any-return]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from sklearn.neighbors import NearestNeighbors
    from umap import UMAP

    neighbours = min(15, n - 1)
    # Exact neighbours by brute force save most of numba's compiling.
    distance, index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(codes).kneighbors(codes)
    umap = UMAP(n_neighbors=neighbours, precomputed_knn=(index, distance, None), random_state=seed, n_jobs=1)
    threads = torch.get_num_threads()
    try:
        return umap.fit_transform(codes)  # type: ignore[no-any-return]
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's number for the whole process


class LatentPlot(ScoreCallback):
    """Figures `tsne` and `umap` of the mean codes, coloured by label.

    Args:
        methods: which embeddings.
        max_points: the split's first codes up to this many.
        seed: of the embeddings.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(
        self,
        methods: list[Method] = ["tsne", "umap"],  # noqa: B006 - a YAML default, never mutated
        max_points: int = 2000,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.methods, self.max_points, self.seed = methods, max_points, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Draw the figures; no values."""
        codes, labels = (part[: self.max_points].numpy() for part in evaluation.codes(trainer))
        for method in self.methods:
            points = embed(codes, method, self.seed)
            title = f"{TITLES[method]} of {len(codes):,} codes"
            save_figure(trainer, plots.embedding(points, labels, title), method)
        return {}
