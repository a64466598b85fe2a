"""Generated images of circles, squares and triangles with known factors."""

import torch
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.subsets import seeded_split

SIDE = 28
SIZES = range(7, 15)  # px
KINDS = ("circle", "square", "triangle")


class Shapes(BaseDataModule):
    """White shapes on black, 28 x 28: 3 kinds x 8 sizes (7 to 14 px) x every position inside, 8,340 images.

    All images differ, since each shape touches all four sides of its size x size box. (The original report, whose
    renderer is lost, counts 8,002.) The report trains on 90 % and validates on 10 %; here a test split is kept apart
    from the split on which choices are made: train 80 % (6,672 images), val 10 % (834), test 10 % (834).
    Factors: kind of shape (0 circle, 1 square, 2 triangle; it is also the label), size in px, and x and y of the
    box's centre in px from the top left.
    """

    name = "shapes"
    input_shape = (1, SIDE, SIDE)
    class_names = KINDS
    num_classes = len(KINDS)
    factor_names = ("shape", "size", "x", "y")

    def load(self) -> Splits:
        """All images, split at random."""
        images = render()
        tenth = len(images) // 10
        val, test, train = seeded_split(images, (tenth, tenth), self.split_seed)
        return Splits(train, val, test)

    def valid_set(self) -> Tensor:
        """All possible images, [8340, 1, 28, 28] uint8, independent of the split and of `limit`."""
        return render().x[:]


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
