"""Bytes an image and PSNR: of quantised codes, and of PNG and JPEG beside them."""

import io
import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITIES = (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)  # of JPEG, from the least bytes to the most


def quantise(codes: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Nearest of 2^bits levels, evenly spaced from low to high [D] in each dimension; codes [N, D] → uint8 [N, D].

    Codes beyond are clipped; a dimension without a range has level 0 alone. Inside the range the error is at most half
    a step, its mean square step² / 12 for codes that are spread evenly (Bennett 1948).

    Raises:
        ValueError: bits outside 1 ... 8, or codes that are not finite.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"codes are quantised to 1 to 8 bits, not {bits}")
    if not codes.isfinite().all():
        raise ValueError("a code is NaN or infinite: it cannot be quantised")
    step = _step(low, high, bits)
    levels = ((codes.double() - low.double()) / torch.where(step > 0, step, 1)).round()
    return levels.clamp(0, 2**bits - 1).where(step > 0, 0.0).to(torch.uint8)


def restore(levels: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """The codes [N, D] that levels [N, D] stand for, float32."""
    codes: Tensor = low.double() + levels.double() * _step(low, high, bits)
    return codes.float()


def _step(low: Tensor, high: Tensor, bits: int) -> Tensor:
    step: Tensor = (high.double() - low.double()) / (2**bits - 1)  # [D]
    return step


def deflated_bytes(levels: Tensor) -> float:
    """Bytes a sample of levels [N, D] uint8 when zlib packs all of them at once, dimension by dimension.

    Raises:
        ValueError: no samples.
    """
    if not len(levels):
        raise ValueError("there are no codes to pack")
    return len(zlib.compress(levels.T.contiguous().numpy().tobytes(), 9)) / len(levels)


def png_bytes(image: Tensor) -> int:
    """Bytes of the packed pixels (the IDAT chunks) in the PNG of an image [C, H, W] uint8; lossless.

    The signature, sizes and checksums around them (57 bytes for one chunk) are left out, as are JPEG's tables below: a
    decoder can know them beforehand, as it knows the weights and the range of the codes.
    """
    content = _written(image, "PNG", optimize=True)
    total, at = 0, 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        total += size if content[at + 4 : at + 8] == b"IDAT" else 0
        at += 12 + size
    return total


def jpeg(image: Tensor, quality: int) -> tuple[int, Tensor]:
    """Bytes of the scan and the decoded image [C, H, W] uint8 of a baseline JPEG of an image [C, H, W] uint8.

    The scan is what lies between the last header and the end mark (ITU-T T.81, annex B); headers and tables, over 300
    bytes and the same for all images of one size and quality, are sent once in the standard's abbreviated format.
    """
    import numpy as np
    from PIL import Image

    content = _written(image, "JPEG", quality=quality)
    at = 2  # past the start mark
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
    """Raises ValueError for another shape or type."""
    from PIL import Image

    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.dtype != torch.uint8:
        raise ValueError(f"an image must be [1 or 3, H, W] uint8, got {list(image.shape)} {image.dtype}")
    return Image.fromarray((image[0] if len(image) == 1 else image.permute(1, 2, 0)).contiguous().numpy())
