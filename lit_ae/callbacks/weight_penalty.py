"""L1 penalty on the weights, for any family."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from lit_ae.errors import SettingError


class L1Penalty(Callback):
    """Adds the gradient of λ Σ |w| over all weight matrices and filters (not biases and norms) before each step.

    The logged loss leaves the term out. The L2 penalty ½ λ Σ w² is the optimiser's own `weight_decay` (of Adam and
    SGD; AdamW's is decoupled from the gradient).

    Args:
        weight: λ.

    Raises:
        SettingError: `weight` not positive.
    """

    def __init__(self, weight: float = 1e-5) -> None:
        if weight <= 0:
            raise SettingError(f"weight of L1Penalty is {weight}: it must be positive")
        self.weight = weight

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add λ sign(w) to the gradients, all tensors in one go."""
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        moved = [p for p in parameters if p.ndim > 1 and p.grad is not None]
        if moved:
            with torch.no_grad():
                torch._foreach_add_([p.grad for p in moved], torch._foreach_sign(moved), alpha=self.weight)
