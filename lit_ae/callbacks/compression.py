"""Codes as a compressed image format."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.callbacks.coding import decoded, encoded
from lit_ae.callbacks.evaluation import Evaluation, ScoreCallback, first_images, first_labels, save_figure
from lit_ae.metrics.compression import QUALITIES, deflated_bytes, jpeg, png_bytes, quantise, restore
from lit_ae.metrics.psnr import psnr

BITS = 8
SHOWN = 5  # times the codes' bytes: as far as the figure goes


class Compression(ScoreCallback):
    """`compression/{bytes,bytes_deflated,psnr,psnr_unquantised,png_bytes,jpeg_bytes,jpeg_psnr}` of the mean codes.

    Codes have 8 bits in each dimension, evenly from the least to the largest training code. `bytes` an image (D),
    `bytes_deflated` the same where zlib packs all images at once; `psnr` (dB) of images decoded from these codes,
    `psnr_unquantised` from the codes as they are. `png_bytes`: lossless, image by image. `jpeg_bytes`: of the lowest
    quality that is no worse than `psnr`; `jpeg_psnr`: of the best quality that needs no more than `bytes`; each left
    out where no quality is. What a decoder knows beforehand (weights, ranges, tables, sizes) does not count. A figure
    `compression` shows PSNR by bytes for 2 to 8 bits.

    Args:
        max_images: the split's first images that are compressed.
        every_n_epochs: as for `ScoreCallback`.
    """

    needs_images = True

    def __init__(self, max_images: int = 1000, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.max_images = max_images

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Bytes an image and PSNR by name, and the figure."""
        x, y = (part.cpu() for part in (first_images(trainer, self.max_images), first_labels(trainer, self.max_images)))
        codes = encoded(trainer, x, y)
        train = evaluation.train_codes(trainer)
        low, high = train.min(0).values, train.max(0).values
        of = {}  # bits -> (bytes, deflated bytes, PSNR)
        for bits in range(2, BITS + 1):
            levels = quantise(codes, low, high, bits)
            decibels = _psnr(trainer, restore(levels, low, high, bits), x, y)
            of[bits] = (codes.shape[1] * bits / 8, deflated_bytes(levels), decibels)
        images = (x * 255).round().to(torch.uint8)
        png = sum(map(png_bytes, images)) / len(images)
        rated = [_jpeg_rate(images, quality) for quality in QUALITIES]
        size, deflated, decibels = of[BITS]
        values = {"bytes": size, "bytes_deflated": deflated, "psnr": decibels, "png_bytes": png}
        values["psnr_unquantised"] = _psnr(trainer, codes, x, y)
        no_worse = [rate for rate, quality in rated if quality >= decibels]
        no_larger = [quality for rate, quality in rated if rate <= size]
        values |= {"jpeg_bytes": min(no_worse)} if no_worse else {}
        values |= {"jpeg_psnr": max(no_larger)} if no_larger else {}
        series = {
            "JPEG": [rate for rate in rated if rate[0] <= SHOWN * size] or rated,
            "codes, 2 to 8 bits": [(size, quality) for size, _, quality in of.values()],
            "the same, zlib": sorted((size, quality) for _, size, quality in of.values()),
        }
        title = f"PSNR by bytes of {len(x):,} images; PNG, lossless: {png:.0f} bytes"
        figure = plots.curves(series, "bytes an image, headers left out", "PSNR (dB)", title)
        save_figure(trainer, figure, "compression")
        evaluation.protocol["compression"] = (
            f"first {len(x):,} images; {codes.shape[1]} codes of {BITS} bits, evenly over the training codes' range; "
            "zlib over all images at once; JPEG's scan and PNG's IDAT (headers, tables, decoder weights not counted); "
            f"JPEG qualities {QUALITIES[0]} to {QUALITIES[-1]}; PSNR: mean of images' own"
        )
        return {f"compression/{name}": value for name, value in values.items()}


def _psnr(trainer: Trainer, codes: Tensor, x: Tensor, y: Tensor) -> float:
    """Mean PSNR in dB of images decoded from codes [N, D] against x [N, *shape]."""
    return psnr(decoded(trainer, codes, y), x).mean().item()


def _jpeg_rate(images: Tensor, quality: int) -> tuple[float, float]:
    """Mean bytes and mean PSNR in dB of images [N, C, H, W] uint8."""
    sizes, decoded = zip(*(jpeg(image, quality) for image in images), strict=True)
    return sum(sizes) / len(sizes), psnr(torch.stack(decoded) / 255, images / 255).mean().item()
