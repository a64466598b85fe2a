"""Training of a model on an array: Lightning's own trainer, which starts in 20 ms when it neither writes nor prints."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits, no_labels
from lit_ae.errors import SettingError
from lit_ae.models.base import ReconstructionModule
from lit_ae.models.dec import DEC
from lit_ae.models.plain_trainer import plain_trainer, undisturbed
from lit_ae.training.loop import several_steps_a_call


@dataclass
class History:
    """What a training has done.

    Attributes:
        losses: mean loss over the training samples in each epoch.
        validation_losses: that over the validation samples, if there are any.
        optimizers: states of the optimisers, with which a training goes on.
    """

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    optimizers: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Patience:
    """When a training stops early: after `epochs` epochs whose validation loss is not `tol` below the lowest before."""

    epochs: int
    tol: float


class _ArrayData(BaseDataModule):
    """Samples in memory that are already split, without labels.

    Args:
        train: samples [N, *shape].
        val: samples [M, *shape]; M may be 0.
        batch_size: samples in a training step.
    """

    name = "array"
    num_classes = 0

    def __init__(self, train: Tensor, val: Tensor, batch_size: int) -> None:
        super().__init__(batch_size=batch_size)
        self.parts = train, val, train[:0]
        self.input_shape = tuple(train.shape[1:])

    def load(self) -> Splits:
        """The given samples; the test split is empty."""
        return Splits(*(ArrayDataset(x, no_labels(len(x))) for x in self.parts))


class Recorder(Callback):
    """Keeps the losses of each epoch, and with patience the weights of the epoch with the lowest validation loss."""

    def __init__(self, history: History, patience: Patience | None, verbose: bool) -> None:
        self.history, self.patience, self.verbose = history, patience, verbose
        self.best, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the optimisers' states of the last training."""
        for optimizer, state in zip(trainer.optimizers, self.history.optimizers, strict=False):
            optimizer.load_state_dict(state)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the training loss of the previous epoch, which is known once that epoch has ended."""
        if trainer.current_epoch:
            self._keep_loss(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep that of the last epoch."""
        self._keep_loss(trainer)

    def _keep_loss(self, trainer: Trainer) -> None:
        losses = self.history.losses
        losses.append(float(trainer.callback_metrics["train/loss"]))
        if self.verbose:
            held_out = f", validation loss {self.history.validation_losses[-1]:.6g}" if self.patience else ""
            print(f"epoch {len(losses)}: loss {losses[-1]:.6g}{held_out}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if the validation loss has not fallen for long enough."""
        assert self.patience is not None
        loss = float(trainer.callback_metrics["val/loss"])
        self.history.validation_losses.append(loss)
        if loss < self.best - self.patience.tol:
            self.waited = 0
        else:
            self.waited += 1
        if loss < self.best:
            self.best, self.weights = loss, copy.deepcopy(pl_module.state_dict())
        if self.waited >= self.patience.epochs:
            trainer.should_stop = True


def train(
    module: ReconstructionModule,
    rows: Tensor,
    held_out: Tensor,
    batch_size: int,
    history: History,
    epochs: int,
    seed: int,
    device: str = "auto",
    patience: Patience | None = None,
    verbose: bool = False,
) -> None:
    """Train a model in place; afterwards it is on the CPU, in evaluation mode and without its trainer.

    Its weights are then in double precision, into which single precision fits exactly, so that what it gives for a row
    does not depend on the rows beside it. The caller's random numbers are left as they are.

    Args:
        module: the model.
        rows: samples [N, *shape] to train on.
        held_out: samples [M, *shape] whose loss patience watches; M may be 0 without it.
        batch_size: samples in a training step.
        history: is continued, and with it the optimisers' states.
        epochs: number of epochs at most.
        seed: of the order of samples and of the model's random numbers.
        device: Lightning's `accelerator`.
        patience: when to stop early; None: never. The model then has the weights of the best epoch.
        verbose: whether the losses of each epoch are printed.

    Raises:
        SettingError: patience for DEC, or data that do not fit the model.
    """
    if patience and isinstance(module, DEC):
        raise SettingError(
            "early_stopping keeps the weights of the lowest loss with the reconstruction error, which rises while "
            f"{type(module).__name__} clusters: leave it out, and set tolerance, by which {type(module).__name__} stops"
        )
    data = _ArrayData(rows, held_out, batch_size)
    recorder = Recorder(history, patience, verbose)
    module.float()
    with undisturbed():
        torch.manual_seed(seed)
        validation = {} if patience else {"limit_val_batches": 0}
        trainer = plain_trainer(max_epochs=epochs, accelerator=device, devices=1, callbacks=[recorder], **validation)
        with several_steps_a_call(trainer, module, data):
            trainer.fit(module, datamodule=data)
    history.optimizers = copy.deepcopy([optimizer.state_dict() for optimizer in trainer.optimizers])
    if recorder.weights is not None:
        module.load_state_dict(recorder.weights)
    module.trainer = None
    module.cpu().double().eval()
