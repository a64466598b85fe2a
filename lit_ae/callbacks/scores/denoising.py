"""How much of its own noise a denoising model removes."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.gathering import gather_in_order
from lit_ae.evaluation.pass_callback import PassCallback
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.kept_rows import KeptRows
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.models.base import Reconstruction


class Denoising(PassCallback, ScoreCallback):
    """`psnr_noisy`, `psnr_denoised`: PSNR in dB of corrupted and of reconstructed images against the clean ones.

    Each is the mean over images of the image's own PSNR, clipped to [0, 1]; higher is better. Figure `denoising` shows
    the first images clean, noisy and denoised. Logs nothing for a model that does not corrupt its input, or for data
    that are not images.

    Args:
        n: number of images in the figure.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # keeps the values of each test sample
    rank_zero = False
    needs_unit_range = True

    def __init__(self, n: int = 10, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "Denoising.{}", n=n)
        self.n = n
        self._ratios = KeptRows()  # of noisy and of denoised images [n, 2]
        self._shown: list[tuple[str, Tensor]] = []

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the pass before."""
        self._ratios, self._shown = KeptRows(), []

    def read(self, trainer: Trainer, outputs: Reconstruction) -> None:
        """Take in one batch."""
        if outputs.corrupted is None or outputs.x.ndim != 4:
            return
        noisy, denoised = outputs.corrupted
        if not self._shown:
            parts = {"clean": outputs.x, "noisy": noisy, "denoised": denoised}
            self._shown = [(label, part[: self.n].detach().clamp(0, 1).cpu()) for label, part in parts.items()]
        ratios = [psnr(images.detach(), outputs.x) for images in (noisy, denoised)]
        self._ratios.add(torch.stack(ratios, 1))

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Both means, and the figure."""
        if not self._shown:
            return {}
        title = "Clean (top), noisy (middle) and denoised (bottom)"
        save_figure(trainer, plots.image_rows(self._shown, title), "denoising")
        ratios = gather_in_order(self._ratios.all(), trainer)
        values = {"psnr_noisy": ratios[:, 0], "psnr_denoised": ratios[:, 1]}
        for name, decibels in values.items():
            evaluation.keep_samples(name, decibels)
        evaluation.protocol["psnr"] = "dB, mean of the images' own values, clipped to [0, 1]"
        return {name: decibels.double().mean().item() for name, decibels in values.items()}
