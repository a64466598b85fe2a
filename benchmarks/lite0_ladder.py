"""What fd_lite0 and kid_lite0 react to: draws the picture of docs/fid.md.

    python benchmarks/lite0_ladder.py --images 360                          # digits, which need no download
    python benchmarks/lite0_ladder.py --data mnist --images 500 --seeds 2   # beside the results that are stored already

The reference is the beginning of the test split. As many images of the training split are changed in one way after the
other, each time a little more, and scored against it. A seed draws the images and the noise.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from lit_ae.data import MNIST, Digits, FashionMNIST, Shapes
from lit_ae.data.containers import as_float
from lit_ae.metrics.images.extractors import extract
from lit_ae.metrics.images.lite0 import Lite0Extractor
from lit_ae.plots.style import PALETTE, styled
from lit_ae.scores import fid, kid

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "lite0_ladder.json"
PICTURE = ROOT / "docs" / "images" / "fd-lite0-ladder.png"
DATA = {"digits": (Digits, Shapes), "mnist": (MNIST, FashionMNIST)}  # and the other data set that is mixed in
POOL = 3  # images from which a seed draws those of one step: enough for seven missing classes of ten
Levels = dict[str, tuple[float, ...]]
LEVELS: Levels = {
    "blur, σ in pixels": (0.5, 1, 2, 3),
    "noise, σ": (0.02, 0.05, 0.1, 0.2),
    "classes missing of 10": (1, 3, 5, 7),
    "share of another data set": (0.1, 0.25, 0.5, 1),
}
Feature = Callable[[Tensor], Tensor]
Step = tuple[float, float, float]  # level, fd_lite0, kid_lite0


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Images smoothed by a Gaussian of so many pixels."""
    return gaussian_blur(x, [2 * int(3 * sigma + 0.5) + 1] * 2, [sigma, sigma])


class Ladder:
    """The steps of one data set, scored against the first n images of its test split.

    Args:
        name: the data set.
        n: number of images of a step, and of the reference.
        features: from float images [N, C, H, W] to features [N, F].
        levels: kind of change -> its levels.
    """

    def __init__(self, name: str, n: int, features: Feature, levels: Levels = LEVELS) -> None:
        own, other = (cls() for cls in DATA[name])
        self.n, self.features, self.levels = n, features, levels
        self.real = features(as_float(own.split("test").x[:n]))
        self.x, self.y = as_float(own.split("train").x[: POOL * n + n]), own.split("train").y[: POOL * n + n]
        self.own, self.other = features(self.x), features(as_float(other.split("train").x[:n]))

    def steps(self, seed: int) -> dict[str, list[Step]]:
        """Kind of change -> its steps; every kind begins with the unchanged images, at level 0."""
        generator = torch.Generator().manual_seed(seed)
        order, strangers = (torch.randperm(len(part), generator=generator) for part in (self.x, self.other))
        x, own = self.x[order[: self.n]], self.own[order[: self.n]]
        noise = torch.randn(x.shape, generator=generator)
        return {
            kind: [self._scores(0, own)]
            + [self._scores(level, self._changed(kind, level, x, own, noise, order, strangers)) for level in levels]
            for kind, levels in self.levels.items()
        }

    def _changed(
        self, kind: str, level: float, x: Tensor, own: Tensor, noise: Tensor, order: Tensor, strangers: Tensor
    ) -> Tensor:
        """Features [N, F] of a step."""
        if kind.startswith("blur"):
            return self.features(blurred(x, level))
        if kind.startswith("noise"):
            return self.features((x + level * noise).clamp(0, 1))
        if kind.startswith("classes"):
            return self.own[order[self.y[order] < 10 - level][: self.n]]
        mixed = self.other[strangers[: round(self.n * level)]]
        return torch.cat([mixed, own[len(mixed) :]])

    def _scores(self, level: float, fake: Tensor) -> Step:
        return level, fid(self.real, fake), kid(self.real, fake)


def draw(results: dict[str, Any]) -> Figure:
    """A row of panels for each data set, one for each kind of change; fd_lite0 over its level."""
    with styled():
        figure = Figure(figsize=(8.4, 0.5 + 2.0 * len(results)), layout="constrained")
        panels = figure.subplots(len(results), len(LEVELS), sharey="row", squeeze=False)
        for row, (name, result) in zip(panels, results.items(), strict=True):
            for axes, kind in zip(row, LEVELS, strict=True):
                runs = [[scores[1] for scores in seed[kind]] for seed in result["seeds"].values()]
                levels = [scores[0] for scores in next(iter(result["seeds"].values()))[kind]]
                centre, error = map(mean, zip(*runs, strict=True)), map(stdev, zip(*runs, strict=True))
                axes.errorbar(levels, list(centre), list(error), color=PALETTE[0], marker="o", markersize=4, capsize=3)
                axes.grid(True, axis="y")
                axes.set_xlabel(kind)
            row[0].set_ylabel(f"{name}: fd_lite0")
            row[0].set_ylim(bottom=0)  # after all lines: the panels share the axis
    return figure


def main() -> None:
    """Measure one data set, store it beside the others, and draw all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(DATA), default="digits")
    parser.add_argument("--images", type=int, default=360, help="of each kind; at most as many as the test split holds")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    settings = parser.parse_args()
    extractor = Lite0Extractor()
    ladder = Ladder(settings.data, settings.images, lambda x: extract(extractor, x, 25).features)
    seeds = {str(seed): ladder.steps(seed) for seed in range(settings.seeds)}
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    stored[settings.data] = {"images": settings.images, "weights": extractor.file_hash, "seeds": seeds}
    results = {name: stored[name] for name in DATA if name in stored}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    draw(results).savefig(PICTURE, dpi=90)
    for name, result in results.items():
        for kind in LEVELS:
            for score, place in (("fd_lite0", 1), ("kid_lite0", 2)):
                rows = [[f"{scores[place]:.4g}" for scores in seed[kind]] for seed in result["seeds"].values()]
                print(name, kind, score, *(", ".join(row) for row in rows), sep=" | ")


if __name__ == "__main__":
    main()
