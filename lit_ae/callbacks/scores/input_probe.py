"""The linear probe on the model's inputs and on their principal components."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import ArrayDataset
from lit_ae.evaluation.access import datamodule, on_device, scored_split
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.components import principal_components
from lit_ae.metrics.codes.probe import probe_scores, stratified


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
        train, test = data.split("train"), scored_split(trainer)
        some = torch.from_numpy(stratified(train.y.numpy(), self.max_train, self.seed))
        y, values = train.y[some], {}
        if self.pixels:
            x, x_test = (_flat(trainer, part) for part in (train.subset(some), test))
            values["probe_accuracy_pixels"] = self._accuracy(x, y, x_test, test.y)
            evaluation.protocol["input_probe"] = (
                f"the linear probe on the {x.shape[1]:,} standardised inputs of {len(some):,} training samples"
            )
        if self.components:
            x, x_test = (_flat(trainer, part) for part in (train, test))
            z, z_test, errors = principal_components(x, x_test, max(self.components))
            for n in self.components:
                values[f"pca/{n}/probe_accuracy"] = self._accuracy(z[some, :n], y, z_test[:, :n], test.y)
                values[f"pca/{n}/mse"] = errors[min(n, len(errors) - 1)]
            evaluation.protocol["pca"] = f"exact, from {len(x):,} training samples; at most {z.shape[1]} components"
        return values

    def _accuracy(self, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> float:
        return probe_scores(x, y, x_test, y_test, self.seed, max_knn=1, k=1)["probe_accuracy"]


def _flat(trainer: Trainer, data: ArrayDataset) -> Tensor:
    """Samples [N, D] on the CPU."""
    return on_device(data.x, trainer.lightning_module).cpu().flatten(1)
