"""Does a classifier gain from synthetic samples of a class that has only a few?"""

import torch
from lightning.pytorch import Trainer

from lit_ae import plots
from lit_ae.callbacks.coding import decoded, encoded
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule, save_figure
from lit_ae.errors import SettingError
from lit_ae.metrics.augmentation import recall_and_accuracy, transferred_codes


class MinorityAugmentation(ScoreCallback):
    """`minority/{recall,accuracy}_{plain,oversampled,synthetic}` of a classifier with few samples of one class.

    The class is the one that `leave_out` keeps from the autoencoder, so that it has not seen more of it either. A
    logistic regression on pixels learns from `per_class` samples of each other class and `few` of this one: as they
    are, repeated up to `per_class`, or filled up by decoded `transferred_codes`. Recall is that of the class, accuracy
    that of all, on the test split; means over repeats, which differ in the samples drawn. A figure `minority` shows
    synthetic samples below the one that each is made from. Nothing where no class is left out.

    Args:
        few: samples of the class.
        per_class: samples of each other class, and of this one once filled up.
        repeats: of the whole.
        n: samples in the figure.
        seed: of the first repeat.

    Raises:
        SettingError: a number below 1, or `few` not below `per_class`; on scoring, too few samples of the class.
    """

    needs_labels = True
    needs_images = True

    def __init__(self, few: int = 5, per_class: int = 100, repeats: int = 3, n: int = 10, seed: int = 0) -> None:
        super().__init__()
        if not 0 < few < per_class or repeats < 1:
            raise SettingError(
                f"MinorityAugmentation with few {few}, per_class {per_class}, repeats {repeats}: few must be at least "
                "1 and below per_class, repeats at least 1"
            )
        self.few, self.per_class, self.repeats, self.n, self.seed = few, per_class, repeats, n, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Means over repeats, and the figure of the first."""
        data, module = datamodule(trainer), trainer.lightning_module
        label = data.leave_out
        test = data.split("test")
        if label is None or not (test.y == label).any():
            evaluation.protocol["minority"] = "not scored: no class of the test split was left out (data.leave_out)"
            return {}
        train, whole = data.split("train"), data.load().train  # the second has the class still
        minority = whole.x[whole.y == label]
        if len(minority) < self.few:
            raise SettingError(f"MinorityAugmentation wants {self.few} of class {label}, there are {len(minority)}")
        x_test, codes = as_images(test.x, module).cpu(), evaluation.train_codes(trainer)
        sums: dict[str, float] = {}
        for seed in range(self.seed, self.seed + self.repeats):
            random = torch.Generator().manual_seed(seed)
            few = as_images(minority[torch.randperm(len(minority), generator=random)[: self.few]], module).cpu()
            order = torch.randperm(len(train), generator=random)
            rest = torch.cat([order[train.y[order] == c][: self.per_class] for c in train.y.unique()])
            n = self.per_class - self.few
            added = {"plain": few[:0], "oversampled": few[torch.arange(n) % self.few]}
            own = encoded(trainer, few, torch.full((self.few,), label))
            z = transferred_codes(own, codes, train.y, n, seed)
            added["synthetic"] = decoded(trainer, z, torch.full((n,), label)).clamp(0, 1)
            for way, more in added.items():
                x = torch.cat([as_images(train.x[rest], module).cpu(), few, more])
                y = torch.cat([train.y[rest], torch.full((len(x) - len(rest),), label)])
                found = recall_and_accuracy(x, y, x_test, test.y, label)
                for name, value in zip(("recall", "accuracy"), found, strict=True):
                    key = f"minority/{name}_{way}"
                    sums[key] = sums.get(key, 0.0) + value / self.repeats
            if seed == self.seed:
                shown = {"known": few[torch.arange(self.n) % self.few], "synthetic": added["synthetic"][: self.n]}
                title = f"Class {label}: {self.few} known samples (top, repeated) and synthetic ones"
                save_figure(trainer, plots.image_rows(list(shown.items()), title), "minority")
        evaluation.protocol["minority"] = (
            f"logistic regression on pixels; {self.few} samples of class {label}, unseen by the model, and "
            f"{self.per_class} of each other; filled up to {self.per_class} by repetition or by decoded codes; mean of "
            f"{self.repeats} draws"
        )
        return sums
