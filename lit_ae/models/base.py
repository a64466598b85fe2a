"""The one template that every family is written on.

    x ─corrupt─> x_in ─encode─> Latent(mu, logvar, z) ─decode─> x_hat;   loss = mean(nll + penalty)

A family overrides one or two of `corrupt`, `encode` and `penalty`. Terms stay per sample ([B]) up to the loss.
One KL convention: sums over pixels and code dimensions, mean over the batch, natural logarithm; a report that
averages over pixels says so in its YAML (`likelihood.pixels: mean`).
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from lit_ae.data.base import Batch
from lit_ae.errors import SettingError
from lit_ae.likelihoods import Likelihood
from lit_ae.nets import DecoderFactory, EncoderFactory, Shape

Stage: TypeAlias = Literal["train", "val", "test"]
SUMMED = 32  # steps whose terms are summed in one go


class Latent(NamedTuple):
    """A posterior over codes and a draw from it."""

    mu: Tensor  # [B, D]
    logvar: Tensor | None  # [B, D]; None where the code is a point
    z: Tensor  # [B, D]


class Reconstruction(NamedTuple):
    """What a step leaves for callbacks; `x_hat` is decoded from `latent.mu`, the terms from the draw `latent.z`."""

    x: Tensor  # [B, *shape] in [0, 1]
    x_in: Tensor  # [B, *shape], what the encoder saw
    x_hat: Tensor  # [B, *shape]
    latent: Latent
    nll: Tensor  # [B]
    penalty: Tensor  # [B]
    loss: Tensor  # [B], nll + penalty
    y: Tensor  # [B], -1 where unlabelled


class TrackedModule(LightningModule):
    """What every trained model has: terms summed over an epoch and logged once, checkpoints that name their family."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, list[str]] = {}
        self._waiting: dict[str, list[Tensor]] = {}  # terms that have not been summed yet, one after another
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning names its hook at every call; past `nn.Module`'s bookkeeping that is 40 slow calls a step less."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # -- terms: summed on the device at each step, reduced over processes and logged at the epoch's end ----------

    def track(self, stage: Stage, **terms: Tensor) -> None:
        """Add per-sample terms [B] to the epoch's means, many steps in one go and without a wait for the device.

        `self.log` at every step would cost a fifth of the training time of a small net.
        """
        waiting = self._waiting.setdefault(stage, [])
        if not waiting:
            self._names[stage] = [f"{stage}/{name}" for name in terms]
        waiting += [term.detach() for term in terms.values()]
        if len(waiting) >= SUMMED * len(terms):
            self._sum_up(stage)

    def _sum_up(self, stage: Stage) -> None:
        waiting = self._waiting.pop(stage, [])
        if not waiting:
            return
        number = len(self._names[stage])
        values = torch.stack([torch.cat(waiting[i::number]) for i in range(number)])  # [T, samples]
        sums = values.sum(1)
        self._counts[stage] = self._counts.get(stage, 0) + values.shape[1]
        self._sums[stage] = self._sums[stage] + sums if stage in self._sums else sums

    def check_finite(self, loss: Tensor, **terms: Tensor) -> None:
        """Stop a run whose loss [B] is not finite: at once on a CPU, by the epoch's end where looking would stall.

        Raises:
            FloatingPointError: naming the step and the terms [B] that are not finite.
        """
        if not loss.is_cpu or math.isfinite(loss.sum().item()):
            return
        bad = [f"train/{name}" for name, value in terms.items() if not value.isfinite().all()]
        self._stop(f"{' and '.join(bad)} not finite at step {self.global_step}")

    def _stop(self, what: str) -> NoReturn:
        raise FloatingPointError(
            f"{what} (epoch {self.current_epoch}): training stopped; lower the learning rate (lr of the optimizer)"
        )

    def _log_tracked(self, stage: Stage) -> None:
        self._sum_up(stage)
        if stage not in self._sums:
            return
        sums = self._sums.pop(stage).double()
        count = sums.new_tensor([self._counts.pop(stage)])
        total = self.trainer.strategy.reduce(torch.cat([sums, count]), reduce_op="sum")
        means = dict(zip(self._names[stage], (total[:-1] / total[-1]).tolist(), strict=True))
        for key, value in means.items():
            if not math.isfinite(value):
                self._stop(f"{key} not finite by step {self.global_step}")
        self.log_dict(means)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means of the training terms."""
        self._log_tracked("train")

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's means of the validation terms."""
        self._log_tracked("val")

    def on_test_epoch_end(self) -> None:
        """Log the means of the test terms."""
        self._log_tracked("test")

    # -- checkpoints --------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the family, so that another one refuses the file in words."""
        checkpoint["family"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another family's checkpoint.

        Raises:
            SettingError: the checkpoint is of another family or of other settings.
        """
        family = checkpoint.get("family")
        if family != type(self).__name__:
            raise SettingError(
                f"ckpt_path holds a {family or 'model of another project'} but model is {type(self).__name__}: "
                "give the config that the checkpoint was trained with"
            )
        ours, theirs = self.state_dict(), checkpoint["state_dict"]
        for name, tensor in ours.items():
            if name not in theirs or theirs[name].shape != tensor.shape:
                found = tuple(theirs[name].shape) if name in theirs else "nothing"
                raise SettingError(
                    f"ckpt_path does not fit the model: {name} is {tuple(tensor.shape)} here and {found} there; "
                    "give the config that the checkpoint was trained with"
                )


class GenerativeModule(TrackedModule):
    """Anything that decodes codes into data: the common ground of autoencoders and GANs.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the code.
        likelihood: how the decoder's raw output is read.
        decoder: builds the decoder from (latent_dim, input_shape).

    Raises:
        SettingError: `latent_dim` below 1.
    """

    def __init__(self, input_shape: Shape, latent_dim: int, likelihood: Likelihood, decoder: DecoderFactory) -> None:
        super().__init__()
        if latent_dim < 1:
            raise SettingError(f"model.latent_dim is {latent_dim}: it must be at least 1")
        self.input_shape, self.latent_dim, self.likelihood = tuple(input_shape), latent_dim, likelihood
        self.decoder = decoder(latent_dim, self.input_shape)

    def decode(self, z: Tensor) -> Tensor:
        """Mean image E[x | z], [B, *input_shape], of codes [B, D]."""
        return self.likelihood.mean(self.decoder(z))

    def given(self, y: Tensor) -> AbstractContextManager[None]:
        """Inside it, `encode`, `decode` and the call are of samples of these classes [B]; for conditional families."""
        return nullcontext()


class ReconstructionModule(GenerativeModule):
    """The deterministic autoencoder's step, of which every family changes a part.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the code.
        optimizer: from YAML, no default.
        encoder: builds the encoder from (input_shape, out_features).
        decoder: builds the decoder from (latent_dim, input_shape).
        likelihood: reads the decoder's raw output.
        lr_scheduler: how the learning rate changes by epoch, from YAML; constant where null. One that watches a value
            (`lightning.pytorch.cli.ReduceLROnPlateau`) names it as its `monitor`.
    """

    heads = 1  # how many vectors of size D the encoder gives

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int,
        optimizer: OptimizerCallable,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        likelihood: Likelihood,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(input_shape, latent_dim, likelihood, decoder)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.encoder = encoder(self.input_shape, self.heads * latent_dim)

    # -- what a family overrides --------------------------------------------------------------------------------

    def corrupt(self, x: Tensor) -> Tensor:
        """What the encoder sees of x [B, *shape]; x itself unless a family says otherwise."""
        return x

    def encode(self, x: Tensor) -> Latent:
        """Posterior of x [B, *shape] and a draw from it; a point unless a family says otherwise."""
        mu = self.encoder(x)
        return Latent(mu, None, mu)

    def penalty(self, x_in: Tensor, latent: Latent) -> Tensor:
        """Regulariser of each sample [B]; zero unless a family says otherwise."""
        return latent.mu.new_zeros(len(latent.mu))

    # -- the step -----------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction [B, *shape] from the mean code of x [B, *shape]."""
        return self.decode(self.encode(x).mu)

    def _step(self, batch: Batch, stage: Stage) -> Reconstruction:
        x = batch.x
        x_in = self.corrupt(x)
        latent = self.encode(x_in)
        x_hat, nll, mse = self.likelihood.fit(self.decoder(latent.z), x)
        if stage != "train" and latent.z is not latent.mu:
            x_hat, _, mse = self.likelihood.fit(self.decoder(latent.mu), x)
        penalty = self.penalty(x_in, latent)
        loss = nll + penalty
        self.track(stage, loss=loss, nll=nll, penalty=penalty, mse=mse)
        if stage == "train":
            self.check_finite(loss, nll=nll, penalty=penalty)
        return Reconstruction(x, x_in, x_hat, latent, nll, penalty, loss, batch.y)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """mean(nll + penalty) over the batch."""
        return self._step(batch, "train").loss.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> Reconstruction:  # type: ignore[override]
        """The step's terms and reconstruction."""
        return self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> Reconstruction:  # type: ignore[override]
        """The step's terms and reconstruction, for the callbacks."""
        return self._step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Reconstruction:
        """Codes and reconstructions, without terms being logged."""
        latent = self.encode(batch.x)
        x_hat, nll, _ = self.likelihood.fit(self.decoder(latent.mu), batch.x)
        penalty = self.penalty(batch.x, latent)
        return Reconstruction(batch.x, batch.x, x_hat, latent, nll, penalty, nll + penalty, batch.y)

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        """The optimiser that YAML names, over all parameters, with its schedule."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": getattr(scheduler, "monitor", None)},
        }
