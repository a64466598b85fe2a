"""How much of the input is retained after each layer of the encoder."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_ae import plots
from lit_ae.callbacks.training.layerwise_pretraining import blocks
from lit_ae.errors import NotComputable
from lit_ae.evaluation.access import datamodule, is_drawn, on_device, save_figure, scored_split
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.retention import variance_retained
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.chunks import in_chunks, mean_codes
from lit_ae.nets import MLPEncoder


class LayerRetention(ScoreCallback):
    """`retention/1`, `retention/2`, … in percent, and figure `retention`, for models with an `MLPEncoder`.

    The share of the input's variance that ridge regression explains from the activations of each layer (linear map,
    norm and activation), the last value being that of the mean code: see `variance_retained`. Higher means that more is
    retained. The regression is linear; a decoder may recover more. It is left out for a family whose encoder is not
    given x alone, such as `ConditionalVAE`.

    Args:
        alpha: penalty of the regression.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # 2: the last value is that of the mean code in every family

    def __init__(self, alpha: float = 1.0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.alpha = alpha

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        module, data = module_of(trainer), datamodule(trainer)
        if not isinstance(module.encoder, MLPEncoder):
            return {}
        splits = data.split("train"), scored_split(trainer)
        if not _reads_x(module, on_device(splits[1].x[:1], module), splits[1].y[:1].to(module.device)):
            raise NotComputable(f"the encoder of {type(module).__name__} is not given x alone")
        train_x, x = (on_device(split.x[:], module).flatten(1) for split in splits)
        train_features, features = train_x, x
        shares = []
        layers = blocks(module.encoder.layers)
        for layer in layers:
            if layer is layers[-1]:  # the family may go on from its output
                codes = (mean_codes(module, split.x, split.y) for split in splits)
                train_features, features = (part.to(x.device) for part in codes)
            else:
                train_features, features = (_through(module, layer, part) for part in (train_features, features))
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


def _reads_x(module: ReconstructionModule, x: Tensor, y: Tensor) -> bool:
    """Whether the encoder is given x [1, *shape] as it is."""
    seen: list[Tensor] = []
    with torch.no_grad(), module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        module.encode(x, y)
    return bool(seen) and torch.equal(seen[0].flatten(), x.flatten())


def _through(module: ReconstructionModule, layer: nn.Sequential, features: Tensor) -> Tensor:
    return in_chunks(module, lambda part, _: layer(part), features).to(features.device)


def _linear(layers: list[nn.Sequential]) -> list[nn.Linear]:
    return [part for layer in layers for part in layer if isinstance(part, nn.Linear)]
