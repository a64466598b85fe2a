"""The stacked autoencoder: layers are trained one after the other, and then all together."""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lit_ae.errors import SettingError
from lit_ae.evaluation.score_callback import working
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.rbm import RBM
from lit_ae.models.training_pass import descend
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.mlp import Scale
from lit_ae.nets.optimizers import adam
from lit_ae.tracking.logger import run_logger


def blocks(layers: nn.Sequential) -> list[nn.Sequential]:
    """An MLP split before each linear layer but the first: a linear layer with its norm, activation and dropout.

    A scale of the input belongs to the first part.
    """
    starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    starts[0] = 0
    return [layers[start:end] for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)]


class LayerwisePretraining(Callback):
    """Greedy layer-wise pretraining of an MLP autoencoder, before the trainer's epochs train it as a whole.

    `autoencoder`: each encoder layer and its mirror image in the decoder reconstruct the activations of the layer below
    (Bengio et al. 2007, section 3; Vincent et al. 2010 without noise), the first pair with the model's own likelihood,
    the others with squared error. `rbm`: each hidden layer is an RBM over the layer below (Hinton & Salakhutdinov
    2006), whose weights W initialise the encoder and Wᵀ the decoder; it suits sigmoid units, and the linear layer of
    the code is trained as with `autoencoder`. These epochs come in addition to the trainer's. Mean losses are logged as
    pretraining/layer_N.

    Args:
        epochs: epochs of each layer.
        method: how a layer is trained.
        lr: learning rate of Adam.
        steps: Gibbs steps of an RBM's update.
        dropout: with `autoencoder`, share of each layer's inputs and of its activations that are dropped while it is
            trained, so that it is a denoising autoencoder (Xie et al. 2016, equations 6 to 9).

    Raises:
        SettingError: `epochs`, `lr` or `steps` not positive; `dropout` not in [0, 1); the networks are not MLPs that
            mirror each other, or the code is not the encoder's output (a variational family, or an activation of the
            code); `rbm` with a scaled input.
    """

    def __init__(
        self, epochs: int = 5, method: Literal["autoencoder", "rbm"] = "autoencoder", lr: float = 1e-3, steps: int = 1,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        for setting, value in (("epochs", epochs), ("lr", lr), ("steps", steps)):
            if value <= 0:
                raise SettingError(f"LayerwisePretraining.{setting} is {value}: it must be positive")
        if not 0 <= dropout < 1:
            raise SettingError(f"LayerwisePretraining.dropout is {dropout}: it must be at least 0 and below 1")
        self.epochs, self.method, self.lr, self.steps, self.dropout = epochs, method, lr, steps, dropout

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse networks whose layers cannot be paired."""
        if stage != "fit":
            return
        (first, _), *_ = layer_pairs(pl_module)
        assert isinstance(pl_module, ReconstructionModule)
        if not _code_is_output(pl_module):
            raise SettingError(
                "LayerwisePretraining trains the output of the encoder's last layer as the code, from which "
                f"{type(pl_module).__name__} makes its code first: choose a family that does not, such as AE"
            )
        if self.method == "rbm" and isinstance(first[0], Scale):
            raise SettingError(
                f"LayerwisePretraining.method is rbm and model.encoder.input_scale {first[0].factor}: an RBM takes "
                "values from 0 to 1: choose method autoencoder, or leave input_scale out"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pretrain from the first layer to the code, unless training continues from a checkpoint."""
        if trainer.ckpt_path:
            return
        assert isinstance(pl_module, ReconstructionModule)
        pairs = layer_pairs(pl_module)
        for i, (encoder, decoder) in enumerate(pairs):
            below = nn.Sequential(nn.Flatten(), *(lower for lower, _ in pairs[:i]))
            with working(f"pretraining layer {i + 1} of {len(pairs)}", trainer):
                if self.method == "rbm" and i < len(pairs) - 1:
                    losses = self._as_rbm(pl_module, below, encoder, decoder)
                else:
                    losses = self._as_autoencoder(pl_module, below, encoder, decoder, first=i == 0)
            logger = run_logger(trainer)
            if logger:
                for epoch, loss in enumerate(losses):
                    logger.log_metrics({f"pretraining/layer_{i + 1}": loss}, epoch + 1)

    def _as_autoencoder(
        self, module: ReconstructionModule, below: nn.Module, encoder: nn.Module, decoder: nn.Module, first: bool
    ) -> list[float]:
        def loss(x: Tensor) -> Tensor:
            with torch.no_grad():
                features = below(x)  # [B, D_i]
            hidden = encoder(F.dropout(features, self.dropout))
            raw = decoder(F.dropout(hidden, self.dropout))
            if first:
                return module.likelihood.fit(raw.view_as(x), x).nll
            return F.mse_loss(raw, features, reduction="none").sum(1)

        parameters = [*encoder.parameters(), *decoder.parameters()]
        return descend(module, adam(parameters, self.lr), loss, self.epochs)

    def _as_rbm(
        self, module: ReconstructionModule, below: nn.Module, encoder: nn.Sequential, decoder: nn.Sequential
    ) -> list[float]:
        up, down = encoder[0], decoder[0]
        assert isinstance(up, nn.Linear)
        assert isinstance(down, nn.Linear)
        optimizer = partial(adam, lr=self.lr)
        rbm = RBM((up.in_features,), up.out_features, optimizer, self.steps).to(module.device, up.weight.dtype)

        def loss(x: Tensor) -> Tensor:
            with torch.no_grad():
                features = below(x).clamp(0, 1)  # activities as probabilities
            return rbm.divergence(features)

        losses = descend(module, optimizer(rbm.parameters()), loss, self.epochs)
        rbm.hand_down(up, down)
        return losses


def _code_is_output(module: ReconstructionModule) -> bool:
    """Whether the mean code is the encoder's output as it is, without a second half and without an activation."""
    x = torch.full((1, *module.input_shape), 0.5).to(next(module.encoder.parameters()))
    training = module.training
    with torch.no_grad(), torch.random.fork_rng([module.device] if module.device.type == "cuda" else []):
        module.eval()
        output, code = module.encoder(x), module.encode(x).mu
        module.train(training)
    return output.shape == code.shape and bool(torch.allclose(output, code))


def layer_pairs(module: LightningModule) -> list[tuple[nn.Sequential, nn.Sequential]]:
    """Layers of the encoder from the data inwards, each with the layer of the decoder that mirrors it.

    Raises:
        SettingError: the networks are not MLPs, or the decoder's widths are not the encoder's in reverse.
    """
    encoder, decoder = getattr(module, "encoder", None), getattr(module, "decoder", None)
    if not (isinstance(encoder, MLPEncoder) and isinstance(decoder, MLPDecoder)):
        names = f"{type(encoder).__name__} and {type(decoder).__name__}"
        raise SettingError(
            f"LayerwisePretraining needs MLPEncoder and MLPDecoder but the model has {names}: set model.encoder and "
            "model.decoder"
        )
    pairs = list(zip(blocks(encoder.layers), reversed(blocks(decoder.layers)), strict=False))
    linear = [[layer for layer in net.layers if isinstance(layer, nn.Linear)] for net in (encoder, decoder)]
    widths = [[layer.out_features for layer in layers[:-1]] for layers in linear]
    if widths[0] != widths[1][::-1]:
        raise SettingError(
            f"LayerwisePretraining needs mirrored networks but model.encoder.widths is {widths[0]} and "
            f"model.decoder.widths is {widths[1]}: set the decoder's to {widths[0][::-1]}"
        )
    return pairs
