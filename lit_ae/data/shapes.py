"""Generated circles, squares and triangles whose factors are known."""

import torch
from torch import Tensor

from lit_ae.data.base import ArrayDataset, BaseDataModule, Splits, seeded_split

SIDE = 28
SIZES = range(7, 15)  # px
KINDS = ("circle", "square", "triangle")


class Shapes(BaseDataModule):
    """White shapes on black, 28 x 28: 3 kinds x 8 sizes (7 to 14 px) x every position inside, 8,340 images.

    Duplicates are dropped, but there are none: each shape fills its size x size box to all four sides. (The
    report, whose renderer is lost, counts 8,002.) The report trains on 90 % and validates on 10 %; here a
    test split is kept apart from the one that choices are made on: 80 / 10 / 10 %, 6,672 / 834 / 834 images.
    Factors: shape (0, 1, 2 as in KINDS; also the label), size in px, x and y of the box's centre in px from
    the top left.
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
        """Every image that there can be, [8340, 1, 28, 28] uint8, whatever the split and `limit`."""
        return render().x


def render() -> ArrayDataset:
    """All distinct images with labels and factors, ordered by kind, size, y, x."""
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
    """One shape in its box, [size, size] uint8, 255 inside and 0 outside.

    A circle holds the pixels whose centre lies within size / 2 of the middle; a triangle stands on its base,
    with pixels counted at their lower edge, so that its tip reaches the box's top.
    """
    step = torch.arange(size)
    centre = step + 0.5 - size / 2  # of each row or column, from the middle
    if kind == "circle":
        inside = centre.square() + centre.square().unsqueeze(1) <= (size / 2) ** 2
    elif kind == "triangle":
        inside = centre.abs() <= (step.unsqueeze(1) + 1) / 2
    else:
        inside = torch.ones(size, size, dtype=torch.bool)
    return inside.to(torch.uint8) * 255
