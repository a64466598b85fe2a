"""Generated images of circles, squares and triangles with known factors."""

import colorsys
from typing import Any

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.subsets import seeded_split
from lit_ae.errors import require_at_least

SIDE = 28
LAST_HUE = 240.0  # degrees: blue. Up to there from red, 0°, hues have an order; a whole circle would have none
SIZES = range(7, 15)  # px
KINDS = ("circle", "square", "triangle")


class Shapes(BaseDataModule):
    """White shapes on black, 28 x 28: 3 kinds x 8 sizes (7 to 14 px) x every position inside, 8,340 images.

    All images differ, since each shape touches all four sides of its size x size box. (The original publication, whose
    renderer is lost, counts 8,002.) It trains on 90 % and validates on 10 %; here a test split is kept apart
    from the split on which choices are made: train 80 % (6,672 images), val 10 % (834), test 10 % (834).
    Factors: kind of shape (0 circle, 1 square, 2 triangle; it is also the label), size in px, and x and y of the
    box's centre in px from the top left. With `hues` every shape also occurs in each of so many colours, and the hue in
    degrees is one more factor.

    Args:
        hues: number of colours, at equal steps of hue from red (0°) to blue (240°), of full saturation and brightness;
            0 for white shapes, which are grey images.
        kwargs: as for `BaseDataModule`.

    Raises:
        SettingError: `hues` is 1 or negative.
    """

    name = "shapes"
    input_shape = (1, SIDE, SIDE)
    class_names = KINDS
    num_classes = len(KINDS)
    factor_names: tuple[str, ...] = ("shape", "size", "x", "y")

    def __init__(self, hues: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hues = hues
        if hues:
            require_at_least(2, "--data.{}", hues=hues)
            self.name, self.input_shape = "colour_shapes", (3, SIDE, SIDE)
            self.factor_names = (*Shapes.factor_names, "hue")

    def load(self) -> Splits:
        """All images, split at random."""
        images = self._all()
        tenth = len(images) // 10
        val, test, train = seeded_split(images, (tenth, tenth), self.split_seed)
        return Splits(train, val, test)

    def valid_set(self) -> Tensor:
        """All possible images, [8340 or 8340 x hues, *input_shape] uint8, independent of the split and of `limit`."""
        return self._all().x[:]

    def _all(self) -> ArrayDataset:
        return coloured(render(), self.hues) if self.hues else render()


def render() -> ArrayDataset:
    """All distinct images with their labels and factors, ordered by kind, size, y and x."""
    unique: dict[bytes, tuple[Tensor, list[float]]] = {}
    for kind, kind_name in enumerate(KINDS):
        for size in SIZES:
            mask = stencil(kind_name, size)
            for top in range(SIDE - size + 1):
                for left in range(SIDE - size + 1):
                    image = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
                    image[0, top : top + size, left : left + size] = mask
                    factors = [kind, size, left + size / 2, top + size / 2]
                    unique.setdefault(image.numpy().tobytes(), (image, factors))
    images, rows = zip(*unique.values(), strict=True)
    factors_all = torch.tensor(rows)  # [N, 4]
    return ArrayDataset(torch.stack(images), factors_all[:, 0].long(), factors_all)


def coloured(white: ArrayDataset, hues: int) -> ArrayDataset:
    """Each of N white shapes in H hues, [H N, 3, 28, 28]: all in red first, and all in blue last."""
    degrees = torch.linspace(0, LAST_HUE, hues)
    colours = torch.tensor([colorsys.hsv_to_rgb(degree / 360, 1, 1) for degree in degrees.tolist()])  # [H, 3]
    painted = (colours * 255).round().to(torch.uint8)[:, None, :, None, None]
    images = torch.where(white.x[:].bool(), painted, 0).flatten(0, 1)
    assert white.factors is not None
    factors = torch.cat([white.factors.repeat(hues, 1), degrees.repeat_interleave(len(white)).unsqueeze(1)], 1)
    return ArrayDataset(images, white.y.repeat(hues), factors)


def stencil(kind: str, size: int) -> Tensor:
    """One shape in its box, [size, size] uint8, 255 inside the shape and 0 outside.

    A circle consists of the pixels whose centre is within size / 2 of the middle. A triangle stands on its base; its
    width is taken at the lower edge of each row of pixels, so that the tip reaches the top of the box.
    """
    step = torch.arange(size)
    centre = step + 0.5 - size / 2  # of each row or column of pixels, from the middle
    if kind == "circle":
        inside = centre.square() + centre.square().unsqueeze(1) <= (size / 2) ** 2
    elif kind == "triangle":
        inside = centre.abs() <= (step.unsqueeze(1) + 1) / 2
    else:
        inside = torch.ones(size, size, dtype=torch.bool)
    return inside.to(torch.uint8) * 255
