"""The linear probe on what the codes are made from, and on principal components of it."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule
from lit_ae.data.base import ArrayDataset
from lit_ae.metrics.components import principal_components
from lit_ae.metrics.probe import probe_scores, stratified


class InputProbe(ScoreCallback):
    """`probe_accuracy_pixels`: the regression of `LinearProbe` on the inputs themselves; `pca/N/{probe_accuracy,mse}`.

    The same for every model of the same data: a column to hold the codes against. Principal components are exact for
    more features than the model PCA takes, as of genes, and are at most as many as the data's rank.

    Args:
        components: numbers of principal components that are probed as well.
        pixels: whether the inputs are.
        max_train: training samples that the regression learns from, stratified by class; all where null.
        seed: of the choice of these samples.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_labels = True

    def __init__(
        self,
        components: list[int] = [],  # noqa: B006 - a YAML default, never mutated
        pixels: bool = True,
        max_train: int | None = None,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.components, self.pixels, self.max_train, self.seed = components, pixels, max_train, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Accuracies by name."""
        data = datamodule(trainer)
        train, test = data.split("train"), data.split("test" if trainer.testing else "val")
        some = torch.from_numpy(stratified(train.y.numpy(), self.max_train, self.seed))
        y, values = train.y[some], {}
        if self.pixels:
            x, x_test = (_flat(trainer, part) for part in (train.subset(some), test))
            values["probe_accuracy_pixels"] = self._accuracy(x, y, x_test, test.y)
            evaluation.protocol["input_probe"] = (
                f"the linear probe on the {x.shape[1]:,} inputs of {len(some):,} training samples, standardised"
            )
        if self.components:
            x, x_test = (_flat(trainer, part) for part in (train, test))
            z, z_test, errors = principal_components(x, x_test, max(self.components))
            for n in self.components:
                values[f"pca/{n}/probe_accuracy"] = self._accuracy(z[some, :n], y, z_test[:, :n], test.y)
                values[f"pca/{n}/mse"] = errors[min(n, len(errors) - 1)]
            evaluation.protocol["pca"] = f"exact, of {len(x):,} training samples; at most {z.shape[1]} components"
        return values

    def _accuracy(self, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> float:
        return probe_scores(x, y, x_test, y_test, self.seed, max_knn=1, k=1)["probe_accuracy"]


def _flat(trainer: Trainer, data: ArrayDataset) -> Tensor:
    """Samples [N, D] on the CPU."""
    return as_images(data.x, trainer.lightning_module).cpu().flatten(1)
