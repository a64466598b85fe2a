"""The codes as a compressed image format, compared with JPEG and PNG."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae import plots
from lit_ae.errors import require_at_least
from lit_ae.evaluation.access import first_images, first_labels, reconstruction_module, save_figure
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.reconstruction.compression import (
    QUALITIES,
    deflated_bytes,
    jpeg,
    png_bytes,
    quantise,
    restore,
)
from lit_ae.metrics.reconstruction.psnr import psnr
from lit_ae.models.chunks import decoded, mean_codes

BITS = 8
SHOWN = 5  # the figure shows JPEG up to this many times the bytes of the codes


class Compression(ScoreCallback):
    """`compression/{bytes,bytes_deflated,psnr,psnr_unquantised,png_bytes,jpeg_bytes,jpeg_psnr}` of the mean codes.

    Codes are quantised to 8 bits in each dimension, in even steps from the smallest to the largest training code.

    - `bytes`: size of an image's quantised code (D bytes); `bytes_deflated`: the same when zlib packs the codes of all
      images together.
    - `psnr`: PSNR in dB of images decoded from the quantised codes; `psnr_unquantised`: from the codes themselves.
    - `png_bytes`: size of an image's lossless PNG.
    - `jpeg_bytes`: size at the lowest JPEG quality whose PSNR is at least `psnr`; `jpeg_psnr`: PSNR at the highest
      quality that needs at most `bytes`. Each is left out if no quality qualifies.

    What a decoder knows beforehand (weights, ranges, tables, sizes) is not counted. Fewer bytes and a higher PSNR are
    better. Figure `compression` shows PSNR by bytes for 2 to 8 bits.

    Args:
        max_images: number of images that are compressed, the first ones of the split.
        every_n_epochs: as for `ScoreCallback`.
    """

    version = 2  # keeps the values of each test sample
    needs_images = True
    needs_unit_range = True

    def __init__(self, max_images: int = 1000, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(1, "Compression.{}", max_images=max_images)
        self.max_images = max_images

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Bytes an image and PSNR by name, and the figure."""
        x, y = (part.cpu() for part in (first_images(trainer, self.max_images), first_labels(trainer, self.max_images)))
        codes = mean_codes(reconstruction_module(trainer), x, y)
        train = evaluation.train_codes(trainer)
        low, high = train.min(0).values, train.max(0).values
        of = {}  # bits -> (bytes, deflated bytes, PSNR)
        for bits in range(2, BITS + 1):
            levels = quantise(codes, low, high, bits)
            quantised = _psnr(trainer, restore(levels, low, high, bits), x, y)
            of[bits] = (codes.shape[1] * bits / 8, deflated_bytes(levels), quantised.mean().item())
        images = (x * 255).round().to(torch.uint8)
        size, deflated, decibels = of[BITS]
        each = {
            "bytes": torch.full((len(x),), size),
            "psnr": quantised,
            "psnr_unquantised": _psnr(trainer, codes, x, y),
        }
        each["png_bytes"] = torch.tensor([png_bytes(image) for image in images], dtype=torch.float64)
        jpegs = [_jpeg_rates(images, quality) for quality in QUALITIES]
        rated = [(sizes.mean().item(), ratios.mean().item()) for sizes, ratios in jpegs]
        no_worse = [(rate, k) for k, (rate, quality) in enumerate(rated) if quality >= decibels]
        no_larger = [(quality, k) for k, (rate, quality) in enumerate(rated) if rate <= size]
        if no_worse:
            each["jpeg_bytes"] = jpegs[min(no_worse)[1]][0]
        else:
            evaluation.leave_out(f"no JPEG quality reaches {decibels:.1f} dB", "compression/jpeg_bytes")
        if no_larger:
            each["jpeg_psnr"] = jpegs[max(no_larger)[1]][1]
        else:
            evaluation.leave_out(f"no JPEG quality needs at most {size:g} bytes", "compression/jpeg_psnr")
        series = {
            "JPEG": [rate for rate in rated if rate[0] <= SHOWN * size] or rated,
            "codes of 2 to 8 bits": [(size, quality) for size, _, quality in of.values()],
            "the same codes, zlib": sorted((size, quality) for _, size, quality in of.values()),
        }
        values = {name: found.mean().item() for name, found in each.items()}
        title = f"PSNR by size, mean of {len(x):,} images; lossless PNG: {values['png_bytes']:.0f} bytes"
        figure = plots.curves(series, "bytes per image, without headers", "PSNR (dB)", title)
        save_figure(trainer, figure, "compression")
        evaluation.protocol["compression"] = (
            f"first {len(x):,} images; {codes.shape[1]} code dimensions of {BITS} bits, even steps over the range of "
            "the training codes; zlib packs the codes of all images together; of JPEG the scan and of PNG the IDAT "
            "chunks are counted, without headers, tables and decoder weights; JPEG qualities "
            f"{QUALITIES[0]} to {QUALITIES[-1]}; PSNR: mean of the images' own values"
        )
        for name, found in each.items():
            evaluation.keep_samples(f"compression/{name}", found)
        return {f"compression/{name}": value for name, value in (values | {"bytes_deflated": deflated}).items()}


def _psnr(trainer: Trainer, codes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """PSNR in dB [N] of images decoded from codes [N, D] against x [N, *shape]."""
    return psnr(decoded(reconstruction_module(trainer), codes, y), x)


def _jpeg_rates(images: Tensor, quality: int) -> tuple[Tensor, Tensor]:
    """Bytes and PSNR in dB, both [N], of images [N, C, H, W] uint8."""
    sizes, decoded = zip(*(jpeg(image, quality) for image in images), strict=True)
    return torch.tensor(sizes, dtype=torch.float64), psnr(torch.stack(decoded) / 255, images / 255)
