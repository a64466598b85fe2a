"""The template that all families share.

    x ─corrupt─> x_in ─encode─> Latent(mu, logvar, z) ─decode─> x_hat;   loss = mean(nll + penalty)

A family overrides one or two of `corrupt`, `encode` and `penalty`, or, if its step has another order,
`reconstruct_batch`. Only training corrupts: validation and test encode the clean x, as prediction does. All terms have
one value for each sample ([B]) until the loss averages them. Convention for nll and KL: sum over pixels and code
dimensions, mean over the batch, natural logarithm; the YAML of a report that averages over pixels says so
(`likelihood.pixels: mean`).
"""

import math
from functools import partial

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from lit_ae.data.base import BaseDataModule
from lit_ae.data.checks import refuse_unlike
from lit_ae.data.containers import Batch, Shape, SplitName, finite_range
from lit_ae.errors import SettingError
from lit_ae.models.api import CodingMethods, SamplingMethods
from lit_ae.models.latent import Corrupted, Latent, Reconstruction, Terms, in_full, noisy_code, split_terms
from lit_ae.models.tracked import Stage, TrackedModule
from lit_ae.nets import DecoderFactory, EncoderFactory, default_decoder, default_encoder, warn_if_narrow
from lit_ae.nets.batch_norm import refuse_batch_of_one
from lit_ae.nets.precision import full, full_precision
from lit_ae.objectives.divergences import kl_standard_normal
from lit_ae.objectives.likelihoods import Gaussian, Likelihood, squared_error

__all__ = ["GenerativeModule", "Latent", "Reconstruction", "ReconstructionModule", "Stage", "Terms", "noisy_code"]


class GenerativeModule(SamplingMethods, TrackedModule):
    """A model that decodes codes into data; the common base of autoencoders and GANs.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the code.
        likelihood: interprets the decoder's raw output; null: squared error, after a sigmoid for images.
        decoder: builds the decoder from (latent_dim, input_shape); null: an MLP with one hidden layer of 256 units, or
            of latent_dim if that is larger.

    Raises:
        SettingError: `latent_dim` below 1.
    """

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int = 16,
        likelihood: Likelihood | None = None,
        decoder: DecoderFactory | None = None,
    ) -> None:
        super().__init__()
        if latent_dim < 1:
            raise SettingError(f"model.latent_dim is {latent_dim}: it must be at least 1")
        self.input_shape, self.latent_dim = tuple(input_shape), latent_dim
        self.likelihood = likelihood or Gaussian(output="sigmoid" if len(self.input_shape) == 3 else "linear")
        self.decoder = (decoder or default_decoder(latent_dim))(latent_dim, self.input_shape)
        warn_if_narrow(self.decoder, "model.decoder", latent_dim)

    def setup(self, stage: str) -> None:
        """Refuse data that the likelihood does not fit; those of a plain loader are checked batch by batch."""
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, BaseDataModule):
            if stage == "fit":
                refuse_batch_of_one(self, data, self.trainer.world_size)
            stages: dict[str, tuple[SplitName, ...]] = {"fit": ("train", "val"), "validate": ("val",)}
            names = stages.get(stage, ("test",))
            for part in [data.predicted_samples()] if stage == "predict" else map(data.split, names):
                refuse_unlike(part.x, self.input_shape, "the data (--data) have")
                self.likelihood.check_range(*part.value_range())
                self.likelihood.check_samples(part.x)

    def check_input(self, x: Tensor) -> None:
        """Refuse samples [B, *shape] of another shape or type, or that the likelihood does not fit."""
        refuse_unlike(x, self.input_shape, "the data (--data) have")
        if len(x):
            self.likelihood.check_range(*finite_range(x))
            self.likelihood.check_samples(x)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's output [B, *input_shape] for codes [B, D] and labels y [B]; the likelihood interprets it."""
        out: Tensor = self.decoder(z)
        return out

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean image E[x | z], [B, *input_shape], of codes [B, D]; y: labels [B] for conditional families."""
        return self.likelihood.mean(self.raw(z.to(self.dtype), y))

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats, [...], of codes [..., D]; the prior is N(0, I) unless a family overrides this."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class ReconstructionModule(CodingMethods, GenerativeModule):
    """The deterministic autoencoder; every family changes a part of its step.

    Args:
        input_shape: shape of one sample, linked from the data module.
        latent_dim: size D of the code.
        optimizer: optimiser; null: Adam with a learning rate of 1e-3.
        encoder: builds the encoder from (input_shape, out_features); null: an MLP with one hidden layer of 256 units,
            or of latent_dim if that is larger.
        decoder: builds the decoder from (latent_dim, input_shape); null: an MLP with one hidden layer of 256 units, or
            of latent_dim if that is larger.
        likelihood: interprets the decoder's raw output; null: squared error, after a sigmoid for images.
        lr_scheduler: how the learning rate changes from epoch to epoch; null: constant. A scheduler that depends on a
            logged value (`lightning.pytorch.cli.ReduceLROnPlateau`) names it as its `monitor`. OneCycleLR and CyclicLR
            change it from step to step, as does a class of your own with an attribute `interval = "step"`.
    """

    heads = 1  # how many vectors of size D the encoder returns
    scaled_by_prior = False  # whether training gives each code dimension the scale of N(0, 1)

    def __init__(
        self,
        input_shape: Shape,
        latent_dim: int = 16,
        optimizer: OptimizerCallable | None = None,
        encoder: EncoderFactory | None = None,
        decoder: DecoderFactory | None = None,
        likelihood: Likelihood | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(input_shape, latent_dim, likelihood, decoder)
        self.optimizer = optimizer or partial(torch.optim.Adam, lr=1e-3)
        self.lr_scheduler = lr_scheduler
        self.encoder = (encoder or default_encoder(latent_dim))(self.input_shape, self.heads * latent_dim)
        warn_if_narrow(self.encoder, "model.encoder", latent_dim)

    # -- what a family overrides --------------------------------------------------------------------------------

    def corrupt(self, x: Tensor) -> Tensor:
        """The encoder's input in training, [B, *shape], for clean x [B, *shape]; x itself unless overridden."""
        return x

    def encode(self, x: Tensor, y: Tensor | None = None) -> Latent:
        """Posterior of x [B, *shape] with labels y [B], and a draw from it; a point unless a family overrides this."""
        mu = self.encoder(x)
        return Latent(mu, None, mu)

    def penalty(self, x: Tensor, x_in: Tensor, latent: Latent, raw: Tensor) -> Tensor | tuple[Tensor, Terms]:
        """The regulariser of each sample [B], or a pair of it and further terms to log; zero unless overridden.

        Args:
            x: clean samples [B, *shape].
            x_in: the encoder's input [B, *shape].
            latent: the encoder's output for it.
            raw: the decoder's output for `latent.z` [B, *shape].
        """
        return latent.mu.new_zeros(len(latent.mu))

    def reconstruct_batch(self, batch: Batch, stage: Stage) -> Reconstruction:
        """The whole step except for logging; families whose step has another order override this."""
        x, y = batch
        x_in = self.corrupt(x) if stage == "train" else x
        latent = self.encode(x_in, y)
        raw = self.raw(latent.z, y)
        from_mean = self.raw(latent.mu, y) if stage != "train" and latent.z is not latent.mu else None
        with full_precision(x.device):
            latent, raw, clean = in_full(latent), full(raw), full(x)
            x_hat, nll, mse = self.likelihood.fit(raw, clean)
            if from_mean is not None:
                x_hat, _, mse = self.likelihood.fit(full(from_mean), clean)
            penalty, terms = split_terms(self.penalty(clean, x_in, latent, raw))
        terms = {"mse": mse, **latent.terms, **terms}
        return Reconstruction(x, x_in, x_hat, latent, nll, penalty, nll + penalty, y, terms)

    def kl(self, latent: Latent) -> Tensor:
        """KL(q(z|x) ‖ p(z)) in nats of each sample [B]: exact for N(0, I), else log q(z|x) - log p(z) of one draw."""
        assert latent.logvar is not None
        if type(self).log_prior is GenerativeModule.log_prior:
            return kl_standard_normal(latent.mu, latent.logvar)
        noise = (latent.z - latent.mu) * (-0.5 * latent.logvar).exp()
        log_q = -0.5 * (noise.square() + latent.logvar + math.log(2 * math.pi)).sum(1)
        return log_q - self.log_prior(latent.z)

    # -- the step -----------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The reconstruction [B, *shape] from the mean code of x [B, *shape] with labels y [B]."""
        return self.decode(self.encode(x, y).mu, y)

    def _step(self, batch: Batch, stage: Stage) -> Reconstruction:
        r = self.reconstruct_batch(batch, stage)
        self.track(stage, loss=r.loss, nll=r.nll, penalty=r.penalty, **r.terms)
        if stage == "train":
            self.check_finite(r.loss, nll=r.nll, penalty=r.penalty)
        return r

    def _evaluate(self, batch: Batch, stage: Stage) -> Reconstruction:
        """The step on clean inputs and, if the family corrupts, `mse_corrupted` of what it makes of corrupted ones."""
        r = self._step(batch, stage)
        x_in = self.corrupt(batch.x)
        if x_in is batch.x:
            return r
        x_hat = full(self(x_in, batch.y))
        self.track(stage, mse_corrupted=squared_error(x_hat, full(batch.x)))
        return r._replace(corrupted=Corrupted(x_in, x_hat))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean of nll + penalty over the batch."""
        return self._step(batch, "train").loss.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> Reconstruction:  # type: ignore[override]
        """The terms and the reconstruction of a batch."""
        return self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> Reconstruction:  # type: ignore[override]
        """The terms and the reconstruction of a batch, for the callbacks."""
        return self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Reconstruction:
        """Codes, reconstructions and terms of a batch, which are not logged."""
        x, y = batch
        latent = self.encode(x, y)
        raw = self.raw(latent.mu, y)
        with full_precision(x.device):
            latent, raw, clean = in_full(latent), full(raw), full(x)
            x_hat, nll, mse = self.likelihood.fit(raw, clean)
            penalty, terms = split_terms(self.penalty(clean, x, latent, raw))
        return Reconstruction(x, x, x_hat, latent, nll, penalty, nll + penalty, y, {"mse": mse, **terms})

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        """The optimiser of all parameters, with the schedule of its learning rate."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        by_step = isinstance(scheduler, (OneCycleLR, CyclicLR))  # which count steps, not epochs
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "monitor": getattr(scheduler, "monitor", None),
                "interval": getattr(scheduler, "interval", "step" if by_step else "epoch"),
            },
        }
