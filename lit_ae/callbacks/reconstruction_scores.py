"""How near reconstructions come to their samples, and what noise on the input does to them."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback
from lit_ae.callbacks.evaluation import reconstruction_module as module_of
from lit_ae.errors import SettingError
from lit_ae.metrics.reconstruction import EPSILON, ReconstructionErrors
from lit_ae.models.base import Reconstruction, ReconstructionModule


class ReconstructionScores(ScoreCallback):
    """`mae`, `rmse`, `psnr`, `ssim`, `bits`, `compression_ratio` and `mse_noisy_input` of the pass.

    The first five are those of `metrics.reconstruction.ReconstructionErrors`, of the pass's own reconstructions (from
    the mean code; a denoising model's of its corrupted input): `psnr` and `bits` for data in [0, 1] alone, `ssim` for
    images. `compression_ratio` is values a sample over code dimensions. `mse_noisy_input`, for data in [0, 1]: mean
    squared error of the reconstruction of clip(x + ε, 0, 1), ε ~ N(0, noise²), against the clean x.

    Args:
        noise: standard deviation of ε, in units of the pixel range; 0 leaves the noisy pass out.
        seed: of ε, which depends on a sample's place in the split, not on batches or processes.
        every_n_epochs: as for `ScoreCallback`.

    Raises:
        SettingError: `noise` negative.
    """

    rank_zero = False

    def __init__(self, noise: float = 0.2, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        if not 0 <= noise < math.inf:
            raise SettingError(f"noise of ReconstructionScores is {noise}: it must be 0 (none) or positive")
        self.noise, self.seed = noise, seed
        self.errors, self.noisy = ReconstructionErrors(()), MeanMetric(nan_strategy="error")
        self._seen = 0  # samples that this process has passed

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        if isinstance(pl_module, ReconstructionModule):
            self.errors = ReconstructionErrors(pl_module.input_shape).to(pl_module.device)
            self.noisy = MeanMetric(nan_strategy="error").to(pl_module.device)
            self._seen = 0

    on_validation_epoch_start = on_test_epoch_start

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Take in one batch."""
        if not isinstance(outputs, Reconstruction):
            return
        self.errors.update(outputs.x_hat, outputs.x)
        if self.noise and self.errors.in_unit_range:
            self.noisy.update(self._noisy_errors(trainer, outputs.x, outputs.y))
        self._seen += len(outputs.x)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Take in one batch where validation is scored at all."""
        if self.every_n_epochs:
            self.on_test_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _noisy_errors(self, trainer: Trainer, x: Tensor, y: Tensor) -> Tensor:
        """Squared error [B] of the noisy x [B, *shape] reconstructed."""
        module = module_of(trainer)
        # Process r of W sees the samples r, r + W, …; a generator for each sample, so that one draws as two do
        places = (trainer.global_rank + trainer.world_size * (self._seen + i) for i in range(len(x)))
        generators = (torch.Generator().manual_seed(self.seed * 2**32 + place) for place in places)
        noise = torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]).to(x)
        devices = [module.device] if module.device.type == "cuda" else []
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices),
            module.given(y),
        ):  # an encoder may draw a code, unused here
            x_hat: Tensor = module((x + self.noise * noise).clamp(0, 1))
        return (x_hat.float() - x).square().flatten(1).mean(1)

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        values = {name: value.item() for name, value in self.errors.compute().items()}
        if not values:
            return {}
        module = module_of(trainer)
        values["compression_ratio"] = math.prod(module.input_shape) / module.latent_dim
        note = "from the mean code; mae and rmse over all values of x_hat as decoded"
        if "psnr" in values:
            note += (
                "; means over samples: psnr in dB of range 1, clipped to [0, 1], at most 100; bits a sample, Bernoulli "
                f"with p = x_hat clipped to [{EPSILON:g}, 1 - {EPSILON:g}]"
            )
        if "ssim" in values:
            note += "; ssim with Gaussian window 11 x 11, sigma 1.5, data range 1"
        evaluation.protocol["reconstruction_scores"] = note
        if self.noise and "psnr" in values:
            values["mse_noisy_input"] = self.noisy.compute().item()
            evaluation.protocol["mse_noisy_input"] = (
                f"input noise N(0, {self.noise:g}²), seed {self.seed}, clipped to [0, 1]; error against clean x"
            )
        return values
