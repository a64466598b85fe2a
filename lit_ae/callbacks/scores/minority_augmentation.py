"""Synthetic samples of a rare class as training data of a classifier."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset
from lit_ae.data.subsets import binarised
from lit_ae.errors import NotComputable, SettingError, require_at_least
from lit_ae.evaluation.access import datamodule, on_device, reconstruction_module, save_figure, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_indices, labelled_split, labelled_train_codes
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.augmentation import rightly_classified, transferred_codes
from lit_ae.models.chunks import decoded, mean_codes


class MinorityAugmentation(ScoreCallback):
    """`minority/{recall,accuracy}_{plain,oversampled,synthetic}` of a classifier with few samples of one class.

    The class is the one that `data.leave_out` keeps from the autoencoder, so that the autoencoder has not seen more of
    it than the classifier. A logistic regression on pixels learns from `per_class` samples of each other class and
    `few` samples of this class: only these (`plain`), repeated up to `per_class` (`oversampled`), or together with
    decoded `transferred_codes` up to `per_class` (`synthetic`). Recall is that of the class, accuracy is over all
    classes, both on the scored samples; higher is better. Values are means over repeats, which differ in the samples
    drawn; those of single samples are kept, with which reports test over samples. Figure `minority` shows synthetic
    samples below the samples from which they are made. It needs a class that is left out.

    Args:
        few: number of samples of the class.
        per_class: number of samples of each other class, and of this class after augmentation.
        repeats: number of repeats of the whole procedure.
        n: number of samples in the figure.
        seed: seed of the first repeat.

    Raises:
        SettingError: a number below 1, or `few` not below `per_class`.
    """

    needs_labels = True
    needs_images = True
    needs_unit_range = True

    def __init__(self, few: int = 5, per_class: int = 100, repeats: int = 3, n: int = 10, seed: int = 0) -> None:
        super().__init__()
        require_at_least(0, "MinorityAugmentation.{}", seed=seed)
        require_at_least(1, "MinorityAugmentation.{}", n=n)
        if not 0 < few < per_class or repeats < 1:
            raise SettingError(
                f"MinorityAugmentation has few = {few}, per_class = {per_class}, repeats = {repeats}: few must be at "
                "least 1 and below per_class, and repeats at least 1"
            )
        self.few, self.per_class, self.repeats, self.n, self.seed = few, per_class, repeats, n, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Means over repeats, and the figure of the first."""
        data, module = datamodule(trainer), reconstruction_module(trainer)
        if data.leave_out is None:
            raise NotComputable("no class was left out of training: set data.leave_out")
        test = labelled_split(trainer, evaluation, split_name(trainer))
        label, name = data.left_out, data.leave_out
        if not (test.y == label).any():
            raise NotComputable(f"none of the {len(test):,} labelled scored samples is of class {name}")
        train, minority = labelled_split(trainer, evaluation, "train"), _left_out(data, label).x
        if len(minority) < self.few:
            raise NotComputable(
                f"MinorityAugmentation.few is {self.few} but class {name} has {len(minority)} samples: lower it"
            )
        x_test, (codes, _) = on_device(test.x[:], module).cpu(), labelled_train_codes(trainer, evaluation)
        right: dict[str, Tensor] = {}  # way -> share of repeats in which each sample is given its class [M]
        for seed in range(self.seed, self.seed + self.repeats):
            random = torch.Generator().manual_seed(seed)
            few = on_device(minority[torch.randperm(len(minority), generator=random)[: self.few]], module).cpu()
            order = torch.randperm(len(train), generator=random)
            rest = torch.cat([order[train.y[order] == c][: self.per_class] for c in train.y.unique()])
            n = self.per_class - self.few
            added = {"plain": few[:0], "oversampled": few[torch.arange(n) % self.few]}
            own = mean_codes(module, few, torch.full((self.few,), label))
            z = transferred_codes(own, codes, train.y, n, seed)
            added["synthetic"] = decoded(module, z, torch.full((n,), label)).clamp(0, 1)
            for way, more in added.items():
                x = torch.cat([on_device(train.x[rest], module).cpu(), few, more])
                y = torch.cat([train.y[rest], torch.full((len(x) - len(rest),), label)])
                right[way] = right.get(way, 0) + rightly_classified(x, y, x_test, test.y) / self.repeats
            if seed == self.seed:
                shown = {"real": few[torch.arange(self.n) % self.few], "synthetic": added["synthetic"][: self.n]}
                title = f"Class {name}: {self.few} real samples (top, repeated) and synthetic samples made from them"
                save_figure(trainer, plots.image_rows(list(shown.items()), title), "minority")
        evaluation.protocol["minority"] = (
            f"logistic regression on pixels; {self.few} samples of class {name}, which the model has not seen, and "
            f"{self.per_class} of each other class; oversampled: the {self.few} repeated up to {self.per_class}; "
            f"synthetic: decoded codes added up to {self.per_class}; mean of {self.repeats} repeats"
        )
        places, of_class = labelled_indices(trainer, evaluation, split_name(trainer)), test.y == label
        values: dict[str, float] = {}
        for way, each in right.items():
            for kind, used in (("recall", of_class), ("accuracy", torch.ones_like(of_class))):
                values[f"minority/{kind}_{way}"] = each[used].mean().item()
                evaluation.keep_samples(f"minority/{kind}_{way}", each[used], places[used])
        return values


def _left_out(data: BaseDataModule, label: int) -> ArrayDataset:
    """The training samples of the class that the splits do not hold, binarised if these are."""
    whole = data.load().train
    samples = whole.subset((whole.y == label).nonzero().flatten())
    return binarised(samples, torch.Generator().manual_seed(data.split_seed)) if data.binarise else samples
