"""Denoising of the same noisy images by every model, compared with a filter without training."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.data.containers import ArrayDataset
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import datamodule, on_device, reconstruction_module, save_figure, scored_split
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.filters import best_filter, filtered
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.models.chunks import decoded, mean_codes
from lit_ae.objectives.corruptions import Corruption, GaussianNoise


class NoisyInputs(ScoreCallback):
    """`denoising/{psnr_noisy,psnr_denoised,psnr_filtered}` in dB, the same noisy images for every model.

    Means over images of the image's own PSNR against the clean image, clipped to [0, 1]: of the noisy images, of their
    reconstructions, and of the noisy images after the best of several Gaussian and median filters (`FILTERS`), which is
    chosen on the validation split with noise of its own. Higher is better. Figure `denoising-filter` shows the first
    images. `Denoising` is the same for the noise with which a model was trained.

    Args:
        corruption: what is done to the images; if null, Gaussian noise with σ = 0.3.
        max_images: number of images that are denoised, the first ones of the split; also the number of validation
            images on which the filter is chosen.
        n: number of images in the figure.
        seed: seed of the noise.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # keeps the values of each test sample
    needs_images = True
    needs_unit_range = True

    def __init__(
        self,
        corruption: Corruption | None = None,
        max_images: int = 1000,
        n: int = 10,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "NoisyInputs.{}", seed=seed)
        require_at_least(1, "NoisyInputs.{}", max_images=max_images, n=n)
        self.corruption = corruption or GaussianNoise()
        self.max_images, self.n, self.seed = max_images, n, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """The three means, and the figure."""
        scored = scored_split(trainer)
        validation = datamodule(trainer).split("val") if trainer.testing else scored
        kind = best_filter(*self._pair(trainer, validation, self.seed + 1)[:2])
        noisy, clean, y = self._pair(trainer, scored, self.seed)
        module = reconstruction_module(trainer)
        denoised = decoded(module, mean_codes(module, noisy, y), y)
        how = "no filter improves PSNR" if kind[0] == "none" else f"{kind[0]} filter of {kind[1]:g} px"
        images = {"clean": clean, "noisy": noisy, "filtered": filtered(noisy, kind), "denoised": denoised}
        rows = [(label, image[: self.n].clamp(0, 1)) for label, image in images.items()]
        title = f"Clean, noisy, filtered ({how}) and reconstructed by the model"
        save_figure(trainer, plots.image_rows(rows, title), "denoising-filter")
        noise = ", ".join(f"{key} {value:g}" for key, value in vars(self.corruption).items())
        evaluation.protocol["noisy_inputs"] = (
            f"{type(self.corruption).__name__} ({noise}) on the first {len(clean):,} images, seed {self.seed}; PSNR in "
            f"dB, mean of the images' own values, clipped to [0, 1]; filter chosen on the validation split: {how}"
        )
        values = {f"denoising/psnr_{label}": psnr(image, clean) for label, image in images.items() if label != "clean"}
        for name, decibels in values.items():
            evaluation.keep_samples(name, decibels)
        return {name: decibels.mean().item() for name, decibels in values.items()}

    def _pair(self, trainer: Trainer, split: ArrayDataset, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy and clean images [N, *shape] and labels [N], on the CPU: the noise does not depend on the device."""
        clean = on_device(split.x[: self.max_images], trainer.lightning_module).cpu()
        noisy = self.corruption(clean, torch.Generator().manual_seed(seed))
        return noisy, clean, split.y[: self.max_images]
