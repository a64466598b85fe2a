"""Every mode, depth and container of image that Pillow opens: right to 1/255, or refused in one line."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lit_ae.data.image_files import image_files, read_image, stacked
from lit_ae.errors import SettingError

GREY = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(6, 8)  # [H, W]
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
ALPHA = GREY[:, ::-1].copy()
DEEP = (np.linspace(0, 65535, 48).round().astype(np.uint16)).reshape(6, 8)
BOUND = 1 / 255 + 1e-9


def luminance(rgb):
    """ITU-R 601-2, as a share of white."""
    return np.asarray(rgb, dtype=float) @ np.array([0.299, 0.587, 0.114]) / 255


def png(path, raw, colour_type, depth, chunks=()):
    """A PNG written by hand: raw rows of bytes, colour type and bit depth as in the standard."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height = len(raw)
    width = 8
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in raw)
    body = b"".join(chunk(kind, content) for kind, content in chunks)
    data = chunk(b"IHDR", header) + body + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def write(path, kind):
    """A file of this kind at `path`; what it shows as grey and as red, green and blue, in [0, 1] on black."""
    grey3 = np.repeat(GREY[..., None] / 255, 3, 2)
    alpha = ALPHA[..., None] / 255
    if kind == "1":
        bits = GREY > 127
        Image.fromarray(bits).save(path)
        return bits.astype(float), np.repeat(bits[..., None], 3, 2).astype(float)
    if kind == "L":
        Image.fromarray(GREY).save(path)
        return GREY / 255, grey3
    if kind == "LA":
        Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]).save(path)
        return GREY / 255 * alpha[..., 0], grey3 * alpha
    if kind == "P":
        image = Image.fromarray(RGB).quantize(256)
        image.save(path)
        shown = np.asarray(image.convert("RGB")) / 255
        return luminance(shown * 255), shown
    if kind == "P, transparent":
        image = Image.fromarray((np.arange(48) % 4).astype(np.uint8).reshape(6, 8), mode=None).convert("P")
        image = Image.frombytes("P", (8, 6), (np.arange(48) % 4).astype(np.uint8).tobytes())
        palette = np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
        image.putpalette(palette.tobytes())
        image.save(path, transparency=0)
        palette = palette.copy()
        palette[0] = 0  # black behind the transparent colour
        shown = palette[np.arange(48).reshape(6, 8) % 4]
        return luminance(shown), shown / 255
    if kind == "RGB":
        Image.fromarray(RGB).save(path)
        return luminance(RGB), RGB / 255
    if kind == "RGBA":
        Image.fromarray(np.dstack([RGB, ALPHA])).save(path)
        return luminance(RGB * alpha), RGB / 255 * alpha
    if kind == "I;16":
        Image.fromarray(DEEP).save(path)
        return DEEP / 65535, np.repeat(DEEP[..., None] / 65535, 3, 2)
    if kind == "I;16B":
        image = Image.frombytes("I;16B", (8, 6), DEEP.astype(">u2").tobytes())
        image.save(path)
        return DEEP / 65535, np.repeat(DEEP[..., None] / 65535, 3, 2)
    if kind == "RGB, 16 bits":
        deep = np.stack([DEEP, DEEP[::-1], 65535 - DEEP], 2)
        png(path, [row.astype(">u2").tobytes() for row in deep], 2, 16)
        return luminance(deep / 65535 * 255), deep / 65535
    if kind == "LA, 16 bits":
        deep = np.stack([DEEP, np.full_like(DEEP, 65535)], 2)
        png(path, [row.astype(">u2").tobytes() for row in deep], 4, 16)
        return DEEP / 65535, np.repeat(DEEP[..., None] / 65535, 3, 2)
    if kind == "2 bits":
        levels = (np.arange(48).reshape(6, 8) % 4).astype(np.uint8)
        packed = levels.reshape(6, 2, 4) @ np.array([64, 16, 4, 1])
        png(path, [row.astype(np.uint8).tobytes() for row in packed], 0, 2)
        return levels / 3, np.repeat(levels[..., None] / 3, 3, 2)
    if kind == "F":
        values = (GREY / 255).astype(np.float32)
        Image.fromarray(values).save(path)
        return values, np.repeat(values[..., None], 3, 2)
    if kind == "CMYK":
        ink = np.dstack([RGB, ALPHA // 2])
        Image.frombytes("CMYK", (8, 6), ink.tobytes()).save(path, **QUALITY.get(path.suffix, {}))
        shown = (1 - ink[..., :3] / 255) * (1 - ink[..., 3:] / 255)
        return luminance(shown * 255), shown
    raise AssertionError(kind)


QUALITY = {".jpg": {"quality": 100, "subsampling": 0}}
READ = [
    *(("png", kind) for kind in ("1", "L", "LA", "P", "P, transparent", "RGB", "RGBA", "I;16", "RGB, 16 bits")),
    *(("png", kind) for kind in ("LA, 16 bits", "2 bits")),
    *(("tif", kind) for kind in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "F", "CMYK")),
    *(("gif", kind) for kind in ("1", "L", "P", "P, transparent")),
    *(("bmp", kind) for kind in ("1", "L", "P", "RGB")),
]


@pytest.mark.parametrize(("ending", "kind"), READ)
def test_every_mode_is_read_to_a_255th(ending, kind, tmp_path):
    path = tmp_path / f"image.{ending}"
    grey, colour = write(path, kind)
    for found, expected in ((read_image(path, grey=True), grey), (read_image(path, grey=False), colour)):
        found = found / 255 if found.dtype == np.uint8 else found
        assert found.shape == expected.shape
        # a luminance is rounded once more after three rounded channels
        bound = BOUND if expected is colour or kind not in ("RGB", "RGBA", "P", "CMYK") else 2 * BOUND
        assert np.abs(found - expected).max() <= bound


@pytest.mark.parametrize("kind", ["L", "RGB", "CMYK"])
def test_jpeg_and_webp_are_read_to_what_their_loss_leaves(kind, tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(32)) * 4  # compresses well
    rgb = np.stack([smooth, smooth[::-1], 255 - smooth], 2).astype(np.uint8)
    images = {
        "L": Image.fromarray(smooth.astype(np.uint8)),
        "RGB": Image.fromarray(rgb),
        "CMYK": Image.frombytes("CMYK", (32, 32), np.dstack([rgb, np.zeros((32, 32), np.uint8)]).tobytes()),
    }
    shown = {"L": np.repeat(smooth[..., None], 3, 2), "RGB": rgb, "CMYK": 255 - rgb.astype(int)}[kind]
    images[kind].save(tmp_path / "image.jpg", quality=100, subsampling=0)
    assert np.abs(read_image(tmp_path / "image.jpg", grey=False).astype(int) - shown).max() <= 3
    if kind != "CMYK":
        images[kind].save(tmp_path / "image.webp", lossless=True)
        assert np.abs(read_image(tmp_path / "image.webp", grey=False).astype(int) - shown).max() <= 1


def test_transparent_pixels_lie_on_the_background(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.dstack([RGB, ALPHA])).save(path)
    alpha = ALPHA[..., None] / 255
    for background in (0, 255, 100):
        expected = RGB / 255 * alpha + (1 - alpha) * background / 255
        found = read_image(path, grey=False, background=background) / 255
        assert np.abs(found - expected).max() <= BOUND


def test_orientation_is_applied(tmp_path):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    Image.fromarray(np.repeat(GREY, 8, 0).repeat(8, 1)).save(path, quality=100, exif=exif)
    found = read_image(path, grey=True)
    assert found.shape == (64, 48)
    assert np.abs(found.astype(int) - np.rot90(np.repeat(GREY, 8, 0).repeat(8, 1), -1)).max() <= 8


def whole_numbers(path):
    Image.fromarray(DEEP.astype(np.int32)).save(path)


def beyond(path):
    Image.fromarray(DEEP.astype(np.float32)).save(path)


def not_a_number(path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(path)


def pages(path):
    Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(255 - GREY)])


def lab(path):
    Image.frombytes("LAB", (8, 6), RGB.tobytes()).save(path)


def broken(path):
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:60])


def text(path):
    path.write_text("no image")


@pytest.mark.parametrize(
    ("ending", "make", "words"),
    [
        ("tif", whole_numbers, "32-bit whole numbers"),
        ("tif", beyond, "scale them to"),
        ("tif", not_a_number, "scale them to"),
        ("tif", lab, "L\\*a\\*b\\*"),
        ("tif", pages, "2 pages or frames: save each"),
        ("gif", pages, "2 pages or frames: save each"),
        ("webp", pages, "2 pages or frames: save each"),
        ("png", broken, "repair or remove it"),
        ("tif", text, "repair or remove it"),
    ],
)
def test_values_without_a_known_range_are_refused_in_one_line(ending, make, words, tmp_path):
    path = tmp_path / f"image.{ending}"
    make(path)
    with pytest.raises(SettingError, match=words) as raised:
        read_image(path, grey=True)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hidden_files_and_folders_are_no_images(tmp_path):
    for name in ("a/one.png", "b/two.PNG", ".ipynb_checkpoints/one-checkpoint.png", "a/.hidden.png", "__MACOSX/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / name, "PNG")
    (tmp_path / "a" / "notes.txt").write_text("")
    assert [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)] == ["a/one.png", "b/two.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match=r"holds no images \(.bmp, .gif"):
        image_files(tmp_path / "empty")


def test_resized_images_keep_their_mean(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    small = read_image(tmp_path / "deep.png", grey=True, size=(8, 16))
    assert small.shape == (8, 16)
    assert small.mean() == pytest.approx(0.5, abs=0.005)
    assert np.abs(small[0] - ramp[0].reshape(16, 4).mean(1) / 65535).max() < 0.02


def test_one_deep_image_makes_all_of_them_floats():
    byte, deep = np.full((2, 2), 51, np.uint8), np.full((2, 2), 0.25, np.float32)
    both = stacked([byte, deep])
    assert both.dtype == np.float32
    assert both[:, 0, 0].tolist() == pytest.approx([0.2, 0.25])
    assert stacked([byte, byte]).dtype == np.uint8
