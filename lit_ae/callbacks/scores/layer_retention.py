"""How much of the input is retained after each layer of the encoder."""

from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_ae import plots
from lit_ae.callbacks.training.layerwise_pretraining import blocks
from lit_ae.evaluation.access import datamodule, is_drawn, on_device, save_figure, scored_split
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.retention import variance_retained
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.chunks import in_chunks
from lit_ae.nets import MLPEncoder


class LayerRetention(ScoreCallback):
    """`retention/1`, `retention/2`, … in percent, and figure `retention`, for models with an `MLPEncoder`.

    The share of the input's variance that ridge regression explains from the activations of each layer (linear map,
    norm and activation), the last layer being the mean code: see `variance_retained`. Higher means that more is
    retained. The regression is linear; a decoder may recover more.

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
        splits = data.split("train"), scored_split(trainer)
        train_x, x = (on_device(split.x[:], module).flatten(1) for split in splits)
        train_features, features = train_x, x
        shares = []
        layers = blocks(module.encoder.layers)
        for layer in layers:
            train_features, features = (_through(module, layer, part) for part in (train_features, features))
            if layer is layers[-1]:  # its output may hold a log variance after the mean
                train_features, features = train_features[:, : module.latent_dim], features[:, : module.latent_dim]
            shares.append(100 * variance_retained(train_features, train_x, features, x, self.alpha))
        evaluation.protocol["retention"] = (
            f"% of the input's variance explained by ridge regression (alpha = {self.alpha:g}) on each layer's "
            f"activations, fitted to {len(train_x):,} training samples, scored on {len(x):,} samples"
        )
        if is_drawn(trainer, "retention"):
            points = [(0.0, 100.0), *((i, share) for i, share in enumerate(shares, 1))]
            widths = "-".join(str(width) for width in (*(w.in_features for w in _linear(layers)), module.latent_dim))
            title = f"Variance of the input retained after each layer, {widths}"
            figure = plots.curves({"ridge regression": points}, "layer", "variance retained (%)", title)
            save_figure(trainer, figure, "retention")
        return {f"retention/{i}": share for i, share in enumerate(shares, 1)}


def _through(module: ReconstructionModule, layer: nn.Sequential, features: Tensor) -> Tensor:
    return in_chunks(module, lambda part, _: layer(part), features).to(features.device)


def _linear(layers: list[nn.Sequential]) -> list[nn.Linear]:
    return [part for layer in layers for part in layer if isinstance(part, nn.Linear)]
