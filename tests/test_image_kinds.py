"""Image files of many kinds beside an independent reading, and beside the served model's."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from trainer.data.radiographs import decode_radiograph

HEIGHT, WIDTH = 46, 64
SHAPE = (30, 20, 1)
Y, X = np.mgrid[:HEIGHT, :WIDTH]
GRAY = (2 * X + 2 * Y + 20).astype(np.uint8)
COLOUR = np.stack([GRAY, 255 - GRAY, (3 * X).astype(np.uint8)], axis=-1)
LUMA = np.floor(COLOUR @ np.array([0.299, 0.587, 0.114]))  # libpng rounds down.
# How an upright picture is stored with each orientation (EXIF 2.32, 4.6.4).
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, -1),
}
served = tf.function(
    lambda encoded: decode_radiograph(encoded, SHAPE),
    input_signature=[tf.TensorSpec([], tf.string)],  # Bytes themselves would be traced one by one.
)


def written(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def of_mode(mode):
    """An image of a mode, and the gray that it shows."""
    if mode == "I;16":
        return PIL.Image.fromarray(GRAY.astype(np.uint16) * 257), GRAY
    if mode == "1":
        return PIL.Image.fromarray(GRAY > 90), 255 * (GRAY > 90)
    if mode == "P":  # Of gray, as quantizing changes colours.
        return PIL.Image.fromarray(GRAY).convert("P"), GRAY
    if mode in ("L", "LA"):
        return PIL.Image.fromarray(GRAY).convert(mode), GRAY
    return PIL.Image.fromarray(COLOUR).convert(mode), LUMA


KINDS = [
    *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    *[("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")],
    *[("TIFF", mode, {"compression": "tiff_lzw"}) for mode in ("L", "RGB", "I;16")],
    *[("TIFF", mode, {"compression": "tiff_adobe_deflate"}) for mode in ("L", "RGB", "I;16")],
    *[("BMP", mode, {}) for mode in ("1", "L", "P", "RGB")],
    *[("GIF", mode, {}) for mode in ("1", "L", "P")],
    *[("WEBP", mode, {"lossless": True}) for mode in ("RGB", "RGBA")],
]


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS)
def test_a_file_without_losses_is_read_to_1_gray_value(kind, mode, options):
    image, expected = of_mode(mode)
    encoded = written(image, kind, **options)
    np.testing.assert_allclose(reading.decode(encoded).pixels, expected, atol=1)
    if kind == "PNG":
        expected = reading.resized(reading.decode(encoded).pixels, SHAPE)
        np.testing.assert_array_equal(served(encoded), expected)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_file_is_read_as_the_served_model_reads_it(mode, subsampling):
    image, expected = of_mode(mode)
    options = {} if mode == "L" else {"subsampling": subsampling}
    encoded = written(image, "JPEG", quality=100, **options)
    pixels = reading.decode(encoded).pixels
    np.testing.assert_allclose(pixels, expected, atol=4)
    np.testing.assert_array_equal(served(encoded), reading.resized(pixels, SHAPE))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "L"),
        ("PNG", "I;16"),
        ("TIFF", "L"),
        ("TIFF", "I;16"),
        ("JPEG", "L"),
        ("WEBP", "RGB"),
    ],
)
def test_the_orientation_is_obeyed(orientation, kind, mode):
    pixels = {"L": GRAY, "RGB": COLOUR, "I;16": GRAY.astype(np.uint16) * 257}[mode]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} | ({"lossless": True} if kind == "WEBP" else {})
    stored = np.ascontiguousarray(STORED[orientation](pixels))
    encoded = written(PIL.Image.fromarray(stored), kind, exif=exif, **options)
    read = reading.decode(encoded).pixels
    np.testing.assert_allclose(read, LUMA if mode == "RGB" else GRAY, atol=1)
    if kind in ("PNG", "JPEG"):
        np.testing.assert_array_equal(served(encoded), reading.resized(read, SHAPE))


def png_of_16_bits(values, colour_type):
    """A PNG file that Pillow itself cannot write."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_are_scaled_by_those_used(bits, colour_type, channels):
    draws = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH, channels), np.uint16)
    draws[0, 0] = 2**bits - 1
    values = draws[..., :3] @ np.array([0.299, 0.587, 0.114]) if channels > 2 else draws[..., 0]
    encoded = png_of_16_bits(draws, colour_type)
    radiograph = reading.decode(encoded)
    assert radiograph.depth == bits
    np.testing.assert_allclose(radiograph.pixels, np.floor(values / 2 ** (bits - 8)), atol=1)
    np.testing.assert_array_equal(served(encoded), reading.resized(radiograph.pixels, SHAPE))


@pytest.mark.parametrize("gamma", [None, 45455, 55000, 98000, 250000])
def test_colour_is_made_gray_as_libpng_does(gamma):
    colour = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    chunks = PIL.PngImagePlugin.PngInfo()
    if gamma:
        chunks.add(b"gAMA", gamma.to_bytes(4, "big"))
    encoded = written(PIL.Image.fromarray(colour), "PNG", pnginfo=chunks)
    expected = tf.io.decode_png(encoded, channels=1).numpy()[..., 0]
    np.testing.assert_array_equal(reading.decode(encoded).pixels, expected)


def test_a_tiff_whose_0_is_white_is_turned_round():
    image = PIL.Image.fromarray(GRAY.astype(np.uint16) * 257)
    encoded = written(image, "TIFF", tiffinfo={262: 0})
    np.testing.assert_allclose(reading.decode(encoded).pixels, 255 - GRAY.astype(int), atol=1)


def test_of_several_pictures_the_first_is_read():
    pages = {"save_all": True, "append_images": [PIL.Image.fromarray(255 - GRAY)]}
    for kind, remarks in (("GIF", ()), ("TIFF", ("first of several pages",))):
        radiograph = reading.decode(written(PIL.Image.fromarray(GRAY), kind, **pages))
        np.testing.assert_array_equal(radiograph.pixels, GRAY)
        assert radiograph.remarks == remarks


def test_what_cannot_be_shown_says_why():
    floats = written(PIL.Image.fromarray(GRAY.astype(np.float32)), "TIFF")
    whole = written(PIL.Image.fromarray(GRAY), "PNG")
    changed = bytearray(whole)
    changed[60] ^= 255
    for content, reason in (
        (floats, "floating-point TIFF image; save it as gray"),
        (whole[:-20], "damaged PNG image"),
        (bytes(changed), "damaged PNG image"),
        (b"\x89PNG\r\n\x1a\n", "damaged image"),
        (b"no image", "no image; expected PNG, JPEG, TIFF, BMP, WebP or GIF, or DICOM"),
    ):
        with pytest.raises(NotARadiograph, match=reason):
            reading.decode(content)


@pytest.mark.parametrize(
    ("pixels", "flaw"),
    [
        (np.full((20, 20), 7, np.uint8), "every pixel is 7"),
        (GRAY // 8, "almost black: fewer than 1 % of the pixels reach 32 of 255"),
        (GRAY, None),
    ],
)
def test_a_picture_that_shows_nothing_is_told(pixels, flaw):
    radiograph = reading.decode(written(PIL.Image.fromarray(pixels), "PNG"))
    assert (radiograph.flaw, radiograph.remarks) == (flaw, (flaw,) if flaw else ())


def test_a_folder_has_one_depth(tmp_path):
    for name, factor in (("a", 16), ("b", 1), ("c", 8)):
        PIL.Image.fromarray(GRAY.astype(np.uint16) * factor).save(tmp_path / f"{name}.png")
    PIL.Image.fromarray(GRAY).save(tmp_path / "d.png")
    (tmp_path / "e.png").write_bytes(b"no image")
    files = sorted(tmp_path.iterdir())
    assert [reading.bits_of(path) for path in files] == [12, 8, 11, None, None]
    assert reading.depth_of(files) == 12
    assert reading.depth_of(files[3:]) is None
    read = [reading.read(path, depth=12).pixels for path in files[:4]]
    for pixels, expected in zip(read, (GRAY, GRAY // 16, GRAY // 2, GRAY), strict=True):
        np.testing.assert_array_equal(pixels, expected)
