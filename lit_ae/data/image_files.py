"""Image files decoded as their mode says: every value right to 1/255, or the file refused in one line."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lit_ae.data.containers import refuse_not_finite
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]  # [H, W] or [H, W, 3]; bytes, or floats in [0, 1]
ENDINGS = {".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm", ".png"}
ENDINGS |= {".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
UNREAD = {".dcm", ".dng", ".exr", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".psd", ".svg"}
HIDDEN = (
    ".",
    "__MACOSX",
    "@eaDir",
    "Thumbs.db",
    "desktop.ini",
)  # what names of files and folders that are no data begin with
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
LUMINANCE = np.array([0.299, 0.587, 0.114])  # of ITU-R 601-2
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}  # samples of a pixel by a TIFF's PhotometricInterpretation
WITHOUT_RANGE = {
    "I": "32-bit whole numbers",
    "LAB": "CIE L*a*b* colours",
}  # no conversion to [0, 1] is implied by the file


def image_files(folder: Path) -> list[Path]:
    """Image files in a folder and its subfolders, also linked ones, sorted.

    Hidden files and those in hidden folders are passed over; how many files of other kinds there are is printed.

    Raises:
        SettingError: there is none, a link leads nowhere or to what is read already, or there are images of a kind that
            is not read.
    """
    found: list[Path] = []
    met: dict[str, str] = {}
    for root, folders, names in os.walk(folder, followlinks=True):
        _refuse_again(root, met)
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        found += [Path(root, name) for name in names if not name.startswith(HIDDEN)]
    for path in sorted(found):
        if path.suffix.lower() in UNREAD:
            raise SettingError(f"{path} is an image of a kind that is not read: save it as PNG, or move it elsewhere")
        if path.suffix.lower() in ENDINGS and not path.exists():
            raise SettingError(f"{path} is a link to a file that does not exist: mend or remove it")
    others = [path for path in found if path.suffix.lower() not in ENDINGS]
    found = sorted(path for path in found if path.suffix.lower() in ENDINGS and path.is_file())
    if any(path.is_symlink() for path in found):
        for path in found:
            _refuse_again(str(path), met)
    if found and others:
        kinds = ", ".join(sorted({path.suffix.lower() or "without an ending" for path in others}))
        left = "1 file of another kind" if len(others) == 1 else f"{len(others):,} files of other kinds"
        print(f"--data.path {folder}: {left} ({kinds}) left out", file=sys.stderr)
    if not found:
        raise SettingError(
            f"--data.path {folder} holds no images ({', '.join(sorted(ENDINGS))}): give a folder that does"
        )
    return found


def _refuse_again(path: str, met: dict[str, str]) -> None:
    """Refuse a file or folder that was met before by another path, and add it to those that were."""
    real = os.path.realpath(path)
    if real in met:
        raise SettingError(
            f"{path} and {met[real]} are the same by a link, so that images would be read twice: remove the link"
        )
    met[real] = path


def read_image(path: Path, grey: bool, background: int = 0, size: tuple[int, int] | None = None) -> Pixels:
    """One image file as [H, W] (grey) or [H, W, 3] (red, green, blue): bytes, or floats in [0, 1] if it has more depth.

    Orientation tags are applied. Transparent pixels are composed on a background of one grey value. Colours become grey
    by the luminance of ITU-R 601-2. 16-bit grey values are divided by 65,535; 32-bit floats are taken as they are and
    must lie in [0, 1]; CMYK becomes (1 - C)(1 - K), and so on. Of 16-bit colour channels Pillow reads the upper byte,
    which is right to 1/255. Colour profiles and gamma are not applied.

    Args:
        path: the file.
        grey: whether colours become grey; otherwise grey values are repeated in three channels.
        background: grey value, 0 (black) to 255, behind transparent pixels.
        size: height and width that the image is resized to, bilinearly with anti-aliasing; kept if null.

    Raises:
        SettingError: the file is broken, holds several pages, or has values that Pillow does not read as they are
            meant, or whose range is not known.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        # By its name, Pillow would map the file and lay out pixels that an orientation tag turns in the wrong order
        with path.open("rb") as file, Image.open(file) as opened:
            pages = getattr(opened, "n_frames", 1)
            if pages > 1:
                raise SettingError(f"{path} holds {pages} pages or frames: save each as a file of its own")
            refuse_misread(opened, path)
            image = ImageOps.exif_transpose(opened)
            image.load()
            pixels = _decoded(image, path, opened.format, grey, background)
    except UnidentifiedImageError as error:
        raise SettingError(f"{path} is no image of a known kind: save it as PNG, or remove it") from error
    except SettingError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any kind for a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SettingError(f"{path} cannot be read as an image ({reason}): repair or remove it") from error
    return pixels if size is None else _resized(pixels, size)


def refuse_misread(image: "Image", path: Path) -> None:
    """Refuse a file that was opened, not yet loaded, whose values Pillow would give as others than are stored.

    Raises:
        SettingError: naming what the file holds.
    """
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = max(tags.get(258, (8,)))  # BitsPerSample
    if image.format == "PNG":
        told = re.search(r";(\d+)", str(getattr(image, "tile", "")))  # as the decoder is told: `L;4`, `RGB;16B`
        bits = int(told[1]) if told else 8
    what = None
    if set(tags.get(339, (1,))) - {1, 3}:  # SampleFormat: neither unsigned nor floats
        what = "signed numbers"
    elif _extra_bands(tags):
        what = "more bands than colours and transparency"
    elif bits not in (1, 2, 4, 8, 16, 32):
        what = f"values of {bits} bits"
    elif tags.get(262) == 0 and bits > 8:  # PhotometricInterpretation, which Pillow applies to bytes alone
        what = f"values of {bits} bits of which 0 means white"
    elif bits == 16 and image.mode == "CMYK":
        what = "CMYK colours of 16 bits"
    elif bits not in (1, 8) and "transparency" in image.info and image.mode != "P":
        what = f"values of {bits} bits and a transparent colour"
    elif bits == 16 and image.mode[-1] in "Aa" and np.asarray(image.getchannel(len(image.mode) - 1)).min() < 255:
        what = "transparent pixels of 16 bits"
    if what is not None:
        raise SettingError(f"{path} holds {what}, which cannot be read to 1/255: save it as PNG with 8 bits a channel")


def _extra_bands(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF has samples that its tags name neither a colour (PhotometricInterpretation) nor alpha."""
    extra = tags.get(338, ())  # ExtraSamples: 0 for one of no known meaning
    extra = extra if isinstance(extra, tuple) else (extra,)
    colours = COLOURS.get(tags.get(262, -1))
    return 0 in extra or (colours is not None and tags.get(277, 1) > colours + len(extra))


def _decoded(image: "Image", path: Path, stored_as: str | None, grey: bool, background: int) -> Pixels:
    mode = image.mode
    if mode in ("La", "RGBa"):  # colours that are already multiplied by alpha
        image = image.convert(mode.upper())
    sixteen_bits = mode in SIXTEEN_BITS or (mode == "I" and stored_as in ("PNG", "PPM"))
    if mode in WITHOUT_RANGE and not sixteen_bits:
        raise SettingError(
            f"{path} holds {WITHOUT_RANGE[mode]} (Pillow's mode {mode}), whose range is not known: save it with 8 or "
            "16 bits a channel"
        )
    if sixteen_bits or mode == "F":
        deep = np.asarray(image)
        values = deep.astype(np.float32) if mode == "F" else (deep / np.float32(65535)).astype(np.float32)
        refuse_not_finite(values, str(path))
        if values.min() < 0 or values.max() > 1:
            raise SettingError(f"{path} holds floats from {values.min():g} to {values.max():g}: scale them to [0, 1]")
        return values if grey else np.repeat(values[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64)
        alpha = rgba[..., 3:] / 255
        composed = alpha * rgba[..., :3] + (1 - alpha) * background
        return ((composed @ LUMINANCE) if grey else composed).round().astype(np.uint8)
    if mode not in ("L", "RGB"):
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
