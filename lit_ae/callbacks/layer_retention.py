"""How much of the input is left after each layer of the encoder?"""

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_ae import plots
from lit_ae.callbacks.evaluation import CHUNK, Evaluation, ScoreCallback, as_images, datamodule, save_figure
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.callbacks.layerwise_pretraining import blocks
from lit_ae.metrics.retention import variance_retained
from lit_ae.nets import MLPEncoder


class LayerRetention(ScoreCallback):
    """`retention/1`, `retention/2`, … in percent, and figure `retention`; for an `MLPEncoder`, others have none.

    The input is reconstructed by ridge regression from what each layer (linear map, norm and activation) gives, the
    last being the mean code, as `variance_retained` says. It is what can be read off linearly: later layers of the
    decoder may hold more.

    Args:
        alpha: penalty of the regression.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, alpha: float = 1.0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.alpha = alpha

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        module, data = module_of(trainer), datamodule(trainer)
        if not isinstance(module.encoder, MLPEncoder):
            return {}
        n = len(evaluation.codes(trainer)[0])  # as many samples as the trainer was told to take
        splits = data.split("train"), data.split("test" if trainer.testing else "val")
        train_x, x = (
            as_images(split.x[:size], module).flatten(1) for split, size in zip(splits, (None, n), strict=True)
        )
        train_features, features = train_x, x
        shares = []
        layers = blocks(module.encoder.layers)
        for layer in layers:
            train_features, features = (_through(layer, part) for part in (train_features, features))
            if layer is layers[-1]:  # beside the mean may stand a log variance
                train_features, features = train_features[:, : module.latent_dim], features[:, : module.latent_dim]
            try:
                shares.append(100 * variance_retained(train_features, train_x, features, x, self.alpha))
            except ValueError as error:
                evaluation.protocol["retention"] = f"none: {error}"
                return {}
        evaluation.protocol["retention"] = (
            f"% of the variance explained by ridge regression (alpha = {self.alpha:g}) from each layer's "
            f"activations to the input, fitted on {len(train_x):,} training samples, scored on {len(x):,}"
        )
        points = [(0.0, 100.0), *((i, share) for i, share in enumerate(shares, 1))]
        widths = [features.in_features for features in _linear(layers)]
        title = f"Input retained after each layer, {'-'.join(map(str, [*widths, module.latent_dim]))}"
        figure = plots.curves({"linear read-out": points}, "layer", "variance retained (%)", title)
        save_figure(trainer, figure, "retention")
        return {f"retention/{i}": share for i, share in enumerate(shares, 1)}


def _through(layer: nn.Sequential, features: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([layer(part).float() for part in features.split(CHUNK)])


def _linear(layers: list[nn.Sequential]) -> list[nn.Linear]:
    return [part for layer in layers for part in layer if isinstance(part, nn.Linear)]
