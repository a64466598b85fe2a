"""Errors of the reconstructions, and of reconstructions of noisy inputs."""

import math

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from lit_ae.errors import SettingError, require_at_least
from lit_ae.evaluation.access import reconstruction_module as module_of
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.pass_callback import PassCallback
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.kept_rows import KeptRows
from lit_ae.metrics.reconstruction.errors import COLUMNS, EPSILON, ReconstructionErrors
from lit_ae.models.base import Reconstruction, ReconstructionModule
from lit_ae.settings.seeds import stream_seed


class ReconstructionScores(PassCallback, ScoreCallback):
    """`mae`, `rmse`, `psnr`, `ssim`, `bits`, `compression_ratio` and `mse_noisy_input` of the reconstructions.

    The first five are those of `ReconstructionErrors`, for reconstructions from the mean code of the clean input:
    `psnr` and `bits` only for data in [0, 1], `ssim` only for images. Higher `psnr` and `ssim` and lower `mae`, `rmse`,
    `bits` and `mse_noisy_input` are better. `compression_ratio` is the number of values of a sample over the number of
    code dimensions. `mse_noisy_input`, for data in [0, 1]: mean squared error of the reconstruction of
    clip(x + ε, 0, 1), ε ~ N(0, noise²), against the clean x.

    Args:
        noise: standard deviation of ε, in units of the pixel range; 0 leaves `mse_noisy_input` out.
        seed: seed of ε, which depends on a sample's place in the split, not on batches or processes.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `noise` negative.
    """

    version = 2  # keeps the values of each test sample
    rank_zero = False

    def __init__(self, noise: float = 0.2, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "ReconstructionScores.{}", seed=seed)
        if not 0 <= noise < math.inf:
            raise SettingError(f"ReconstructionScores.noise is {noise}: it must be 0 (no noisy inputs) or positive")
        self.noise, self.seed = noise, seed
        self.errors, self.noisy = ReconstructionErrors(()), MeanMetric(nan_strategy="error")
        self._noisy = KeptRows()  # `mse_noisy_input` of each sample
        self._seen = 0  # samples that this process has read

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        if isinstance(pl_module, ReconstructionModule):
            self.errors = ReconstructionErrors(pl_module.input_shape).to(pl_module.device)
            self.noisy = MeanMetric(nan_strategy="error").to(pl_module.device)
            self._noisy, self._seen = KeptRows(), 0

    def read(self, trainer: Trainer, outputs: Reconstruction) -> None:
        """Take in one batch."""
        self.errors.update(outputs.x_hat, outputs.x)
        if self.noise and self.errors.in_unit_range:
            errors = self._noisy_errors(trainer, outputs.x, outputs.y)
            self._noisy.add(errors)
            self.noisy.update(errors)
        self._seen += len(outputs.x)

    def _noisy_errors(self, trainer: Trainer, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared error [B] of the reconstructions of noisy samples x [B, *shape] with labels y [B]."""
        module = module_of(trainer)
        # Process r of W reads the samples r, r + W, …; each sample has a seed of its own, so that the noise does
        # not depend on the number of processes
        places = (trainer.global_rank + trainer.world_size * (self._seen + i) for i in range(len(x)))
        generator, noise = torch.Generator(), torch.empty(x.shape)
        for one, place in zip(noise, places, strict=True):
            one.normal_(generator=generator.manual_seed(stream_seed(self.seed, place)))
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):  # an encoder may draw a code that is not used here
            x_hat: Tensor = module((x + self.noise * noise.to(x)).clamp(0, 1), y)
        return (x_hat.float() - x).square().flatten(1).mean(1)

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        values = {name: value.item() for name, value in self.errors.compute().items()}
        if not values:
            return {}
        for name, each in zip(COLUMNS, gather_in_order(self.errors.rows.all(), trainer).T, strict=True):
            if name in values:
                evaluation.keep_samples(name, each)
        module = module_of(trainer)
        values["compression_ratio"] = math.prod(module.input_shape) / module.latent_dim
        note = "reconstructions from the mean code; mae and rmse over all values, without clipping"
        if "psnr" in values:
            note += (
                "; means over samples: psnr in dB for a data range of 1, clipped to [0, 1], at most 100; bits per "
                f"sample, Bernoulli with p = x_hat clipped to [{EPSILON:g}, 1 - {EPSILON:g}]"
            )
        else:
            evaluation.leave_out("the data are not within [0, 1]", "psnr", "bits")
        if "ssim" in values:
            note += "; ssim with a Gaussian window of 11 x 11, sigma 1.5, data range 1"
        else:
            evaluation.leave_out("the samples are no images in [0, 1] that a window fits into", "ssim")
        evaluation.protocol["reconstruction_scores"] = note
        if self.noise and "psnr" in values:
            values["mse_noisy_input"] = self.noisy.compute().item()
            evaluation.keep_samples("mse_noisy_input", gather_in_order(self._noisy.all(), trainer))
            evaluation.protocol["mse_noisy_input"] = (
                f"input with noise N(0, {self.noise:g}²), seed {self.seed}, clipped to [0, 1]; error against clean x"
            )
        return values
