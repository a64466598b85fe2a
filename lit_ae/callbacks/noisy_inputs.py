"""What each model makes of noisy images, beside a filter that has learnt nothing."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.coding import decoded, encoded
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, as_images, datamodule, save_figure
from lit_ae.corruptions import Corruption, GaussianNoise
from lit_ae.data.base import SplitName
from lit_ae.metrics.filters import best_filter, filtered
from lit_ae.metrics.psnr import psnr


class NoisyInputs(ScoreCallback):
    """`denoising/{psnr_noisy,psnr_denoised,psnr_filtered}` in dB, the same noisy images for every model.

    Means over images of their own PSNR against the clean image, clipped to [0, 1]: as they are, reconstructed, and
    after the best of several Gaussian and median filters (`metrics.filters`), chosen on the validation split with
    its own noise. A figure `denoising-filter` shows the first images. `Denoising` is for a model's own noise.

    Args:
        corruption: what is done to the images; Gaussian noise with σ = 0.3 where null.
        max_images: the split's first images that are denoised, and of validation's that the filter is chosen on.
        n: images in the figure.
        seed: of the noise.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(
        self,
        corruption: Corruption | None = None,
        max_images: int = 1000,
        n: int = 10,
        seed: int = 0,
        every_n_epochs: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        self.corruption = corruption or GaussianNoise()
        self.max_images, self.n, self.seed = max_images, n, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """The three means, and the figure."""
        name: SplitName = "test" if trainer.testing else "val"
        kind = best_filter(*self._pair(trainer, "val", self.seed + 1)[:2])
        noisy, clean, y = self._pair(trainer, name, self.seed)
        denoised = decoded(trainer, encoded(trainer, noisy, y), y)
        how = "none of the filters helped" if kind[0] == "none" else f"{kind[0]} filter, {kind[1]:g} px"
        images = {"clean": clean, "noisy": noisy, "filtered": filtered(noisy, kind), "denoised": denoised}
        rows = [(label, image[: self.n].clamp(0, 1)) for label, image in images.items()]
        title = f"Clean, noisy, filtered ({how}) and denoised by the model"
        save_figure(trainer, plots.image_rows(rows, title), "denoising-filter")
        noise = ", ".join(f"{key} {value:g}" for key, value in vars(self.corruption).items())
        evaluation.protocol["noisy_inputs"] = (
            f"{type(self.corruption).__name__} ({noise}) on the first {len(clean):,} images, seed {self.seed}; PSNR in "
            f"dB, mean of images' own, clipped to [0, 1]; filter chosen on validation: {how}"
        )
        return {
            f"denoising/psnr_{label}": psnr(image, clean).mean().item()
            for label, image in images.items()
            if label != "clean"
        }

    def _pair(self, trainer: Trainer, name: SplitName, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy and clean images [N, *shape] and labels [N], on the CPU: the noise does not depend on the device."""
        split = datamodule(trainer).split(name)
        clean = as_images(split.x[: self.max_images], trainer.lightning_module).cpu()
        noisy = self.corruption(clean, torch.Generator().manual_seed(seed))
        return noisy, clean, split.y[: self.max_images]
