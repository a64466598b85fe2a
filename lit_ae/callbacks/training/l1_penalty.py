"""L1 penalty on the weights of any family."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from lit_ae.errors import SettingError
from lit_ae.models.rbm import Hidden

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *CONVOLUTIONS, Hidden)

WEIGHTS = ("weight", "parametrizations.weight.original")  # the second of a layer with spectral norm


class L1Penalty(Callback):
    """Adds the gradient of λ Σ |w| over all weight matrices and filters (not biases and norms) before each step.

    The logged loss does not include the term. For an L2 penalty ½ λ Σ w² set the optimiser's `weight_decay` (of Adam or
    SGD; that of AdamW is decoupled from the gradient).

    Args:
        weight: λ.

    Raises:
        SettingError: `weight` not positive.
    """

    per_step = False  # its only hook for steps is also called for each of several steps in one call

    def __init__(self, weight: float = 1e-5) -> None:
        if weight <= 0:
            raise SettingError(f"L1Penalty.weight is {weight}: it must be positive")
        self.weight = weight
        self.weights: set[int] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which parameters are weights of layers: pseudo-inputs, cluster centres and the like are not.

        Raises:
            SettingError: there is none.
        """
        layers = [part for part in pl_module.modules() if isinstance(part, LAYERS)]
        self.weights = {id(p) for layer in layers for name, p in layer.named_parameters() if name in WEIGHTS}
        if not self.weights:
            raise SettingError(
                f"L1Penalty finds no weights of layers in {type(pl_module).__name__}: leave it out of trainer.callbacks"
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add λ sign(w) to the gradients of all tensors at once."""
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        moved = [p for p in parameters if id(p) in self.weights and p.grad is not None]
        scaler, alpha = getattr(trainer.precision_plugin, "scaler", None), self.weight
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            # A fused optimiser takes gradients that are still multiplied by the loss's scale, and divides them itself
            alpha *= scaler.get_scale()
        if moved:
            with torch.no_grad():
                torch._foreach_add_([p.grad for p in moved], torch._foreach_sign(moved), alpha=alpha)
