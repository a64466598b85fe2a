"""Parts and variants of a data set: seeded splits, all samples, one class left out, few labels, binarised pixels."""

from collections.abc import Sequence

import torch

from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.data.rows import PART
from lit_ae.errors import SettingError
from lit_ae.settings.seeds import stream_seed


def seeded_split(data: ArrayDataset, sizes: Sequence[int], seed: int) -> list[ArrayDataset]:
    """Disjoint random parts of `data` with these sizes, and the remaining samples as the last part.

    Raises:
        ValueError: the sizes add up to more samples than there are.
    """
    left = len(data) - sum(sizes)
    if left < 0:
        raise ValueError(f"parts of {tuple(sizes)} samples cannot be taken from {len(data)}")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return [data.subset(part) for part in torch.split(order, [*sizes, left])]


def joined(parts: Sequence[ArrayDataset]) -> ArrayDataset:
    """The samples of disjoint parts in memory, one part after the other; a part that is all of them as it is."""
    if all(part is parts[0] for part in parts):
        return parts[0]
    factors = [part.factors for part in parts if part.factors is not None]
    return ArrayDataset(
        torch.cat([part.x[:] for part in parts]),
        torch.cat([part.y for part in parts]),
        torch.cat(factors) if len(factors) == len(parts) else None,
    )


def class_number(label: int, names: Sequence[str]) -> int:
    """The number from 0 up of the class that a label names, where the labels are numbers; else the label itself.

    Raises:
        SettingError: the labels are numbers, and this is none of them.
    """
    if not names or not all(name.isdecimal() for name in names):
        return label
    if str(label) not in names:
        raise SettingError(f"--data.leave_out is {label}, which is no class of the data ({', '.join(names)})")
    return names.index(str(label))


def without_class(splits: Splits, label: int, names: Sequence[str] = ()) -> Splits:
    """The splits without the samples of one class in train and val; test keeps them.

    Args:
        splits: the splits.
        label: number of the class.
        names: of the classes, for the message; empty if the numbers are the names.

    Raises:
        SettingError: no training sample is of this class, or all samples of train or val are.
    """
    parts = {name: (part, part.y != label) for name, part in (("train", splits.train), ("val", splits.val))}
    if parts["train"][1].all():
        classes = splits.train.y[splits.train.y >= 0].unique().tolist()
        known = ", ".join(f"{y}: {names[y]}" if names else str(y) for y in classes) or "none: the data have no labels"
        raise SettingError(f"--data.leave_out is {label}, which is no class of the training data ({known})")
    for name, (_, kept) in parts.items():
        if not kept.any():
            raise SettingError(
                f"--data.leave_out is {label}, and the {name} split holds no other class: choose another"
            )
    return splits._replace(**{name: part.subset(kept.nonzero().flatten()) for name, (part, kept) in parts.items()})


def binarised_splits(splits: Splits, seed: int) -> Splits:
    """The splits with binary pixels, which in one do not depend on how many samples there are in another."""
    generators = (torch.Generator().manual_seed(stream_seed(seed, number)) for number in range(len(splits)))
    return Splits(*map(binarised, splits, generators))


def binarised(data: ArrayDataset, generator: torch.Generator) -> ArrayDataset:
    """A copy whose pixels are 0 or 255; the probability of 255 is x / 255.

    Raises:
        SettingError: the data are not stored as bytes.
    """
    if data.x.dtype != torch.uint8:
        raise SettingError(
            f"--data.binarise is for images of bytes and these data are of type {data.x.dtype}: leave it out"
        )
    parts = [torch.randint(255, part.shape, generator=generator) < part for part in data.x.split(PART)]
    return ArrayDataset(torch.cat(parts).to(torch.uint8) * 255, data.y, data.factors)


def labelled_subset(data: ArrayDataset, per_class: int, seed: int) -> ArrayDataset:
    """`per_class` random samples of each class, in random order.

    Raises:
        SettingError: the data have no labels, or a class has fewer samples than that.
    """
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    kept = []
    for label in data.y[data.y >= 0].unique():
        own = order[data.y[order] == label][:per_class]
        if len(own) < per_class:
            raise SettingError(
                f"--data.labels_per_class is {per_class} but class {label} has {len(own)} samples: set it lower"
            )
        kept.append(own)
    if not kept:
        raise SettingError("--data.labels_per_class needs labels and the data set has none: leave this setting out")
    some = torch.cat(kept)
    return data.subset(some[torch.randperm(len(some), generator=torch.Generator().manual_seed(seed))])


def share_sizes(n: int, val_share: float, test_share: float) -> tuple[int, int]:
    """Numbers of val and test samples among n.

    Raises:
        SettingError: a split would be empty.
    """
    val, test = (round(n * share) for share in (val_share, test_share))
    if min(val, test, n - val - test) < 1:
        raise SettingError(
            f"--data.val_share {val_share} and --data.test_share {test_share} of {n} samples leave a split empty: "
            "give more samples or other shares"
        )
    return val, test
