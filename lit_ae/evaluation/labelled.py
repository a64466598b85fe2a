"""The labelled samples of a split, for scores that need labels; -1 means unlabelled and is never a class."""

from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import ArrayDataset, SplitName
from lit_ae.errors import NotComputable
from lit_ae.evaluation.access import datamodule, scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation


def labelled_split(trainer: Trainer, evaluation: Evaluation, split: SplitName) -> ArrayDataset:
    """The labelled samples of a split; of the one being scored, those within the limit.

    Raises:
        NotComputable: there are none.
    """
    data = _samples(trainer, split)
    known = labelled_indices(trainer, evaluation, split)
    return data if len(known) == len(data) else data.subset(known)


def labelled_codes(trainer: Trainer, evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """Mean codes [N, D] and labels [N] of the scored samples that have a label.

    Raises:
        NotComputable: there are none.
    """
    codes, labels = evaluation.codes(trainer)
    known = labelled_indices(trainer, evaluation, split_name(trainer))
    return codes[known], labels[known]


def labelled_train_codes(trainer: Trainer, evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """Mean codes [N, D] and labels [N] of the training samples that have a label.

    Raises:
        NotComputable: there are none.
    """
    known = labelled_indices(trainer, evaluation, "train")
    return evaluation.train_codes(trainer)[known], datamodule(trainer).split("train").y[known]


def labelled_indices(trainer: Trainer, evaluation: Evaluation, split: SplitName) -> Tensor:
    """Places [n] of the labelled samples; the protocol says how many they are, unless they are all.

    Raises:
        NotComputable: there are none.
    """
    y = _samples(trainer, split).y
    known = (y >= 0).nonzero().flatten()
    if not len(known):
        raise NotComputable(f"none of the {len(y):,} samples of the {split} split has a label")
    if len(known) < len(y):
        evaluation.protocol[f"labelled_{split}"] = (
            f"scores that need labels use the {len(known):,} labelled ones of {len(y):,} samples of the {split} split"
        )
    return known


def _samples(trainer: Trainer, split: SplitName) -> ArrayDataset:
    return scored_split(trainer) if split == split_name(trainer) else datamodule(trainer).split(split)
