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


def tiff(path, data, bits, samples=1, photometric=1, order="<", extra=(), shape=(6, 8)):
    """An uncompressed TIFF written by hand, with further tags (number, value) of 16-bit numbers."""
    given = {256: [shape[1]], 257: [shape[0]], 258: [bits] * samples, 259: [1], 262: [photometric], 277: [samples]}
    given |= {278: [shape[0]], **{tag: [value] * (samples if tag == 339 else 1) for tag, value in extra}}
    given |= {273: [8], 279: [len(data)]}
    start = 8 + len(data) + len(data) % 2
    behind = start + 2 + 12 * len(given) + 4
    entries, tail = b"", b""
    for tag, values in sorted(given.items()):
        content = struct.pack(f"{order}{len(values)}H", *values)
        if len(content) > 4:
            tail, content = tail + content, struct.pack(f"{order}I", behind + len(tail))
        entries += struct.pack(f"{order}HHI", tag, 3, len(values)) + content.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    body = struct.pack(f"{order}H", len(given)) + entries + b"\0\0\0\0" + tail
    path.write_bytes(head + data.ljust(start - 8, b"\0") + body)


SIGNED, FLOAT, WHITE_IS_ZERO, ALPHA_TAG = (339, 2), (339, 3), 0, (338, 2)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiffs_of_both_byte_orders(order, tmp_path):
    path = tmp_path / "image.tif"
    opaque, alpha = np.full_like(ALPHA, 255), ALPHA / 255
    deep3 = np.stack([DEEP, DEEP[::-1], 65535 - DEEP], 2)
    premultiplied = (GREY * alpha).round().astype(np.uint8)
    for data, settings, expected in (
        (DEEP.astype(f"{order}u2"), {"bits": 16}, DEEP / 65535),
        (GREY, {"bits": 8, "photometric": WHITE_IS_ZERO}, 1 - GREY / 255),
        ((GREY / 255).astype(f"{order}f4"), {"bits": 32, "extra": [FLOAT]}, GREY / 255),
        (deep3.astype(f"{order}u2"), {"bits": 16, "samples": 3, "photometric": 2}, luminance(deep3 / 257)),
        (np.dstack([GREY, ALPHA]), {"bits": 8, "samples": 2, "extra": [ALPHA_TAG]}, GREY / 255 * alpha),
        (np.dstack([premultiplied, ALPHA]), {"bits": 8, "samples": 2, "extra": [(338, 1)]}, premultiplied / 255),
        (
            np.dstack([RGB, opaque]),
            {"bits": 8, "samples": 4, "photometric": 2, "extra": [ALPHA_TAG]},
            luminance(RGB),
        ),
    ):
        tiff(path, data.tobytes(), order=order, **settings)
        found = read_image(path, grey=True)
        found = found / 255 if found.dtype == np.uint8 else found
        bound = BOUND + (1 / 510 if settings["bits"] == 16 and settings.get("samples") == 3 else 0)
        assert np.abs(found - expected).max() <= bound, settings


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("words", "data", "settings"),
    [
        ("signed numbers", GREY, {"bits": 8, "extra": [SIGNED]}),
        ("signed numbers", DEEP, {"bits": 16, "extra": [SIGNED]}),
        ("0 means white", DEEP, {"bits": 16, "photometric": WHITE_IS_ZERO}),
        ("0 means white", GREY.astype(np.float32), {"bits": 32, "photometric": WHITE_IS_ZERO, "extra": [FLOAT]}),
        ("32-bit whole numbers", DEEP.astype(np.uint32), {"bits": 32}),
        ("values of 12 bits", DEEP[:, :6], {"bits": 12}),
        ("CMYK colours of 16 bits", np.dstack([DEEP] * 4), {"bits": 16, "samples": 4, "photometric": 5}),
        (
            "transparent pixels of 16 bits",
            np.dstack([DEEP] * 4),
            {"bits": 16, "samples": 4, "photometric": 2, "extra": [ALPHA_TAG]},
        ),
        ("more bands", np.dstack([RGB, GREY]), {"bits": 8, "samples": 4, "photometric": 2, "extra": [(338, 0)]}),
        ("more bands", np.dstack([RGB, GREY]), {"bits": 8, "samples": 4, "photometric": 2}),
        ("more bands", np.dstack([GREY, GREY]), {"bits": 8, "samples": 2, "extra": [(338, 0)]}),
        ("", GREY.astype(np.float64), {"bits": 64, "extra": [FLOAT]}),
    ],
)
def test_tiffs_whose_values_would_be_misread_are_refused(words, data, settings, order, tmp_path):
    path = tmp_path / "image.tif"
    swapped = data if order == "<" or data.dtype.itemsize == 1 else data.byteswap()
    tiff(path, swapped.tobytes(), order=order, **settings)
    # of the big-endian forms Pillow knows fewer, and says so
    with pytest.raises(SettingError, match=f"holds .*{words}.*: save it|no image of a known kind") as raised:
        read_image(path, grey=True)
    assert "known kind" not in str(raised.value) or order == ">" or settings["bits"] == 64


@pytest.mark.parametrize(
    ("words", "depth", "colour_type", "channels", "transparent"),
    [
        ("2 bits and a transparent colour", 2, 0, 1, struct.pack(">H", 1)),
        ("4 bits and a transparent colour", 4, 0, 1, struct.pack(">H", 1)),
        ("16 bits and a transparent colour", 16, 0, 1, struct.pack(">H", 1)),
        ("16 bits and a transparent colour", 16, 2, 3, struct.pack(">HHH", 1, 2, 3)),
        ("transparent pixels of 16 bits", 16, 4, 2, None),
        ("transparent pixels of 16 bits", 16, 6, 4, None),
    ],
)
def test_transparency_that_pillow_does_not_read_exactly_is_refused(
    words, depth, colour_type, channels, transparent, tmp_path
):
    path = tmp_path / "image.png"
    rows = [bytes(channels * 8 * depth // 8)] * 6
    png(path, rows, colour_type, depth, [(b"tRNS", transparent)] if transparent else [])
    with pytest.raises(SettingError, match=f"holds .*{words}, .*: save it as PNG with 8 bits"):
        read_image(path, grey=True)


@pytest.mark.parametrize("transparent", [True, False])
@pytest.mark.parametrize("colours", [1, 3, 8])
def test_every_grey_value_of_a_transparent_colour_is_rounded_once(colours, transparent, tmp_path):
    """Grey of random colours, half transparent or not, is right to half a 255th and the rounding of the luminance."""
    rng = np.random.default_rng(colours)
    rgb, alpha = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), rng.integers(0, 256, (9, 9), dtype=np.uint8)
    alpha = alpha if transparent else np.full_like(alpha, 255)
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "image.png")
    for background in (0, 90, 255):
        composed = rgb * (alpha[..., None] / 255) + (1 - alpha[..., None] / 255) * background
        found = read_image(tmp_path / "image.png", grey=True, background=background)
        assert np.abs(found / 255 - luminance(composed)).max() <= 0.51 / 255


@pytest.mark.parametrize("largest", [1, 7, 100, 255, 1000, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_portable_maps_are_scaled_by_their_largest_value(channels, largest, tmp_path):
    values = np.arange(48 * channels).reshape(6, 8, channels) * 37 % (largest + 1)
    head = f"P{6 if channels == 3 else 5} 8 6 {largest}\n".encode()
    (tmp_path / "image.ppm").write_bytes(head + values.astype(">u2" if largest > 255 else "u1").tobytes())
    found = read_image(tmp_path / "image.ppm", grey=False)
    found = found / 255 if found.dtype == np.uint8 else found
    assert np.abs(found - values / largest).max() <= BOUND


def turned(image, tag):
    """What an image stored as this one shows under an orientation tag from 1 to 8, by the standard's table."""
    if tag >= 5:
        image = image.swapaxes(0, 1)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        tag
    ]
    return image[::rows, ::columns]


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("kind", ["L", "P", "I;16", "F", "RGB", "RGBA", "CMYK"])
def test_every_orientation_of_every_layout(kind, tag, tmp_path):
    """Uncompressed TIFFs, which Pillow may map into memory, and PNG and WebP where they hold the mode."""
    exif = Image.Exif()
    exif[0x0112] = tag
    opaque = np.full_like(GREY, 255)
    images = {
        "L": Image.fromarray(GREY),
        "P": Image.fromarray(GREY).convert("P"),
        "I;16": Image.fromarray(DEEP),
        "F": Image.fromarray((GREY / 255).astype(np.float32)),
        "RGB": Image.fromarray(RGB),
        "RGBA": Image.fromarray(np.dstack([RGB, opaque])),
        "CMYK": Image.frombytes("CMYK", (8, 6), np.dstack([255 - RGB, opaque - 255]).tobytes()),
    }
    expected = turned(RGB if kind in ("RGB", "RGBA", "CMYK") else np.repeat(GREY[..., None], 3, 2), tag) / 255
    endings = ["tif", *(["png"] if kind not in ("F", "CMYK") else []), *(["webp"] if kind.startswith("RGB") else [])]
    for ending in endings:
        path = tmp_path / f"image.{ending}"
        images[kind].save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
        found = read_image(path, grey=False)
        found = found / 255 if found.dtype == np.uint8 else found
        assert found.shape == expected.shape, ending
        assert np.abs(found - expected).max() <= BOUND, ending


@pytest.mark.parametrize("ending", ["png", "gif", "tif", "jpg", "bmp", "webp", "ppm", "tga", "pcx"])
def test_spoilt_files_are_read_or_refused_in_one_line(ending, tmp_path):
    """Whatever bytes are wrong or missing, no other error comes out."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"image.{ending}"
    Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    whole, messages = path.read_bytes(), []
    for i in range(40):
        spoilt = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 3):
            spoilt[place] = rng.integers(0, 256)
        path.write_bytes(bytes(spoilt[: rng.integers(0, len(whole))] if i % 2 else spoilt))
        try:
            read_image(path, grey=True)
        except SettingError as error:
            messages.append(str(error))
    assert messages
    assert all(str(path) in message and "\n" not in message for message in messages)


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
        ("tif", whole_numbers, "signed numbers"),
        ("tif", beyond, "scale them to"),
        ("tif", not_a_number, r"16 values .* the first, NaN, at index \[0, 0\]"),
        ("tif", lab, "L\\*a\\*b\\*"),
        ("tif", pages, "2 pages or frames: save each"),
        ("gif", pages, "2 pages or frames: save each"),
        ("webp", pages, "2 pages or frames: save each"),
        ("png", broken, "repair or remove it"),
        ("tif", text, "no image of a known kind"),
    ],
)
def test_values_without_a_known_range_are_refused_in_one_line(ending, make, words, tmp_path):
    path = tmp_path / f"image.{ending}"
    make(path)
    with pytest.raises(SettingError, match=words) as raised:
        read_image(path, grey=True)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hidden_files_and_folders_are_no_images_and_others_are_counted(tmp_path, capsys):
    hidden = (".ipynb_checkpoints/one-checkpoint.png", "a/.hidden.png", "__MACOSX/x.png", "@eaDir/thumb.png")
    for name in ("a/one.png", "b/two.PNG", *hidden):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / name, "PNG")
    for name in ("a/notes.txt", "a/cells.nii", "b/LABELS", "b/icon.ICO", "b/x.nii", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_text("")
    assert [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)] == ["a/one.png", "b/two.PNG"]
    said = f"--data.path {tmp_path}: 5 files of other kinds (.ico, .nii, .txt, without an ending) left out\n"
    assert capsys.readouterr().err == said
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match=r"holds no images \(.apng, .avif"):
        image_files(tmp_path / "empty")


def test_linked_folders_are_read_and_broken_links_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "cat").mkdir(parents=True)
    for name in ("elsewhere/dog.png", "data/cat/cat.png"):
        Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    found = [str(path.relative_to(tmp_path)) for path in image_files(tmp_path / "data")]
    assert found == ["data/cat/cat.png", "data/dog/dog.png"]
    (tmp_path / "data" / "cat" / "gone.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(SettingError, match=r"gone\.png is a link to a file that does not exist"):
        image_files(tmp_path / "data")


@pytest.mark.parametrize(
    ("link", "target"), [("data/dog", "data/cat"), ("data/cat/again", "data"), ("data/cat/b.png", "data/cat/a.png")]
)
def test_links_never_bring_an_image_in_twice(link, target, tmp_path):
    (tmp_path / "data" / "cat").mkdir(parents=True)
    Image.fromarray(GREY).save(tmp_path / "data" / "cat" / "a.png")
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(SettingError, match=r"are the same by a link, .* remove the link") as raised:
        image_files(tmp_path / "data")
    assert str(tmp_path / link) in str(raised.value)
    assert str(tmp_path / target) in str(raised.value)


@pytest.mark.parametrize("name", ["cat/one.heic", "two.JP2", "cat/three.dcm"])
def test_images_of_a_kind_that_is_not_read_are_not_passed_over(name, tmp_path):
    (tmp_path / "cat").mkdir()
    Image.fromarray(GREY).save(tmp_path / "cat" / "one.png")
    (tmp_path / name).write_bytes(b"some image")
    with pytest.raises(SettingError, match=f"{name} is an image of a kind that is not read: save it as PNG"):
        image_files(tmp_path)


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
