"""How much of the noise is taken away."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from lit_ae import plots
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, save_figure
from lit_ae.metrics.psnr import psnr
from lit_ae.models.base import Reconstruction


class Denoising(ScoreCallback):
    """`psnr_noisy`, `psnr_denoised`: PSNR in dB of the corrupted and the reconstructed images against the clean ones.

    Each is the mean over images of the image's own PSNR, after clipping to [0, 1]. A figure `denoising` shows the first
    images clean, noisy and denoised. Nothing for a model that sees x as it is, or for data that are no images.

    Args:
        n: images in the figure.
        every_n_epochs: as for `ScoreCallback`.
    """

    rank_zero = False

    def __init__(self, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.n = n
        self.noisy, self.denoised = MeanMetric(), MeanMetric()
        self._shown: list[tuple[str, Tensor]] = []

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        self.noisy.reset()
        self.denoised.reset()
        self._shown = []

    on_validation_epoch_start = on_test_epoch_start

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Take in one batch."""
        if not isinstance(outputs, Reconstruction) or outputs.x_in is outputs.x or outputs.x.ndim != 4:
            return
        if not self._shown:
            parts = {"clean": outputs.x, "noisy": outputs.x_in, "denoised": outputs.x_hat}
            self._shown = [(label, part[: self.n].detach().clamp(0, 1).cpu()) for label, part in parts.items()]
        self.noisy.to(outputs.x.device).update(psnr(outputs.x_in, outputs.x))
        self.denoised.to(outputs.x.device).update(psnr(outputs.x_hat.detach(), outputs.x))

    on_validation_batch_end = on_test_batch_end

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Both means, and the figure."""
        if not self._shown:
            return {}
        title = "Clean (top), noisy (middle) and denoised (bottom)"
        save_figure(trainer, plots.image_rows(self._shown, title), "denoising")
        values = {"psnr_noisy": self.noisy.compute().item(), "psnr_denoised": self.denoised.compute().item()}
        evaluation.protocol["psnr"] = "dB, mean over images of each image's own, clipped to [0, 1]"
        return values
