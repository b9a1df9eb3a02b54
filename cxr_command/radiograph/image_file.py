"""Reads gray values of image files with Pillow."""

import io
import os
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from cxr_command.foreign_text import first_line, one_line
from cxr_command.largest_image import MOST_PIXELS
from cxr_command.radiograph.refusal import NotARadiograph

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
KINDS = "PNG, JPEG, TIFF, BMP, WebP or GIF"
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG_SIGNATURE, b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8")
# Weights of red, green and blue in units of 2**-15, libpng's values for ITU-R 601 luma.
_LUMA = np.array([9797, 19234, 3737])
_PHOTOMETRIC, _WHITE_IS_ZERO, _BITS_PER_SAMPLE = 262, 0, 258

# Pillow would warn about a file that is only opened; too large images are rejected here by their
# header.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def has_signature(head: bytes) -> bool:
    """Whether a file starts like a supported image; BMP's signature is too short to tell.

    Args:
        head: at least the first 16 bytes.
    """
    return head.startswith(_SIGNATURES) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


def decode(content: bytes) -> tuple[np.ndarray, bool, list[str]]:
    """Decodes the first image of a file, with its EXIF orientation applied.

    Colour becomes ITU-R 601 luma, and transparency is dropped. PNG files give the same bits as
    libpng's own conversion to gray, and JPEG files their luma channel.

    Args:
        content: the file's bytes.

    Returns:
        `[height, width]`, `uint8`, or `uint16` for a file with more bits; whether 0 is white
        (`uint16` only); and remarks.

    Raises:
        NotARadiograph: it is not such an image, or has more than `MOST_PIXELS`.
    """
    image = _opened(content)
    try:
        if image.format == "PNG":
            _opened(content).verify()  # The checksums, which decoding ignores.
        remarks = ["first of several pages"] if _has_more_pages(content, image) else []
        values = _deep(content, image) if _is_deep(image) else _shallow(image)
        values = _upright(values, _orientation(image))
    except (MemoryError, NotARadiograph):
        raise
    except Exception as error:  # For a damaged file, decoders may raise nearly anything.
        raise NotARadiograph(
            f"damaged {image.format} image ({one_line(first_line(error))}); obtain the file again"
        ) from error
    is_inverse = values.dtype != np.uint8 and _tiff_tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO
    return np.ascontiguousarray(values), is_inverse, remarks


def is_deep_file(path: str | os.PathLike) -> bool:
    """Whether an image file has gray values of more than 8 bits, according to its header.

    Args:
        path: the file.
    """
    with Image.open(path, formats=_FORMATS) as image:
        return _is_deep(image)


def _is_deep(image: ImageFile.ImageFile) -> bool:
    return image.mode.startswith("I") or ";16" in _raw_mode(image)


def _opened(content: bytes) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
        pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MOST_PIXELS + 1
    except MemoryError:
        raise
    except Exception as error:
        damaged = "damaged image" if has_signature(content) else "no image"
        raise NotARadiograph(f"{damaged}; expected {KINDS}, or DICOM") from error
    if pixels > MOST_PIXELS:
        raise NotARadiograph(f"image of more than {MOST_PIXELS:,} pixels; downscale it")
    return image


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Returns Pillow's raw mode of a PNG file, such as RGB;16B, which drops the lower 8 bits."""
    return str(image.tile[0].args) if image.format == "PNG" and image.tile else ""


def _has_more_pages(content: bytes, image: ImageFile.ImageFile) -> bool:
    if image.format != "TIFF":
        return False
    try:
        _opened(content).seek(1)
    except EOFError:
        return False
    return True


def _shallow(image: ImageFile.ImageFile) -> np.ndarray:
    """Decodes an 8-bit image to `[height, width] uint8`."""
    if np.max(_tiff_tag(image, _BITS_PER_SAMPLE) or 8) > 8:
        bits = "16-bit colour" if image.mode != "F" else "floating-point"
        raise NotARadiograph(f"{bits} TIFF image; save it as gray of 8 or 16 bits")
    if image.format == "JPEG":
        image.draft("L", image.size)  # The stored luma, not recomputed from red, green and blue.
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode in ("LA", "YCbCr"):
        return np.asarray(image)[..., 0]
    if image.mode == "CMYK":
        inks = 255 - np.asarray(image).astype(np.int64)
        light = inks[..., :3] * inks[..., 3:] // 255
        return np.round(light @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)
    colour = np.asarray(image.convert("RGB"))
    return _luma(colour, _gamma(image) if image.format == "PNG" else 1.0)


def _gamma(image: ImageFile.ImageFile) -> float:
    return 0.45455 if "srgb" in image.info else image.info.get("gamma", 1.0)


def _luma(colour: np.ndarray, gamma: float) -> np.ndarray:
    """Computes luma like libpng, in linear light if the file states its gamma."""
    if abs(gamma - 1) <= 0.05:  # libpng tolerates this difference.
        return (colour @ _LUMA >> 15).astype(np.uint8)
    light = _power(round(1e10 / round(gamma * 1e5)) / 1e5).astype(np.int64)
    values = _power(gamma)
    is_gray = (colour == colour[..., :1]).all(axis=-1)
    return np.where(is_gray, colour[..., 0], values[light[colour] @ _LUMA + 2**14 >> 15])


def _power(exponent: float) -> np.ndarray:
    """Returns a lookup table of a power function, `[256] uint8`."""
    return np.floor(255 * (np.arange(256) / 255) ** exponent + 0.5).astype(np.uint8)


def _deep(content: bytes, image: ImageFile.ImageFile) -> np.ndarray:
    """Decodes a 16-bit image to `[height, width] uint16`."""
    raw = _raw_mode(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
    elif raw == "LA;16B":  # Two bytes of gray and two of transparency, read as four channels.
        values = np.asarray(_unpacked(image, "RGBA")).astype(np.int64) @ np.array([256, 1, 0, 0])
    else:
        upper = np.asarray(image).astype(np.int64)
        lower = np.asarray(_unpacked(_opened(content), raw.replace("16B", "16L")))
        values = ((256 * upper + lower)[..., :3] @ _LUMA + 2**14) >> 15
    if values.min() < 0 or values.max() >= 2**16:
        raise NotARadiograph(
            f"gray values from {values.min()} to {values.max()}; save it as gray of 8 or 16 bits"
        )
    return values.astype(np.uint16)


def _unpacked(image: ImageFile.ImageFile, raw_mode: str) -> ImageFile.ImageFile:
    image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    return image


def _tiff_tag(image: ImageFile.ImageFile, tag: int) -> int | tuple[int, ...] | None:
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _orientation(image: ImageFile.ImageFile) -> int:
    """Returns the EXIF orientation, 1 to 8; Pillow has already applied a TIFF file's."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF data, which viewers ignore.
        return 1


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        values = values.T
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
