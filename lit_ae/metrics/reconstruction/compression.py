"""Bytes per image and PSNR of quantised codes, PNG and JPEG."""

import io
import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITIES = (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)  # of JPEG, from the smallest files to the largest


def quantise(codes: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Nearest of 2^bits levels, evenly spaced from low to high [D] in each dimension; codes [N, D] → uint8 [N, D].

    Codes outside the range are clipped; a dimension with low = high has only level 0. Inside the range the error is at
    most half a step; for uniformly distributed codes its mean square is step² / 12 (Bennett 1948).

    Raises:
        ValueError: bits outside 1 to 8, or codes that are not finite.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"codes are quantised to 1 to 8 bits, not {bits}")
    if not codes.isfinite().all():
        raise ValueError("a code is NaN or infinite: it cannot be quantised")
    step = _step(low, high, bits)
    levels = ((codes.double() - low.double()) / torch.where(step > 0, step, 1)).round()
    return levels.clamp(0, 2**bits - 1).where(step > 0, 0.0).to(torch.uint8)


def restore(levels: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Codes [N, D] of levels [N, D], float32."""
    codes: Tensor = low.double() + levels.double() * _step(low, high, bits)
    return codes.float()


def _step(low: Tensor, high: Tensor, bits: int) -> Tensor:
    step: Tensor = (high.double() - low.double()) / (2**bits - 1)  # [D]
    return step


def deflated_bytes(levels: Tensor) -> float:
    """Bytes per sample if zlib compresses all levels [N, D] uint8 together, dimension by dimension.

    Raises:
        ValueError: no samples.
    """
    if not len(levels):
        raise ValueError("there are no codes to compress")
    return len(zlib.compress(levels.T.contiguous().numpy().tobytes(), 9)) / len(levels)


def png_bytes(image: Tensor) -> int:
    """Bytes of the compressed pixels (the IDAT chunks) in the lossless PNG of an image [C, H, W] uint8.

    Signature, sizes and checksums around them (57 bytes for one chunk) are not counted, and neither are JPEG's tables
    below: a decoder can know them beforehand, as it knows the weights and the range of the codes.
    """
    content = _written(image, "PNG", optimize=True)
    total, at = 0, 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        total += size if content[at + 4 : at + 8] == b"IDAT" else 0
        at += 12 + size
    return total


def jpeg(image: Tensor, quality: int) -> tuple[int, Tensor]:
    """Bytes of the scan of an image [C, H, W] uint8 as a baseline JPEG, and the decoded image [C, H, W] uint8.

    The scan lies between the last header and the end marker (ITU-T T.81, annex B). Headers and tables have over 300
    bytes and are the same for all images of one size and quality; the standard's abbreviated format sends them once.
    """
    import numpy as np
    from PIL import Image

    content = _written(image, "JPEG", quality=quality)
    at = 2  # after the start marker
    while content[at + 1] != 0xDA:  # start of scan
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    with Image.open(io.BytesIO(content)) as opened:
        pixels = torch.from_numpy(np.array(opened))
    decoded = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return len(content) - at - 2, decoded


def _written(image: Tensor, kind: str, **settings: int) -> bytes:
    out = io.BytesIO()
    _pillow(image).save(out, kind, **settings)
    return out.getvalue()


def _pillow(image: Tensor) -> "Image":
    """The image for Pillow; raises ValueError for another shape or type, NotComputable for channels."""
    from PIL import Image

    if image.ndim == 3 and image.shape[0] not in (1, 3):
        raise NotComputable(f"PNG and JPEG are for grey and RGB images, not for {image.shape[0]} channels")
    if image.ndim != 3 or image.dtype != torch.uint8:
        raise ValueError(f"an image must be [1 or 3, H, W] uint8, got {list(image.shape)} {image.dtype}")
    return Image.fromarray((image[0] if len(image) == 1 else image.permute(1, 2, 0)).contiguous().numpy())
