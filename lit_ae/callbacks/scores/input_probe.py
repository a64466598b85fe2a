"""The linear probe on the model's inputs and on their principal components."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import ArrayDataset
from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, on_device, scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.labelled import labelled_indices
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.components import principal_components
from lit_ae.metrics.codes.probe import probe_by_sample, stratified


class InputProbe(ScoreCallback):
    """`probe_accuracy_pixels`, the accuracy of `LinearProbe`'s regression on the inputs; `pca/N/{probe_accuracy,mse}`.

    The values are the same for every model of the same data: a baseline for the codes. The principal components are
    exact, also of data with more features than the model PCA accepts, such as genes; there are at most as many as the
    rank of the data.

    Args:
        components: numbers N of principal components that are probed as well.
        pixels: whether the inputs are probed.
        max_train: number of training samples from which the regression learns, stratified by class; if null, all.
        seed: seed of the choice of these samples.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # keeps the values of each test sample

    def __init__(
        self,
        components: list[int] = [],  # noqa: B006 - a YAML default, never mutated
        pixels: bool = True,
        max_train: int | None = None,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "InputProbe.{}", seed=seed)
        require_at_least(1, "InputProbe.{}", max_train=max_train, components=min(components, default=None))
        self.components, self.pixels, self.max_train, self.seed = components, pixels, max_train, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Accuracies by name; errors of principal components also without labels."""
        train, test = datamodule(trainer).split("train"), scored_split(trainer)
        values: dict[str, float] = {}
        if self.pixels:
            with evaluation.leaving_out("probe_accuracy_pixels"):
                rows, scored = self._labelled(trainer, evaluation)
                x, x_test = _flat(trainer, train.subset(rows)), _flat(trainer, test.subset(scored))
                correct = self._correct(x, train.y[rows], x_test, test.y[scored])
                evaluation.keep_samples("probe_accuracy_pixels", correct, scored)
                values["probe_accuracy_pixels"] = correct.mean().item()
                evaluation.protocol["input_probe"] = (
                    f"the linear probe on the {x.shape[1]:,} standardised inputs of {len(rows):,} training samples"
                )
        accuracies, errors = ([f"pca/{n}/{name}" for n in self.components] for name in ("probe_accuracy", "mse"))
        if self.components:
            x, x_test = (_flat(trainer, part) for part in (train, test))
            z, z_test, mse = principal_components(x, x_test, max(self.components))
            for key, n in zip(errors, self.components, strict=True):
                error = mse[:, min(n, mse.shape[1] - 1)]
                evaluation.keep_samples(key, error)
                values[key] = error.mean().item()
            evaluation.protocol["pca"] = f"exact, from {len(x):,} training samples; at most {z.shape[1]} components"
            with evaluation.leaving_out(*accuracies):
                if not z.shape[1]:
                    raise NotComputable("all training samples are equal: there are no principal components")
                rows, scored = self._labelled(trainer, evaluation)
                for key, n in zip(accuracies, self.components, strict=True):
                    correct = self._correct(z[rows, :n], train.y[rows], z_test[scored, :n], test.y[scored])
                    evaluation.keep_samples(key, correct, scored)
                    values[key] = correct.mean().item()
        return values

    def _labelled(self, trainer: Trainer, evaluation: Evaluation) -> tuple[Tensor, Tensor]:
        """Places of the training samples from which the regression learns, and of those that are scored."""
        known, y = labelled_indices(trainer, evaluation, "train"), datamodule(trainer).split("train").y
        some = torch.from_numpy(stratified(y[known].numpy(), self.max_train, self.seed))
        return known[some], labelled_indices(trainer, evaluation, split_name(trainer))

    def _correct(self, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> Tensor:
        """Whether each of x_test [M, D] is classified correctly, [M] 0 or 1."""
        return probe_by_sample(x, y, x_test, y_test, self.seed, max_knn=1, k=1)[1]["probe_accuracy"].double()


def _flat(trainer: Trainer, data: ArrayDataset) -> Tensor:
    """Samples [N, D] on the CPU."""
    return on_device(data.x[:], trainer.lightning_module).cpu().flatten(1)
