"""Image files decoded as their mode says: every value right to 1/255, or the file refused in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]  # [H, W] or [H, W, 3]; bytes, or floats in [0, 1]
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
WITHOUT_RANGE = {
    "I": "32-bit whole numbers",
    "LAB": "CIE L*a*b* colours",
}  # no conversion to [0, 1] is implied by the file


def image_files(folder: Path) -> list[Path]:
    """Image files in a folder and its subfolders, sorted; hidden ones, and those in hidden folders, are passed over.

    Raises:
        SettingError: there is none.
    """
    inside = ((path, path.relative_to(folder).parts) for path in folder.rglob("*"))
    found = sorted(
        path
        for path, parts in inside
        if path.suffix.lower() in ENDINGS
        and not any(part.startswith((".", "__MACOSX")) for part in parts)
        and path.is_file()
    )
    if not found:
        raise SettingError(
            f"--data.path {folder} holds no images ({', '.join(sorted(ENDINGS))}): give a folder that does"
        )
    return found


def read_image(path: Path, grey: bool, background: int = 0, size: tuple[int, int] | None = None) -> Pixels:
    """One image file as [H, W] (grey) or [H, W, 3] (red, green, blue): bytes, or floats in [0, 1] if it has more depth.

    Orientation tags are applied. Transparent pixels are composed on a background of one grey value. Colours become grey
    by the luminance of ITU-R 601-2. 16-bit grey values are divided by 65,535; 32-bit floats are taken as they are and
    must lie in [0, 1]; CMYK becomes (1 - C)(1 - K), and so on. Of 16-bit colour channels Pillow reads the upper byte,
    which is right to 1/255.

    Args:
        path: the file.
        grey: whether colours become grey; otherwise grey values are repeated in three channels.
        background: grey value, 0 (black) to 255, behind transparent pixels.
        size: height and width that the image is resized to, bilinearly with anti-aliasing; kept if null.

    Raises:
        SettingError: the file is broken, holds several pages, or has values without a known range.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            pages = getattr(opened, "n_frames", 1)
            if pages > 1:
                raise SettingError(f"{path} holds {pages} pages or frames: save each as a file of its own")
            image = ImageOps.exif_transpose(opened)
            image.load()
            pixels = _decoded(image, path, grey, background)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SettingError(f"{path} cannot be read as an image ({error}): repair or remove it") from error
    return pixels if size is None else _resized(pixels, size)


def _decoded(image: "Image", path: Path, grey: bool, background: int) -> Pixels:
    mode = image.mode
    if mode in WITHOUT_RANGE:
        raise SettingError(
            f"{path} holds {WITHOUT_RANGE[mode]} (Pillow's mode {mode}), whose range is not known: save it with 8 or "
            "16 bits a channel"
        )
    if mode in SIXTEEN_BITS or mode == "F":
        if image.has_transparency_data:
            raise SettingError(f"{path} has 16-bit values and a transparent colour: remove its transparency")
        deep = np.asarray(image)
        values = deep.astype(np.float32) if mode == "F" else (deep / np.float32(65535)).astype(np.float32)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise SettingError(
                f"{path} holds floats from {values.min():g} to {values.max():g}: scale them to [0, 1] without NaN or "
                "infinity"
            )
        return values if grey else np.repeat(values[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64)
        alpha = rgba[..., 3:] / 255
        composed = (alpha * rgba[..., :3] + (1 - alpha) * background).round().astype(np.uint8)
        from PIL import Image

        image = Image.fromarray(composed)
    elif mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return np.array(image.convert("L" if grey else "RGB"))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    from PIL import Image

    height, width = size
    if pixels.dtype == np.uint8:
        return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    deep = pixels.astype(np.float32)
    planes = [deep] if deep.ndim == 2 else list(np.moveaxis(deep, 2, 0))
    resized = [
        np.array(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)
        for plane in planes
    ]
    return resized[0] if pixels.ndim == 2 else np.stack(resized, axis=2)


def stacked(images: Sequence[Pixels]) -> Pixels:
    """All images of one size in one array [N, H, W] or [N, H, W, 3]; bytes if all are, else floats in [0, 1]."""
    if all(image.dtype == np.uint8 for image in images):
        return np.stack([image.astype(np.uint8) for image in images])
    floats = [image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1) for image in images]
    return np.stack(floats).astype(np.float32)
